package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bulk is one thing that is done to each machine of a selection. An action takes its
// own parameters and no others.
type Bulk struct {
	Action      BulkAction
	Edit        *Patch      // for edit; a name only for one machine
	Tags        []string    // for tag and untag
	Note        string      // for lock
	Force       bool        // for unlock: also a lock of somebody else
	Instruction Instruction // for instruct
}

// BulkAction is what may be done to many machines.
type BulkAction string

// What may be done to many machines.
const (
	BulkEdit     BulkAction = "edit"
	BulkTag      BulkAction = "tag"
	BulkUntag    BulkAction = "untag"
	BulkLock     BulkAction = "lock"
	BulkUnlock   BulkAction = "unlock"
	BulkRetire   BulkAction = "retire"
	BulkRestore  BulkAction = "restore"
	BulkDelete   BulkAction = "delete"
	BulkInstruct BulkAction = "instruct"
)

// BulkActions lists them.
func BulkActions() []BulkAction {
	return []BulkAction{BulkEdit, BulkTag, BulkUntag, BulkLock, BulkUnlock, BulkRetire, BulkRestore, BulkDelete, BulkInstruct}
}

// Bulk does the same to each machine of a selection. Each is changed, or refused, on
// its own, with what [Registry.Edit] and the others say. With [WithDryRun] nothing is
// changed. It errs with an [*InvalidError] for what is wrong with the whole, with
// [ErrUnavailable], or where its caller went away: then what was not begun is not done.
func (r *Registry) Bulk(ctx context.Context, s Selection, b Bulk) ([]Outcome, error) {
	if err := b.validate(s); err != nil {
		return nil, err
	}
	if err := r.writable(); err != nil {
		return nil, err
	}
	if os := b.patch().OS; os != nil {
		if err := r.assignable(ctx, *os, "/edit/assigned_os"); err != nil {
			return nil, err
		}
	}
	all, err := r.Select(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := eachOf(ctx, all, func(ctx context.Context, o *Outcome) error { return r.doBulk(ctx, o, b) }); err != nil {
		return nil, err
	}
	if !dryRun(ctx) {
		r.log.Info("machines changed", "action", b.Action, "done", Done(all), "refused", len(all)-Done(all), "by", ActorOf(ctx).Name)
	}
	return all, nil
}

// validate reports what is wrong with the whole. What one machine would be refused for
// alone is wrong with all of them too.
func (b Bulk) validate(s Selection) error {
	v := validator{}
	s.check(&v)
	if b.Edit != nil && b.Edit.Name != nil && !s.one() {
		v.add("/edit/name", "a name is for one machine")
	}
	if !slices.Contains(BulkActions(), b.Action) {
		v.add("/action", fmt.Sprintf("there is no action %.40q", b.Action))
	}
	b.parameters(&v)
	if patch, ok := errors.AsType[*InvalidError](b.patch().Validate()); ok {
		for _, f := range patch.Fields {
			if b.Action == BulkEdit {
				f.Pointer = "/edit" + f.Pointer
			}
			v.add(strings.NewReplacer("/add_tags/", "/tags/", "/remove_tags/", "/tags/").Replace(f.Pointer), f.Message)
		}
	}
	return v.err()
}

// parameters notes those that are missing, or of another action.
func (b Bulk) parameters(v *validator) {
	for _, p := range []struct {
		name    string
		given   bool
		needed  bool
		actions []BulkAction
	}{
		{"edit", b.Edit != nil, true, []BulkAction{BulkEdit}},
		{"tags", len(b.Tags) > 0, true, []BulkAction{BulkTag, BulkUntag}},
		{"instruction", b.Instruction != "", true, []BulkAction{BulkInstruct}},
		{"note", b.Note != "", false, []BulkAction{BulkLock}},
		{"force", b.Force, false, []BulkAction{BulkUnlock}},
	} {
		if takes := slices.Contains(p.actions, b.Action); p.given && !takes {
			v.add("/"+p.name, fmt.Sprintf("this is for %s, and not for %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(p.actions), " ", " and "), "[]"), b.Action))
		} else if takes && p.needed && !p.given {
			v.add("/"+p.name, string(b.Action)+" needs it")
		}
	}
}

// patch is what edit, tag and untag change.
func (b Bulk) patch() Patch {
	switch b.Action {
	case BulkEdit:
		if b.Edit != nil {
			return *b.Edit
		}
	case BulkTag:
		return Patch{AddTags: b.Tags}
	case BulkUntag:
		return Patch{RemoveTags: b.Tags}
	}
	return Patch{}
}

// doBulk does it to one machine.
func (r *Registry) doBulk(ctx context.Context, o *Outcome, b Bulk) error {
	switch b.Action {
	case BulkDelete:
		return r.Delete(ctx, o.ID, AnyVersion)
	case BulkInstruct:
		_, err := r.Instruct(ctx, o.ID, b.Instruction)
		return err
	}
	op, err := r.bulkOperation(ctx, b)
	if err != nil {
		return err
	}
	before, after, err := r.change(ctx, o.ID, AnyVersion, op)
	if err == nil {
		o.Undo = UndoOf(before, after, ActorOf(ctx).Name)
	}
	return err
}

// bulkOperation is what it is for one machine, but for what has no operation.
func (r *Registry) bulkOperation(ctx context.Context, b Bulk) (operation, error) {
	switch b.Action {
	case BulkLock:
		return r.locking(ctx, b.Note)
	case BulkUnlock:
		return unlocking(ctx, b.Force), nil
	case BulkRetire:
		return stepping(CauseRetire), nil
	case BulkRestore:
		return stepping(CauseRestore), nil
	}
	return editing(b.patch()), nil // edit, tag, untag: valid by themselves
}
