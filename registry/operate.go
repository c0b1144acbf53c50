package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// AnyVersion makes a change apply to whatever version is stored.
const AnyVersion = 0

// operation is something an operator does to one machine: it changes m, or says
// why not, and returns the line for the timeline.
type operation struct {
	kind Kind // of the event, and the action of the audit entry
	do   func(m *Machine) (message string, err error)
}

// operate carries out op on the machine with that ID or name. It errs with a
// [*ConflictError] when version is not [AnyVersion] and not the one that is
// stored.
func (r *Registry) operate(ctx context.Context, id string, version int64, op operation) (Machine, error) {
	_, m, err := r.change(ctx, id, version, op)
	return m, err
}

// change is operate that also tells what the machine was; of an operation that was
// applied before it tells nothing of that.
func (r *Registry) change(ctx context.Context, id string, version int64, op operation) (before, after Machine, err error) {
	if err := r.writable(); err != nil {
		return Machine{}, Machine{}, err
	}
	if AppliedBefore(ctx) {
		after, err = r.Machine(ctx, id)
		return Machine{}, after, err
	}
	for range attempts {
		before, err = r.Machine(ctx, id)
		if err != nil {
			return Machine{}, Machine{}, err
		}
		if version != AnyVersion && version != before.Version {
			return Machine{}, Machine{}, &ConflictError{Object: "machine " + before.ID, Read: version, Stored: before.Version}
		}
		after, err = r.carryOut(ctx, before, op)
		if lost, ok := errors.AsType[*ConflictError](err); ok && version == AnyVersion && lost.Object == "machine "+before.ID {
			continue
		}
		return before, after, err
	}
	return Machine{}, Machine{}, &ConflictError{Object: "machine " + id}
}

// carryOut writes what op makes of m. The machine it returns beside an error has
// only its ID.
func (r *Registry) carryOut(ctx context.Context, m Machine, op operation) (Machine, error) {
	before := m
	message, err := op.do(&m)
	if err != nil {
		return Machine{ID: m.ID}, fmt.Errorf("%s is not %s: %w", before.Name, op.kind.verb(), err)
	}
	if dryRun(ctx) {
		return m, nil
	}
	audit, err := audited(op.kind, before, m)
	if err != nil {
		return Machine{ID: m.ID}, err
	}
	audit.At, audit.Actor = r.now(), ActorOf(ctx)
	if audit.Actor.Name != "" {
		message += ", by " + audit.Actor.Name
	}
	err = r.commit(ctx, Change{Op: OpOf(ctx), Put: []Machine{m}, Audit: []AuditEntry{audit},
		Events: []Event{m.event(op.kind, audit.At, message)}})
	if err != nil {
		return Machine{ID: m.ID}, err
	}
	m.Version++
	return m, nil
}

// audited is the entry for a change of a machine: what changed, before and after.
func audited(action Kind, before, after Machine) (AuditEntry, error) {
	return auditOf(action, after, before.decided(), after.decided())
}

// auditOf is the entry for a change of m: what was and is, where that differs.
func auditOf(action Kind, m Machine, was, is map[string]any) (AuditEntry, error) {
	wasCalled, isCalled := was["name"], is["name"]
	for key, value := range was {
		if reflect.DeepEqual(value, is[key]) {
			delete(was, key)
			delete(is, key)
		}
	}
	was["name"], is["name"] = wasCalled, isCalled // whoever reads it later knows it by that
	wasText, errWas := json.Marshal(was)
	isText, errIs := json.Marshal(is)
	return AuditEntry{Action: string(action), Object: m.ID, Before: wasText, After: isText}, errors.Join(errWas, errIs)
}

// decided is what operators decide about a machine.
func (m Machine) decided() map[string]any {
	return map[string]any{"name": m.Name, "state": m.State, "owner": m.Owner, "note": m.Note,
		"tags": m.Tags, "labels": m.Labels, "assigned_os": m.OS, "lock": m.Lock, "pending": m.Pending}
}

// Patch is what an operator changes of a machine. What is nil stays.
type Patch struct {
	Name   *string
	Owner  *string
	Note   *string
	Tags   *[]string          // instead of those there are
	Labels map[string]*string // one by one; nil takes the label away
	OS     *string            // empty: none

	AddTags, RemoveTags []string // to and from those there are, or those of Tags
}

