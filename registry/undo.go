package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Undo takes a change of one machine back, as long as nobody has changed the machine
// since. It is whatever whoever has it may do anyway: it need not be kept, nor be sealed.
type Undo struct {
	ID      string             `json:"id"`
	Version int64              `json:"v"` // of the machine, as the change has left it
	Name    *string            `json:"name,omitempty"`
	Owner   *string            `json:"owner,omitempty"`
	Note    *string            `json:"note,omitempty"`
	OS      *string            `json:"os,omitempty"`
	Tags    *[]string          `json:"tags,omitempty"`
	Labels  map[string]*string `json:"labels,omitempty"`
	Do      BulkAction         `json:"do,omitempty"`        // lock, unlock, retire or restore; empty: it was an edit
	Lock    string             `json:"lock_note,omitempty"` // with lock
}

// UndoOf is what takes the change from before to after back, which actor has made; nil
// where nothing was changed, where somebody else has changed something between, or where
// there is no way back: the restored machine that had failed is ready, and nothing makes
// it one that has failed.
func UndoOf(before, after Machine, actor string) *Undo {
	if before.ID != after.ID || after.Version != before.Version+1 {
		return nil
	}
	u := &Undo{ID: after.ID, Version: after.Version}
	was, is := before.decided(), after.decided()
	maps.DeleteFunc(was, func(field string, value any) bool { return reflect.DeepEqual(value, is[field]) })
	if len(was) == 0 {
		return nil
	}
	_, state := was["state"]
	_, lock := was["lock"]
	if !state && !lock {
		u.edits(before, after, was)
		return u
	}
	if u.Do, u.Lock = wayBack(before, after, actor); u.Do == "" || len(was) > 1 {
		return nil
	}
	return u
}

// edits notes the fields that were changed.
func (u *Undo) edits(before, after Machine, changed map[string]any) {
	for _, f := range []struct {
		name string
		to   **string
		was  string
	}{{"name", &u.Name, before.Name}, {"owner", &u.Owner, before.Owner}, {"note", &u.Note, before.Note}, {"assigned_os", &u.OS, before.OS}} {
		if _, is := changed[f.name]; is {
			*f.to = new(f.was)
		}
	}
	if _, is := changed["tags"]; is {
		u.Tags = new(append([]string{}, before.Tags...))
	}
	if _, is := changed["labels"]; !is {
		return
	}
	u.Labels = map[string]*string{}
	for key := range after.Labels {
		u.Labels[key] = nil
	}
	for key, value := range before.Labels {
		u.Labels[key] = &value
	}
}

// wayBack is what makes the state and the lock what they were, with the note of a lock;
// empty where nothing does. A lock is whose it was only where it is one's own.
func wayBack(before, after Machine, actor string) (do BulkAction, note string) {
	plain := before.Pending == "" && before.BootNext == "" && before.Reason == "" && before.Deadline == (time.Time{})
	switch {
	case before.State == Ready && after.State == Retired && plain:
		return BulkRestore, ""
	case before.State == Retired && after.State == Ready && plain:
		return BulkRetire, ""
	case before.State != after.State:
		return "", ""
	case before.Lock == nil:
		return BulkUnlock, ""
	case before.Lock.By == actor:
		return BulkLock, before.Lock.Note
	}
	return "", ""
}

// operation is what u does.
func (u Undo) operation(ctx context.Context, r *Registry) (operation, error) {
	patch := Patch{Name: u.Name, Owner: u.Owner, Note: u.Note, OS: u.OS, Tags: u.Tags, Labels: u.Labels}
	switch u.Do {
	case "":
		return editing(patch), patch.Validate()
	case BulkLock, BulkUnlock, BulkRetire, BulkRestore:
		return r.bulkOperation(ctx, Bulk{Action: u.Do, Note: u.Lock})
	}
	return operation{}, &InvalidError{Fields: []FieldError{{"/do", fmt.Sprintf("%.40q takes nothing back", u.Do)}}}
}

// Undo takes changes back. Each is done, or refused, on its own: where somebody has
// changed the machine meanwhile, it stays as that has left it.
func (r *Registry) Undo(ctx context.Context, all []Undo) ([]Outcome, error) {
	if len(all) == 0 || len(all) > MaxSelected {
		return nil, &InvalidError{Fields: []FieldError{{"", fmt.Sprintf("%d changes; want 1 to %d", len(all), MaxSelected)}}}
	}
	if err := r.writable(); err != nil {
		return nil, err
	}
	ids := make([]string, len(all))
	by := make(map[string]Undo, len(all))
	for i, u := range all {
		ids[i], by[u.ID] = u.ID, u
	}
	outcomes, err := r.Select(ctx, Selection{Machines: ids})
	if err != nil {
		return nil, err
	}
	err = eachOf(ctx, outcomes, func(ctx context.Context, o *Outcome) error { return r.undo(ctx, by[o.ID]) })
	r.log.Info("changes taken back", "done", Done(outcomes), "refused", len(outcomes)-Done(outcomes), "by", ActorOf(ctx).Name)
	return slices.Clip(outcomes), err
}

func (r *Registry) undo(ctx context.Context, u Undo) error {
	if u.Version <= AnyVersion {
		return &InvalidError{Fields: []FieldError{{"/v", "want the version that the change has left"}}}
	}
	op, err := u.operation(ctx, r)
	if err != nil {
		return err
	}
	_, _, err = r.change(ctx, u.ID, u.Version, op)
	if lost, is := errors.AsType[*ConflictError](err); is && lost.Object == "machine "+u.ID {
		return &RefusalError{Why: "somebody changed it meanwhile, and it stays as that has left it"}
	}
	return err
}
