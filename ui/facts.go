package ui

import (
	"slices"
	"time"

	"dragonfly/registry"
)

// fact is what the board knows of a machine.
type fact struct {
	name   string
	state  registry.State
	seen   time.Time
	online bool
	last   note
	turns  int // how often its row changed
}

// note is the last thing that happened to a machine.
type note struct {
	at   time.Time
	text string
}

// with is f after the machine was looked at.
func (f fact) with(g registry.Glance, now time.Time) fact {
	f.name, f.state, f.seen, f.online = g.Name, g.State, g.SeenAt, g.Online(now)
	return f
}

// facts are those of every machine, counted and in order: with 100,000 of them
// neither is done anew for a page.
type facts struct {
	byID    map[string]fact
	byState map[registry.State]int
	online  int
	names   []string // sorted
}

func newFacts() facts { return facts{byID: map[string]fact{}, byState: map[registry.State]int{}} }

// put replaces what is known of a machine. Its name is not put in order: see rename.
func (f *facts) put(id string, now fact) {
	f.drop(id)
	f.byID[id] = now
	f.byState[now.state]++
	if now.online {
		f.online++
	}
}

func (f *facts) drop(id string) {
	before, known := f.byID[id]
	if !known {
		return
	}
	delete(f.byID, id)
	f.byState[before.state]--
	if before.online {
		f.online--
	}
}

// rename puts names into the order, and takes others out, in one pass. A name may
// go from one machine to another, and is then in both.
func (f *facts) rename(come, gone []string) {
	if len(come)+len(gone) == 0 {
		return
	}
	slices.Sort(come)
	leaving := make(map[string]int, len(gone))
	for _, name := range gone {
		leaving[name]++
	}
	names := make([]string, 0, len(f.names)+len(come))
	for _, name := range f.names {
		if leaving[name] > 0 {
			leaving[name]--
			continue
		}
		for len(come) > 0 && come[0] < name {
			names, come = append(names, come[0]), come[1:]
		}
		names = append(names, name)
	}
	f.names = append(names, come...)
}

// turn marks the rows that changed.
func (f *facts) turn(ids []string) {
	for _, id := range ids {
		if fact, known := f.byID[id]; known {
			fact.turns++
			f.byID[id] = fact
		}
	}
}

// note keeps the last event of each machine.
func (f *facts) note(events []registry.Event) {
	for _, e := range events {
		if fact, known := f.byID[e.Machine]; known {
			fact.last = note{e.At, cut(e.Message, maxMessage)}
			f.byID[e.Machine] = fact
		}
	}
}