// Edit changes what operators say of a machine. It errs with [*InvalidError],
// [*ConflictError] (also for a name that another machine has), [ErrNotFound] or
// [ErrUnavailable].
func (r *Registry) Edit(ctx context.Context, id string, version int64, p Patch) (Machine, error) {
	if err := p.Validate(); err != nil {
		return Machine{}, err
	}
	op := editing(p)
	return r.operate(ctx, id, version, operation{op.kind, func(m *Machine) (string, error) {
		was := m.OS
		message, err := op.do(m)
		if err == nil && m.OS != was { // one that the catalogue has not any more may stay
			err = r.assignable(ctx, m.OS, "/assigned_os")
		}
		return message, err
	}})
}

// assignable errs with [*InvalidError], of what is at a JSON pointer, where the catalogue
// has no such operating system; empty, for none, is assignable. A list that is imported
// may be there before the catalogue that it is for, and is not held against it.
func (r *Registry) assignable(ctx context.Context, os, at string) error {
	if os == "" {
		return nil
	}
	_, err := r.OS(ctx, os)
	if errors.Is(err, ErrNotFound) {
		return &InvalidError{Fields: []FieldError{{at, Clauses(err.Error(), "`dragonfly os list` has what there is")}}}
	}
	return err
}

// editing is an edit that is valid by itself.
func editing(p Patch) operation {
	return operation{MachineEdited, func(m *Machine) (string, error) {
		before := *m
		p.apply(m)
		if len(m.Tags) > maxTags {
			return "", &InvalidError{Fields: []FieldError{{"/tags", fmt.Sprintf("the machine would have %d tags; at most %d", len(m.Tags), maxTags)}}}
		}
		if len(m.Labels) > maxLabels {
			return "", &InvalidError{Fields: []FieldError{{"/labels", fmt.Sprintf("the machine would have %d labels; at most %d", len(m.Labels), maxLabels)}}}
		}
		return edited(before, *m), nil
	}}
}

// edited says what an edit changed.
func edited(before, after Machine) string {
	if before.Name != after.Name {
		return "renamed from " + before.Name + " to " + after.Name
	}
	var what []string
	was, is := before.decided(), after.decided()
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if !reflect.DeepEqual(was[key], is[key]) {
			what = append(what, key)
		}
	}
	if len(what) == 0 {
		return "edited, and nothing changed"
	}
	return "edited: " + strings.Join(what, ", ")
}

func (p Patch) apply(m *Machine) {
	for _, set := range []struct {
		to   *string
		from *string
	}{{&m.Name, p.Name}, {&m.Owner, p.Owner}, {&m.Note, p.Note}, {&m.OS, p.OS}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	p.retag(m)
	m.Labels = maps.Clone(m.Labels)
	for key, value := range p.Labels {
		if value == nil {
			delete(m.Labels, key)
			continue
		}
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[key] = *value
	}
}

// retag changes the tags of m. Those there are stay as they are stored where
// nothing is asked of them.
func (p Patch) retag(m *Machine) {
	if p.Tags == nil && len(p.AddTags)+len(p.RemoveTags) == 0 {
		return
	}
	tags := m.Tags
	if p.Tags != nil {
		tags = *p.Tags
	}
	tags = slices.Compact(slices.Sorted(slices.Values(slices.Concat(tags, p.AddTags))))
	m.Tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(p.RemoveTags, tag) })
}

// Lock keeps a machine from whatever destroys: deploying, retiring, deleting.
// Locking a locked machine changes the note, for the one who locked it; for
// anybody else it errs with a [*LockedError].
func (r *Registry) Lock(ctx context.Context, id, note string) (Machine, error) {
	op, err := r.locking(ctx, note)
	if err != nil {
		return Machine{}, err
	}
	return r.operate(ctx, id, AnyVersion, op)
}

func (r *Registry) locking(ctx context.Context, note string) (operation, error) {
	v := validator{}
	v.text("/note", note)
	return operation{MachineLocked, func(m *Machine) (string, error) {
		by := ActorOf(ctx).Name
		if m.Lock != nil && m.Lock.By != by {
			return "", &LockedError{By: m.Lock.By, Note: m.Lock.Note}
		}
		m.Lock = &Lock{By: by, Note: note, At: r.now().UTC().Truncate(time.Millisecond)}
		if note == "" {
			return "locked", nil
		}
		return "locked: " + note, nil
	}}, v.err()
}

// Unlock takes the lock away. Somebody else's needs force.
func (r *Registry) Unlock(ctx context.Context, id string, force bool) (Machine, error) {
	return r.operate(ctx, id, AnyVersion, unlocking(ctx, force))
}

