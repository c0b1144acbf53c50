package registrytest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"dragonfly/registry"
)

// deployments is what a [MemoryStore] keeps of deployments and operating systems.
type deployments struct {
	byID  map[string]registry.Deployment
	lines map[string][]registry.DeploymentLine // by deployment, in their order
	oses  map[string]registry.OS
}

func newDeployments() deployments {
	return deployments{map[string]registry.Deployment{}, map[string][]registry.DeploymentLine{}, map[string]registry.OS{}}
}

// check returns the conflict that keeps c from being applied.
func (s *deployments) check(c registry.Change) error {
	touched := map[string]bool{}
	for _, d := range c.Deployments {
		if stored := s.byID[d.ID].Version; touched[d.ID] || stored != d.Version {
			return &registry.ConflictError{Object: "deployment " + d.ID, Read: d.Version, Stored: stored}
		}
		touched[d.ID] = true
	}
	for _, o := range slices.Concat(c.DeleteOSes, c.OSes) {
		if stored := s.oses[o.ID].Revision; touched[o.ID] || stored != o.Revision {
			return &registry.ConflictError{Object: "operating system " + o.ID, Read: o.Revision, Stored: stored}
		}
		touched[o.ID] = true
	}
	return nil
}

// apply writes a checked change.
func (s *deployments) apply(c registry.Change) error {
	for _, d := range c.Deployments {
		stored, err := copied(d.Rounded())
		if err != nil {
			return err
		}
		stored.Machine, stored.Version, stored.Track = d.Machine, d.Version+1, s.byID[d.ID].Track
		s.byID[d.ID] = stored
	}
	for _, l := range c.Lines {
		l.At = millis(l.At)
		at, there := slices.BinarySearchFunc(s.lines[l.Deployment], l.LinePosition, behind)
		if !there {
			s.lines[l.Deployment] = slices.Insert(s.lines[l.Deployment], at, l)
		}
	}
	for _, l := range c.Lines {
		if l.N >= registry.FirstLines+registry.NewestLines {
			s.trim(l.Deployment, l.Attempt)
		}
	}
	for _, o := range c.DeleteOSes {
		delete(s.oses, o.ID)
	}
	for _, o := range c.OSes {
		stored, err := copied(o)
		if err != nil {
			return err
		}
		stored.Revision++
		s.oses[o.ID] = stored
	}
	return nil
}

func behind(l registry.DeploymentLine, p registry.LinePosition) int { return l.Compare(p) }

// trim keeps the first and the newest lines of an attempt.
func (s *deployments) trim(deployment string, attempt int) {
	newest := 0
	for _, l := range s.lines[deployment] {
		if l.Attempt == attempt {
			newest = max(newest, l.N)
		}
	}
	s.lines[deployment] = slices.DeleteFunc(s.lines[deployment], func(l registry.DeploymentLine) bool {
		return l.Attempt == attempt && l.N >= registry.FirstLines && l.N <= newest-registry.NewestLines
	})
}

// forget removes what belongs to a machine.
func (s *deployments) forget(machine string) {
	for id, d := range s.byID {
		if d.Machine == machine {
			delete(s.byID, id)
			delete(s.lines, id)
		}
	}
}

func (s *deployments) move(m registry.Move) {
	for id, d := range s.byID {
		if d.Machine == m.From {
			d.Machine = m.To
			s.byID[id] = d
		}
	}
}

// Deployments is [registry.Deployments.Deployments].
func (s *MemoryStore) Deployments(ctx context.Context, q registry.DeploymentQuery) ([]registry.Deployment, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []registry.Deployment
	for _, d := range s.byID {
		if !q.Match(d) {
			continue
		}
		out, err := copied(d) // so that the caller cannot change ours
		if err != nil {
			return nil, err
		}
		out.Machine, out.Version, out.Track = d.Machine, d.Version, d.Track
		found = append(found, out)
	}
	slices.SortFunc(found, func(a, b registry.Deployment) int { return q.Compare(a.Position(), b.Position()) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found, nil
}

// CountDeployments is [registry.Deployments.CountDeployments].
func (s *MemoryStore) CountDeployments(ctx context.Context) (map[registry.DeploymentState]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[registry.DeploymentState]int{}
	for _, state := range registry.DeploymentStates() {
		counts[state] = 0
	}
	for _, d := range s.byID {
		counts[d.State]++
	}
	return counts, ctx.Err()
}

// Lines is [registry.Deployments.Lines].
func (s *MemoryStore) Lines(ctx context.Context, deployment string, after registry.LinePosition, limit int) ([]registry.DeploymentLine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines[deployment]
	from, there := slices.BinarySearchFunc(lines, after, behind)
	if there {
		from++
	}
	return slices.Clone(lines[from:min(from+max(limit, 0), len(lines))]), ctx.Err()
}

// Track is [registry.Deployments.Track].
func (s *MemoryStore) Track(ctx context.Context, tracks map[string]registry.Track) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, track := range tracks {
		if d, ok := s.byID[id]; ok && ctx.Err() == nil {
			track.At = millis(track.At)
			d.Track = track
			s.byID[id] = d
		}
	}
	return ctx.Err()
}

// OSes is [registry.Deployments.OSes].
func (s *MemoryStore) OSes(ctx context.Context) ([]registry.OS, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oses := slices.SortedFunc(maps.Values(s.oses), func(a, b registry.OS) int { return strings.Compare(a.ID, b.ID) })
	return slices.Clip(oses), ctx.Err()
}

// copied is a value as JSON gives it back, with nothing shared.
func copied[T any](value T) (out T, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}
