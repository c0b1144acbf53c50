package registrytest

import (
	"context"
	"slices"

	"dragonfly/registry"
)

// keptHistory is how many hardware records of a machine are kept.
const keptHistory = 50

// records is what a [MemoryStore] keeps beside the machines.
type records struct {
	history  []registry.HardwareRecord
	audit    []registry.AuditEntry
	rules    registry.RuleSet
	defaults registry.SealedDefaults
}

// Timeline is [registry.Records.Timeline].
func (s *MemoryStore) Timeline(ctx context.Context, machine string, before int64, limit int) ([]registry.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newest(s.events, limit, func(e registry.Event) bool {
		return e.Machine == machine && (before == 0 || e.Seq < before)
	}), ctx.Err()
}

// History is [registry.Records.History].
func (s *MemoryStore) History(ctx context.Context, machine string, limit int) ([]registry.HardwareRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := newest(s.history, len(s.history), func(r registry.HardwareRecord) bool { return r.Machine == machine })
	slices.SortStableFunc(all, func(a, b registry.HardwareRecord) int { return b.At.Compare(a.At) })
	return all[:min(limit, keptHistory, len(all))], ctx.Err()
}

// Audit is [registry.Records.Audit].
func (s *MemoryStore) Audit(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newest(s.audit, limit, func(e registry.AuditEntry) bool {
		return (object == "" || e.Object == object) && (before == 0 || e.Seq < before)
	}), ctx.Err()
}

// Rules is [registry.Records.Rules].
func (s *MemoryStore) Rules(ctx context.Context) (registry.RuleSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules, ctx.Err()
}

// Defaults is [registry.Records.Defaults].
func (s *MemoryStore) Defaults(ctx context.Context) (registry.SealedDefaults, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.defaults, ctx.Err()
}

// newest returns up to limit of the values that want accepts, last first.
func newest[T any](values []T, limit int, want func(T) bool) (found []T) {
	for _, v := range slices.Backward(values) {
		if len(found) < limit && want(v) {
			found = append(found, v)
		}
	}
	return found
}
