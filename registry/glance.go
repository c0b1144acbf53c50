package registry

import "time"

// Glance is what is held in memory of a machine. SeenAt is the last sign of life
// that is known here; zero for a machine that has gone silent.
type Glance struct {
	Entry
	SeenAt time.Time
}

// Online reports whether the machine showed a sign of life within [OnlineFor].
func (g Glance) Online(now time.Time) bool { return Machine{SeenAt: g.SeenAt}.Online(now) }

// Glances returns what is held in memory of the machines with these IDs, as far as
// they are there, and asks nobody. None named means all.
func (r *Registry) Glances(ids ...string) []Glance {
	entries := r.index.entries(ids)
	glances := make([]Glance, len(entries))
	r.presence.mu.Lock()
	defer r.presence.mu.Unlock()
	for i, e := range entries {
		glances[i] = Glance{Entry: e, SeenAt: r.presence.seen[e.ID].at}
	}
	return glances
}

// entries are those of the machines with these IDs, or of all where none is named.
func (x *Index) entries(ids []string) []Entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(ids) == 0 {
		all := make([]Entry, 0, x.kept.count())
		for m := range x.kept.each() {
			all = append(all, m.Entry)
		}
		return all
	}
	found := make([]Entry, 0, len(ids))
	for _, id := range ids {
		if m, ok := x.machine(id); ok {
			found = append(found, m.Entry)
		}
	}
	return found
}
