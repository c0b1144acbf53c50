package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Merge folds one record into another, where both are of one machine: a board was
// swapped, say, and nothing told that it is the same. The kept one gets the
// addresses, the tags, and of labels, note, owner and operating system what it has
// not; the hardware is what was reported last; timeline and hardware history become
// one. The other record is gone.
//
// It errs with [*InvalidError] (also where both are online: they are two machines),
// [ErrNotFound], [*LockedError], [*TransitionError], [ErrUnavailable], and with a
// [*ConflictError] when version is not [AnyVersion] and not that of the kept one.
func (r *Registry) Merge(ctx context.Context, keep, from string, version int64) (Machine, error) {
	if err := r.writable(); err != nil {
		return Machine{}, err
	}
	if AppliedBefore(ctx) {
		return r.Machine(ctx, keep)
	}
	for range attempts {
		m, err := r.mergeOnce(ctx, keep, from, version)
		lost, raced := errors.AsType[*ConflictError](err)
		if !raced || version != AnyVersion && lost.Object == "machine "+m.ID {
			return m, err
		}
	}
	return Machine{}, &ConflictError{Object: "machine " + keep}
}

// mergeOnce is one attempt. The machine it returns beside an error has only its ID.
func (r *Registry) mergeOnce(ctx context.Context, keepID, fromID string, version int64) (Machine, error) {
	keep, err := r.Machine(ctx, keepID)
	if err != nil {
		return Machine{}, err
	}
	none := Machine{ID: keep.ID}
	if version != AnyVersion && version != keep.Version {
		return none, &ConflictError{Object: "machine " + keep.ID, Read: version, Stored: keep.Version}
	}
	from, err := r.Machine(ctx, fromID)
	if errors.Is(err, ErrNotFound) {
		err = wrongFrom(err.Error())
	}
	if err != nil {
		return none, err
	}
	m, err := merge(keep, from, r.now())
	if err != nil {
		return none, fmt.Errorf("merge %s into %s: %w", from.Name, keep.Name, err)
	}
	if dryRun(ctx) {
		return m, nil
	}
	change, err := mergeChange(keep, from, m, r.now(), ActorOf(ctx))
	if err == nil {
		change.Op = OpOf(ctx)
		err = r.commit(ctx, change)
	}
	if err != nil {
		return none, err
	}
	m.Version++
	return m, nil
}

func wrongFrom(message string) error {
	return &InvalidError{Fields: []FieldError{{"/from", message}}}
}

// merge is keep with what from has, or why not.
func merge(keep, from Machine, now time.Time) (Machine, error) {
	if keep.ID == from.ID {
		return keep, wrongFrom("it is the same record")
	}
	for _, m := range []Machine{keep, from} {
		if err := m.unlocked(); err != nil {
			return keep, fmt.Errorf("%s: %w", m.Name, err)
		}
		if m.State == Installing {
			return keep, fmt.Errorf("%s: %w", m.Name, &TransitionError{From: m.State, Cause: CauseMerge})
		}
	}
	alive := func(m Machine) bool { return !m.RegisteredAt.IsZero() && m.Online(now) }
	if alive(keep) && alive(from) {
		return keep, wrongFrom("both are online, so they are two machines; one that was just switched off counts for " + OnlineFor.String())
	}
	m := keep
	if m.MACs = mergeMACs(keep.MACs, from.MACs); from.RegisteredAt.After(keep.RegisteredAt) {
		m.MACs = mergeMACs(from.MACs, keep.MACs)
		m.Hardware, m.Hostname, m.Address, m.RegisteredAt = from.Hardware, from.Hostname, from.Address, from.RegisteredAt
	}
	if m.State == Discovered {
		m.State, m.Reason = from.State, from.Reason
	}
	if from.SeenAt.After(m.SeenAt) {
		m.SeenAt = from.SeenAt
	}
	if from.CreatedAt.Before(m.CreatedAt) {
		m.CreatedAt = from.CreatedAt
	}
	return m.takeOver(from)
}

// takeOver is m with what operators said of from, where they said nothing of m.
func (m Machine) takeOver(from Machine) (Machine, error) {
	if len(from.Tags) > 0 {
		m.Tags = slices.Compact(slices.Sorted(slices.Values(slices.Concat(m.Tags, from.Tags))))
	}
	if len(from.Labels) > 0 {
		labels := maps.Clone(from.Labels)
		maps.Copy(labels, m.Labels)
		m.Labels = labels
	}
	for _, set := range []struct {
		to   *string
		from string
	}{{&m.Owner, from.Owner}, {&m.Note, from.Note}, {&m.OS, from.OS}} {
		if *set.to == "" {
			*set.to = set.from
		}
	}
	for _, c := range []struct {
		what      string
		have, max int
	}{{"tags", len(m.Tags), maxTags}, {"labels", len(m.Labels), maxLabels}} {
		if c.have > c.max {
			return m, wrongFrom(fmt.Sprintf("the machine would have %d %s; at most %d", c.have, c.what, c.max))
		}
	}
	for _, mac := range from.MACs {
		if !slices.Contains(m.MACs, mac) {
			return m, wrongFrom(fmt.Sprintf("the machine would have more than %d hardware addresses", maxMachineMACs))
		}
	}
	return m, nil
}

// mergeChange writes a merge: m is keep as it is then.
func mergeChange(keep, from, m Machine, now time.Time, actor Actor) (Change, error) {
	by := ""
	if actor.Name != "" {
		by = ", by " + actor.Name
	}
	was, is := keep.decided(), m.decided()
	was["macs"], is["macs"], is["merged"] = keep.MACs, m.MACs, from.ID
	kept, errKept := auditOf(MachineMerged, m, was, is)
	gone, errGone := audited(MachineDeleted, from, Machine{ID: from.ID})
	gone.After, _ = json.Marshal(map[string]string{"merged_into": m.ID}) // strings only: cannot fail
	for _, entry := range []*AuditEntry{&kept, &gone} {
		entry.At, entry.Actor = now, actor
	}
	return Change{Op: newOp(), Put: []Machine{m}, Delete: []Machine{from}, Move: []Move{{From: from.ID, To: m.ID}},
		Audit: []AuditEntry{kept, gone},
		Events: []Event{
			m.event(MachineMerged, now, fmt.Sprintf("%s (%s) is the same machine; what happened to it is here now%s", from.Name, from.ID, by)),
			from.event(MachineDeleted, now, fmt.Sprintf("%s is the same machine as %s (%s) and went into it%s", from.Name, m.Name, m.ID, by)),
		}}, errors.Join(errKept, errGone)
}
