package registry

import (
	"context"
	"maps"
	"slices"
)

// keep brings what is in memory up to date, and wakes whoever waits for it.
func (r *Registry) keep(put []Machine, gone []string) {
	for _, id := range gone {
		r.index.remove(id)
	}
	for _, m := range put {
		r.index.put(m)
		r.presence.wake(m.ID)
	}
	if r.standby != nil {
		r.standby.Copy.Keep(put, gone)
	}
}

// follow takes events from the feed, of this process and of every other one on
// the same database, and reloads what others have changed.
func (r *Registry) follow(ctx context.Context, events []Event) error {
	if slices.ContainsFunc(events, changesRules) {
		if err := r.loadRules(ctx, false); err != nil {
			return err
		}
	}
	if err := r.catchUp(ctx, changed(events)); err != nil {
		return err
	}
	for _, e := range events {
		if e.Kind == MachineOffline {
			r.presence.forget(e.Machine, e.At)
		}
	}
	r.boots.note(events, r.now(), r.running(), r.index.startsAgent)
	return r.followDeployments(ctx, events)
}

// catchUp reads those machines anew that others have changed.
func (r *Registry) catchUp(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	r.writing.settle(ctx, ids)
	versions, err := r.store.Versions(ctx, ids)
	if r.heard(ctx, err) != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return versions[id] > 0 && versions[id] <= r.index.version(id) })
	return r.refresh(ctx, ids)
}

// changed are the machines whose records events are about.
func changed(events []Event) []string {
	ids := map[string]bool{}
	for _, e := range events {
		if e.Machine != "" && e.Kind.reloads() {
			ids[e.Machine] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// refresh reads machines anew; those that are not there were deleted.
func (r *Registry) refresh(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	machines, err := r.store.Machines(ctx, Query{IDs: ids})
	if r.heard(ctx, err) != nil {
		return err
	}
	gone := map[string]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	for _, m := range machines {
		delete(gone, m.ID)
	}
	r.keep(machines, slices.Collect(maps.Keys(gone)))
	return nil
}
