package registrytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"dragonfly/registry"
)

// MemoryStore is a [registry.Store] in memory, and the account storage of
// registry/auth. It is safe for concurrent use.
type MemoryStore struct {
	mu       sync.Mutex
	machines map[string]registry.Machine // by ID
	seen     map[string]time.Time        // by machine ID
	ops      map[string]time.Time        // operation id to when it was applied
	events   []registry.Event
	lastSeq  int64
	records
	deployments
	accounts
	requests
}

var _ registry.Store = (*MemoryStore)(nil)

// Memory returns an empty [MemoryStore].
func Memory() *MemoryStore {
	return &MemoryStore{
		machines: map[string]registry.Machine{},
		seen:     map[string]time.Time{},
		ops:      map[string]time.Time{},
		accounts: newAccounts(), deployments: newDeployments(),
	}
}

// Machines is [registry.Store.Machines].
func (s *MemoryStore) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if err := errors.Join(ctx.Err(), q.Check()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []registry.Machine
	for id, m := range s.machines {
		m.SeenAt = s.seen[id]
		if !q.Match(m) {
			continue
		}
		m, err := stored(m) // a copy, so that the caller cannot change ours
		if err != nil {
			return nil, err
		}
		if q.Brief {
			m.Hardware = m.Hardware.Brief()
		}
		if q.Bare {
			m = m.Bare()
		}
		found = append(found, m)
	}
	slices.SortFunc(found, func(a, b registry.Machine) int { return q.Sort.Compare(q.Sort.Position(a), q.Sort.Position(b)) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found, nil
}

// Tally is [registry.Searches.Tally].
func (s *MemoryStore) Tally(ctx context.Context, q registry.Query, by registry.TallyBy) ([]registry.Tally, error) {
	if err := by.Check(); err != nil {
		return nil, err
	}
	machines, err := s.Machines(ctx, registry.Query{Filter: q.Filter, Now: q.Now})
	return by.Of(machines, q.Now), err
}

// Versions is [registry.Store.Versions].
func (s *MemoryStore) Versions(ctx context.Context, ids []string) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := map[string]int64{}
	for _, id := range ids {
		if m, ok := s.machines[id]; ok {
			versions[id] = m.Version
		}
	}
	return versions, ctx.Err()
}

// Commit is [registry.Store.Commit].
func (s *MemoryStore) Commit(ctx context.Context, c registry.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.Op == "" {
		return errors.New("commit: the change has no operation id")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, applied := s.ops[c.Op]; applied {
		return nil
	}
	if err := s.check(c); err != nil {
		return err
	}
	return s.apply(c)
}

// check returns the conflict that keeps c from being applied.
func (s *MemoryStore) check(c registry.Change) error {
	if c.Rules != nil && c.Rules.Version != s.rules.Version {
		return &registry.ConflictError{Object: "rules", Read: c.Rules.Version, Stored: s.rules.Version}
	}
	if c.Defaults != nil && c.Defaults.Version != s.defaults.Version {
		return &registry.ConflictError{Object: "defaults", Read: c.Defaults.Version, Stored: s.defaults.Version}
	}
	if err := s.deployments.check(c); err != nil {
		return err
	}
	touched := map[string]bool{}
	for _, m := range slices.Concat(c.Delete, c.Put) {
		if touched[m.ID] || s.machines[m.ID].Version != m.Version {
			return &registry.ConflictError{Object: "machine " + m.ID, Read: m.Version, Stored: s.machines[m.ID].Version}
		}
		touched[m.ID] = true
	}
	names, macs := s.taken(touched)
	for _, m := range c.Put {
		if names[m.Name] {
			return &registry.ConflictError{Object: "name " + m.Name, Read: m.Version}
		}
		names[m.Name] = true
		for _, mac := range m.MACs {
			if macs[mac] {
				return &registry.ConflictError{Object: "hardware address " + mac.String(), Read: m.Version}
			}
			macs[mac] = true
		}
	}
	return nil
}

// taken returns the names and addresses of every machine except the given ones.
func (s *MemoryStore) taken(except map[string]bool) (map[string]bool, map[registry.MAC]bool) {
	names, macs := map[string]bool{}, map[registry.MAC]bool{}
	for id, m := range s.machines {
		if except[id] {
			continue
		}
		names[m.Name] = true
		for _, mac := range m.MACs {
			macs[mac] = true
		}
	}
	return names, macs
}

// apply writes a checked change.
func (s *MemoryStore) apply(c registry.Change) error {
	put := make([]registry.Machine, 0, len(c.Put))
	for _, m := range c.Put {
		m, err := stored(m)
		if err != nil {
			return err
		}
		m.Version++
		put = append(put, m)
	}
	for _, m := range c.Move {
		s.move(m)
	}
	for _, m := range c.Delete {
		delete(s.machines, m.ID)
		delete(s.seen, m.ID)
		s.deployments.forget(m.ID)
		s.history = slices.DeleteFunc(s.history, func(r registry.HardwareRecord) bool { return r.Machine == m.ID })
	}
	for _, m := range put {
		s.machines[m.ID] = m
		s.see(m.ID, m.SeenAt)
	}
	for _, e := range c.Events {
		s.lastSeq++
		e.Seq, e.At = s.lastSeq, millis(e.At)
		s.events = append(s.events, e)
	}
	s.file(c)
	if err := s.deployments.apply(c); err != nil {
		return err
	}
	s.ops[c.Op] = time.Now()
	return nil
}

// move makes events, hardware records and deployments those of another machine.
func (s *MemoryStore) move(m registry.Move) {
	for i := range s.events {
		if s.events[i].Machine == m.From {
			s.events[i].Machine = m.To
		}
	}
	for i := range s.history {
		if s.history[i].Machine == m.From {
			s.history[i].Machine = m.To
		}
	}
	s.deployments.move(m)
}

// file keeps what a checked change says beside the machines.
func (s *MemoryStore) file(c registry.Change) {
	for _, r := range c.History {
		r.At = millis(r.At)
		s.history = append(s.history, r)
	}
	for _, e := range c.Audit {
		e.Seq, e.At = int64(len(s.audit)+1), millis(e.At)
		s.audit = append(s.audit, e)
	}
	if c.Rules != nil {
		s.rules = registry.RuleSet{Version: c.Rules.Version + 1, Rules: c.Rules.Rules}
	}
	if c.Defaults != nil {
		s.defaults = registry.SealedDefaults{Version: c.Defaults.Version + 1, Sealed: c.Defaults.Sealed}
	}
}

// Events is [registry.Store.Events].
func (s *MemoryStore) Events(ctx context.Context, after int64, limit int) ([]registry.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.events, func(e registry.Event) bool { return e.Seq > after })
	if i < 0 || limit <= 0 {
		return nil, nil
	}
	rest := s.events[i:]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

// LastEvent is [registry.Store.LastEvent].
func (s *MemoryStore) LastEvent(ctx context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastSeq, ctx.Err()
}

// Ping is [registry.Store.Ping].
func (s *MemoryStore) Ping(ctx context.Context) error { return ctx.Err() }

// Touch is [registry.Store.Touch].
func (s *MemoryStore) Touch(ctx context.Context, seen map[string]time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range seen {
		s.see(id, at)
	}
	return nil
}

// Seen is [registry.Store.Seen].
func (s *MemoryStore) Seen(ctx context.Context, after time.Time) (map[string]time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := maps.Clone(s.seen)
	maps.DeleteFunc(seen, func(_ string, at time.Time) bool { return !at.After(after) })
	return seen, ctx.Err()
}

func (s *MemoryStore) see(id string, at time.Time) {
	if _, known := s.machines[id]; known && at.After(s.seen[id]) {
		s.seen[id] = millis(at)
	}
}

// stored is m as a database gives it back: times in UTC milliseconds, hardware
// through JSON, nothing shared with the original.
func stored(m registry.Machine) (registry.Machine, error) {
	text, err := json.Marshal(m.Hardware)
	if err != nil {
		return m, fmt.Errorf("store machine %s: %w", m.ID, err)
	}
	m.Hardware = registry.Hardware{}
	if err := json.Unmarshal(text, &m.Hardware); err != nil {
		return m, fmt.Errorf("store machine %s: %w", m.ID, err)
	}
	m.MACs = append([]registry.MAC(nil), m.MACs...)
	m.Tags = append([]string(nil), m.Tags...)
	m.Labels = maps.Clone(m.Labels)
	if m.Lock != nil {
		m.Lock = &registry.Lock{By: m.Lock.By, Note: m.Lock.Note, At: millis(m.Lock.At)}
	}
	m.Deadline = millis(m.Deadline)
	m.CreatedAt, m.RegisteredAt, m.SeenAt = millis(m.CreatedAt), millis(m.RegisteredAt), millis(m.SeenAt)
	return m, nil
}

func millis(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}
