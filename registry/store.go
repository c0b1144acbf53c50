package registry

import (
	"context"
	"time"
)

// Store keeps machines and events, durably: what a method has returned without
// an error survives a crash. Every error is or wraps [ErrUnavailable],
// [*ConflictError] or a fault of our own. registrytest has the contract.
type Store interface {
	// Machines returns the machines that match q, ordered by name.
	Machines(ctx context.Context, q Query) ([]Machine, error)
	// Commit applies c in one transaction, or nothing of it. Applying a Change
	// with an Op that was applied before changes nothing and returns nil.
	Commit(ctx context.Context, c Change) error
	// Events returns up to limit events with a number above after, in order.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)
	// LastEvent is the number of the newest event; 0 when there is none.
	LastEvent(ctx context.Context) (int64, error)
	// Touch records signs of life by machine ID; an earlier one never replaces
	// a later one, and an unknown ID is ignored.
	Touch(ctx context.Context, seen map[string]time.Time) error
}

// Query selects machines. A machine matches when it matches ANY of IDs, Names,
// MACs, UUID or Serial that is set, and ALL machines match when none is set. State,
// where set, narrows further.
type Query struct {
	IDs    []string
	Names  []string
	MACs   []MAC
	UUID   string // of Hardware.System, compared as stored
	Serial string
	State  State
	After  string // only machines with a name above it (keyset paging)
	Limit  int    // 0: all
}

// Change is one transactional write.
type Change struct {
	Op     string    // operation id, unique to this write: a retry applies once
	Put    []Machine // Version is the one that was read, 0 to create; stored with one more
	Delete []Machine // ID and the Version that was read
	Events []Event   // appended; Seq is given by the store
}
