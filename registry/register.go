package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// attempts bounds the retries of a write that loses races. Losing means that
// somebody else's write succeeded, so a handful is plenty.
const attempts = 16

// Register files what an agent reports: the same machine, as [Match] tells it, is the
// same record. It returns the machine and whether it is new. While the store is away
// the registration waits in the journal, and the machine is what is known of it, with
// Journaled set. It errs with [*InvalidError], [*FullError], [ErrUnavailable], or a fault
// of the store.
func (r *Registry) Register(ctx context.Context, reg Registration) (m Machine, created bool, err error) {
	if err := reg.Validate(); err != nil {
		return Machine{}, false, err
	}
	e := enrolment{Op: newOp(), ID: newID(), At: r.now(), Registration: reg.normalise()}
	m, created, err = r.file(ctx, e)
	if err != nil {
		return Machine{}, false, fmt.Errorf("register %s: %w", reg.MAC, err)
	}
	r.presence.hear(r.index.own(m.ID), sign{m.SeenAt, true}) // which is stored with the rest
	r.log.Info("machine registered", "machine", m.Name, "id", m.ID, "mac", reg.MAC, "new", created, "journaled", m.Journaled)
	return m, created, nil
}

// file writes a registration to the store, or to the journal while that is away.
func (r *Registry) file(ctx context.Context, e enrolment) (m Machine, created bool, err error) {
	err = errBack
	for range attempts {
		if !r.away() {
			m, created, err = r.enrol(ctx, e, nil)
			if err == nil || !r.away() || ctx.Err() != nil {
				return m, created, err
			}
		}
		if m, created, err = r.journal(ctx, e); err != errBack {
			return m, created, err
		}
	}
	return m, created, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// enrol writes a registration to the store, retrying lost races. One that a
// matching record makes obsolete is not written; nil: none is.
func (r *Registry) enrol(ctx context.Context, e enrolment, obsolete func(match Machine) bool) (m Machine, created bool, err error) {
	taken := 0
	for attempt := range attempts {
		var candidates []Machine
		// What was told before now may be from a time without the store: the index
		// lacks what others wrote meanwhile.
		candidates, err = r.candidates(ctx, e.Registration, attempt > 0 || obsolete != nil)
		if err != nil {
			return Machine{}, false, err
		}
		m, created, err = r.enrolAs(ctx, e, candidates, taken, obsolete)
		if _, lost := errors.AsType[*ConflictError](err); !lost {
			break
		}
		if nameTaken(err) {
			taken++
		}
	}
	return m, created, err
}

// candidates returns the records that reg may be from. The index knows them but
// for those of another server's last moments; the store refuses what they forbid,
// and then fresh ones are asked of it.
func (r *Registry) candidates(ctx context.Context, reg Registration, fresh bool) ([]Machine, error) {
	q := Query{IDs: r.index.candidates(reg)}
	if !fresh && len(q.IDs) == 0 {
		return nil, nil
	}
	if !fresh {
		if known, ok := r.remembered(ctx, q.IDs); ok {
			return known, nil
		}
	}
	if fresh {
		q = Query{MACs: reg.MACs}
		if system := reg.Hardware.System; usableUUID(system.UUID) {
			q.UUID = system.UUID
		}
		if system := reg.Hardware.System; usableSerial(system.Serial) {
			q.Serial = system.Serial
		}
	}
	machines, err := r.store.Machines(ctx, q)
	return machines, r.heard(ctx, err)
}

// remembered returns machines from the copy, which costs a third of asking the store,
// where it has all of them at the versions that are known here. A write on what
// another server has changed since is refused by the store.
func (r *Registry) remembered(ctx context.Context, ids []string) ([]Machine, bool) {
	if r.standby == nil {
		return nil, false
	}
	machines, err := r.standby.Copy.Machines(ctx, Query{IDs: ids})
	outdated := func(m Machine) bool { return m.Journaled || m.Version != r.index.version(m.ID) }
	return machines, err == nil && len(machines) == len(ids) && !slices.ContainsFunc(machines, outdated)
}

// alive reports whether the agent of a machine runs now.
func (r *Registry) alive(id string) bool { return r.presence.alive(id, r.now()) }

// enrolAs writes a registration as that of the candidate which it is from, or of a
// new machine.
func (r *Registry) enrolAs(ctx context.Context, e enrolment, candidates []Machine, taken int, obsolete func(Machine) bool) (Machine, bool, error) {
	reg := e.Registration
	match, known := Match(reg, candidates, r.alive)
	if !known && obsolete == nil { // what waited in the journal was admitted
		if err := r.admitNew(reg); err != nil {
			return Machine{}, false, err
		}
	}
	if !known {
		match = r.newMachine(e.ID, reg, e.At, taken)
	}
	defer r.index.release(match.ID)
	if obsolete != nil && obsolete(match) {
		return match, false, nil
	}
	others := slices.DeleteFunc(candidates, func(m Machine) bool { return m.ID == match.ID })
	assigned, events, rule := r.assign(match, e, taken)
	m, change, err := enrol(assigned, others, e)
	if err != nil {
		return Machine{}, false, err
	}
	change.Events = append(change.Events, events...)
	if rule != nil {
		if m, err = r.deployBy(ctx, *rule, m, &change); err != nil {
			return Machine{}, false, err
		}
	}
	if err := r.write(ctx, change); err != nil {
		return Machine{}, false, err
	}
	if rule != nil {
		r.wakeBatches()
	}
	m.Version++
	return m, match.RegisteredAt.IsZero(), nil
}
