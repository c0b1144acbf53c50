package registry

import (
	"context"
	"time"
)

// Store keeps machines and events, durably: what a method has returned without
// an error survives a crash. Every error is or wraps [ErrUnavailable],
// [*ConflictError] or a fault of our own. registrytest has the contract.
type Store interface {
	EventLog
	Records
	Deployments
	Searches
	// Versions returns the versions of machines by their IDs; an ID that there is
	// no machine of is left out.
	Versions(ctx context.Context, ids []string) (map[string]int64, error)
	// Commit applies c in one transaction, or nothing of it. Applying a Change
	// with an Op that was applied before changes nothing and returns nil. It may leave
	// what it makes of the hardware in the machines of c.Put: [Machine.Packed].
	Commit(ctx context.Context, c Change) error
	// Touch records signs of life by machine ID; an earlier one never replaces
	// a later one, and an unknown ID is ignored.
	Touch(ctx context.Context, seen map[string]time.Time) error
	// Seen returns the last signs of life after a time by machine ID, whichever server
	// recorded them.
	Seen(ctx context.Context, after time.Time) (map[string]time.Time, error)
	// Ping asks whether the store answers and takes writes now, and makes it
	// ready for use where it was not.
	Ping(ctx context.Context) error
}

// Searches is how machines are found.
type Searches interface {
	// Machines returns the machines that match q, in the order of its Sort.
	Machines(ctx context.Context, q Query) ([]Machine, error)
	// Tally counts the machines that match the Filter of q, as [TallyBy.Of] does.
	Tally(ctx context.Context, q Query, by TallyBy) ([]Tally, error)
}

// EventLog is everything that happened.
type EventLog interface {
	// Events returns up to limit events with a number above after, in order.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)
	// LastEvent is the number of the newest event; 0 when there is none.
	LastEvent(ctx context.Context) (int64, error)
}

// Records is what is kept beside the machines.
type Records interface {
	// Timeline returns up to limit events of one machine with a number below
	// before (0: the newest), newest first.
	Timeline(ctx context.Context, machine string, before int64, limit int) ([]Event, error)
	// History returns up to limit hardware records of a machine, newest first by
	// their times.
	History(ctx context.Context, machine string, limit int) ([]HardwareRecord, error)
	// Audit returns up to limit entries with a number below before (0: the
	// newest), newest first; of one object where it is set.
	Audit(ctx context.Context, object string, before int64, limit int) ([]AuditEntry, error)
	// Rules returns the rules on registration; the zero RuleSet before any.
	Rules(ctx context.Context) (RuleSet, error)
	// Defaults returns what deployments begin from; the zero value before any.
	Defaults(ctx context.Context) (SealedDefaults, error)
}

// Deployments is what is kept of deployments, and of operating systems. A
// deployment goes with its machine.
type Deployments interface {
	// Deployments returns those that q selects, in its order.
	Deployments(ctx context.Context, q DeploymentQuery) ([]Deployment, error)
	// CountDeployments returns how many there are in each state; none is left out.
	CountDeployments(ctx context.Context) (map[DeploymentState]int, error)
	// Lines returns up to limit lines of a deployment's log behind a position.
	Lines(ctx context.Context, deployment string, after LinePosition, limit int) ([]DeploymentLine, error)
	// Track records how far deployments are, by their IDs; an unknown one is ignored.
	Track(ctx context.Context, tracks map[string]Track) error
	// OSes returns the records of operating systems, in the order of their IDs.
	OSes(ctx context.Context) ([]OS, error)
}

// HardwareRecord is the hardware of a machine as it was reported at a time.
type HardwareRecord struct {
	Machine  string
	At       time.Time
	Hardware Hardware
}

// Move makes the events, the hardware records and the deployments of one machine
// those of another, which gets no more than the newest 50 hardware records of both.
// Audit entries stay where they are.
type Move struct {
	From, To string // IDs of machines that the change deletes and puts
}

// Change is one transactional write.
type Change struct {
	Op     string    // operation id, unique to this write: a retry applies once
	Put    []Machine // Version is the one that was read, 0 to create; stored with one more
	Delete []Machine // ID and the Version that was read
	Events []Event   // appended; Seq is given by the store

	Move    []Move           // before anything else of the change
	History []HardwareRecord // appended; the store keeps the newest 50 of a machine
	Audit   []AuditEntry     // appended; Seq is given by the store
	Rules   *RuleSet         // Version is the one that was read; stored with one more

	Defaults *SealedDefaults // as Rules

	Deployments []Deployment     // as Put
	Lines       []DeploymentLine // added, each once: one that is there stays
	OSes        []OS             // Revision is the one that was read, 0 to create; stored with one more
	DeleteOSes  []OS             // ID and the Revision that was read
}

// Machines is the IDs of the machines that c deletes and puts.
func (c Change) Machines() []string {
	ids := make([]string, 0, len(c.Delete)+len(c.Put))
	for i := range c.Delete { // by number: a machine is half a kilobyte
		ids = append(ids, c.Delete[i].ID)
	}
	for i := range c.Put {
		ids = append(ids, c.Put[i].ID)
	}
	return ids
}