func unlocking(ctx context.Context, force bool) operation {
	return operation{MachineUnlocked, func(m *Machine) (string, error) {
		if m.Lock != nil && m.Lock.By != ActorOf(ctx).Name && !force {
			return "", &LockedError{By: m.Lock.By, Note: m.Lock.Note}
		}
		m.Lock = nil
		return "unlocked", nil
	}}
}

// Retire takes a machine out of use; its record and history stay, and it boots
// from its own disk.
func (r *Registry) Retire(ctx context.Context, id string, version int64) (Machine, error) {
	return r.operate(ctx, id, version, stepping(CauseRetire))
}

// Restore brings a machine back that is retired or failed, as ready.
func (r *Registry) Restore(ctx context.Context, id string, version int64) (Machine, error) {
	return r.operate(ctx, id, version, stepping(CauseRestore))
}

// stepping is a change of state that an operator asks for.
func stepping(cause Cause) operation {
	kind := map[Cause]Kind{CauseRetire: MachineRetired, CauseRestore: MachineRestored}[cause]
	return operation{kind, func(m *Machine) (string, error) {
		if err := m.unlocked(); err != nil {
			return "", err
		}
		next, err := m.State.Step(cause)
		if err != nil {
			return "", err
		}
		message := fmt.Sprintf("from %s to %s", m.State, next)
		m.State, m.Pending, m.BootNext, m.Reason, m.Deadline = next, "", "", "", time.Time{}
		return message, nil
	}}
}

// Delete forgets a machine with its history; the audit log keeps that it was
// there. A machine that is being installed, or is locked, is refused. One that
// boots from the network again is discovered anew.
func (r *Registry) Delete(ctx context.Context, id string, version int64) error {
	if err := r.writable(); err != nil || AppliedBefore(ctx) {
		return err
	}
	m, err := r.Machine(ctx, id)
	if err != nil {
		return err
	}
	if version != AnyVersion && version != m.Version {
		return &ConflictError{Object: "machine " + m.ID, Read: version, Stored: m.Version}
	}
	if err := m.deletable(); err != nil || dryRun(ctx) {
		return err
	}
	audit, err := audited(MachineDeleted, m, Machine{ID: m.ID})
	if err != nil {
		return err
	}
	audit.At, audit.Actor, audit.After = r.now(), ActorOf(ctx), nil
	return r.commit(ctx, Change{Op: OpOf(ctx), Delete: []Machine{m}, Audit: []AuditEntry{audit},
		Events: []Event{m.event(MachineDeleted, audit.At, m.Name+" was deleted")}})
}

// deletable is why m may not be deleted now.
func (m Machine) deletable() error {
	err := m.unlocked()
	if err == nil && m.State == Installing {
		err = &TransitionError{From: m.State, Cause: CauseDelete}
	}
	if err != nil {
		return fmt.Errorf("%s is not deleted: %w", m.Name, err)
	}
	return nil
}

func (m Machine) unlocked() error {
	if m.Lock == nil {
		return nil
	}
	return &LockedError{By: m.Lock.By, Note: m.Lock.Note}
}

// Timeline returns up to limit events of a machine with a number below before (0:
// the newest), newest first. While the store is away they are those in memory.
func (r *Registry) Timeline(ctx context.Context, id string, before int64, limit int) ([]Event, error) {
	m, err := r.Machine(ctx, id)
	if err != nil {
		return nil, err
	}
	if !r.away() {
		events, err := r.store.Timeline(ctx, m.ID, before, limit)
		if r.heard(ctx, err) == nil || !r.away() {
			return events, err
		}
	}
	return r.feed.of(m.ID, before, limit), nil
}

// History returns up to limit hardware records of a machine, newest first. While
// the store is away it is the one that is known.
func (r *Registry) History(ctx context.Context, id string, limit int) ([]HardwareRecord, error) {
	m, err := r.Machine(ctx, id)
	if err != nil {
		return nil, err
	}
	if !r.away() {
		records, err := r.store.History(ctx, m.ID, limit)
		if r.heard(ctx, err) == nil || !r.away() {
			return records, err
		}
		if m, err = r.Machine(ctx, m.ID); err != nil {
			return nil, err
		}
	}
	return []HardwareRecord{{Machine: m.ID, At: m.RegisteredAt, Hardware: m.Hardware}}[:min(1, max(limit, 0))], nil
}

// Audit returns up to limit entries with a number below before (0: the newest),
// newest first; of one object where it is set.
func (r *Registry) Audit(ctx context.Context, object string, before int64, limit int) ([]AuditEntry, error) {
	return r.store.Audit(ctx, object, before, limit)
}
