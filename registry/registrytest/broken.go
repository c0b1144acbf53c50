package registrytest

import (
	"context"
	"time"

	"dragonfly/registry"
)

// BrokenStore fails every call with one error.
type BrokenStore struct{ err error }

var _ registry.Store = (*BrokenStore)(nil)

// Broken returns a store whose every call fails with err, such as
// [registry.ErrUnavailable].
func Broken(err error) *BrokenStore { return &BrokenStore{err} }

// Machines fails.
func (s *BrokenStore) Machines(context.Context, registry.Query) ([]registry.Machine, error) {
	return nil, s.err
}

// Tally fails.
func (s *BrokenStore) Tally(context.Context, registry.Query, registry.TallyBy) ([]registry.Tally, error) {
	return nil, s.err
}

// Versions fails.
func (s *BrokenStore) Versions(context.Context, []string) (map[string]int64, error) {
	return nil, s.err
}

// Commit fails.
func (s *BrokenStore) Commit(context.Context, registry.Change) error { return s.err }

// Events fails.
func (s *BrokenStore) Events(context.Context, int64, int) ([]registry.Event, error) {
	return nil, s.err
}

// LastEvent fails.
func (s *BrokenStore) LastEvent(context.Context) (int64, error) { return 0, s.err }

// Seen fails.
func (s *BrokenStore) Seen(context.Context, time.Time) (map[string]time.Time, error) {
	return nil, s.err
}

// Touch fails.
func (s *BrokenStore) Touch(context.Context, map[string]time.Time) error { return s.err }

// Secret fails without asking for a fresh one.
func (s *BrokenStore) Secret(context.Context, string, func() (string, error)) (string, error) {
	return "", s.err
}

// Ping fails.
func (s *BrokenStore) Ping(context.Context) error { return s.err }

// Timeline fails.
func (s *BrokenStore) Timeline(context.Context, string, int64, int) ([]registry.Event, error) {
	return nil, s.err
}

// History fails.
func (s *BrokenStore) History(context.Context, string, int) ([]registry.HardwareRecord, error) {
	return nil, s.err
}

// Audit fails.
func (s *BrokenStore) Audit(context.Context, string, int64, int) ([]registry.AuditEntry, error) {
	return nil, s.err
}

// Deployments fails.
func (s *BrokenStore) Deployments(context.Context, registry.DeploymentQuery) ([]registry.Deployment, error) {
	return nil, s.err
}

// CountDeployments fails.
func (s *BrokenStore) CountDeployments(context.Context) (map[registry.DeploymentState]int, error) {
	return nil, s.err
}

// Lines fails.
func (s *BrokenStore) Lines(context.Context, string, registry.LinePosition, int) ([]registry.DeploymentLine, error) {
	return nil, s.err
}

// Track fails.
func (s *BrokenStore) Track(context.Context, map[string]registry.Track) error { return s.err }

// OSes fails.
func (s *BrokenStore) OSes(context.Context) ([]registry.OS, error) { return nil, s.err }

// Rules fails.
func (s *BrokenStore) Rules(context.Context) (registry.RuleSet, error) {
	return registry.RuleSet{}, s.err
}

// Defaults fails.
func (s *BrokenStore) Defaults(context.Context) (registry.SealedDefaults, error) {
	return registry.SealedDefaults{}, s.err
}
