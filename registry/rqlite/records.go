package rqlite

import (
	"context"
	"errors"

	"dragonfly/registry"
)

// Timeline is [registry.Records.Timeline].
func (s *Store) Timeline(context.Context, string, int64, int) ([]registry.Event, error) {
	return nil, errors.ErrUnsupported
}

// History is [registry.Records.History].
func (s *Store) History(context.Context, string, int) ([]registry.HardwareRecord, error) {
	return nil, errors.ErrUnsupported
}

// Audit is [registry.Records.Audit].
func (s *Store) Audit(context.Context, string, int64, int) ([]registry.AuditEntry, error) {
	return nil, errors.ErrUnsupported
}

// Rules is [registry.Records.Rules].
func (s *Store) Rules(context.Context) (registry.RuleSet, error) {
	return registry.RuleSet{}, errors.ErrUnsupported
}
