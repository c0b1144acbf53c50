package registry_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// What each change of a machine left is taken back, and the machine is what it was.
func TestUndo(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	ctx := by(t, "ana")
	if m, err := r.Edit(ctx, m.ID, registry.AnyVersion, registry.Patch{Tags: &[]string{"old"}, Labels: map[string]*string{"rack": new("a1")}}); err != nil || m.Owner != "" {
		t.Fatal(err)
	}
	bulk := func(b registry.Bulk) *registry.Undo {
		t.Helper()
		all, err := r.Bulk(ctx, registry.Selection{Machines: []string{m.ID}}, b)
		if err != nil || all[0].Err != nil {
			t.Fatalf("%s: %v, %+v", b.Action, err, all)
		}
		return all[0].Undo
	}
	for name, b := range map[string]registry.Bulk{
		"tag":    {Action: registry.BulkTag, Tags: []string{"new", "old"}},
		"untag":  {Action: registry.BulkUntag, Tags: []string{"old"}},
		"lock":   {Action: registry.BulkLock, Note: "mine"},
		"retire": {Action: registry.BulkRetire},
		"edit":   {Action: registry.BulkEdit, Edit: &registry.Patch{Name: new("elk-2"), Owner: new("ben"), Note: new("x"), OS: new("debian-12"), Labels: map[string]*string{"rack": nil, "row": new("7")}}},
	} {
		before, _ := r.Machine(ctx, m.ID)
		undo := bulk(b)
		changed, _ := r.Machine(ctx, m.ID)
		if undo == nil || changed.Version != before.Version+1 {
			t.Errorf("%s: there is no way back from version %d", name, changed.Version)
			continue
		}
		if all, err := r.Undo(ctx, []registry.Undo{*undo}); err != nil || all[0].Err != nil {
			t.Errorf("%s: %v, %+v", name, err, all)
		}
		after, err := r.Machine(ctx, m.ID)
		if !reflect.DeepEqual(after.Listed(), before.Listed()) || err != nil {
			t.Errorf("%s: it is %+v, and was %+v, %v", name, after.Listed(), before.Listed(), err)
		}
		if again, err := r.Undo(ctx, []registry.Undo{*undo}); err != nil || again[0].Err == nil || !strings.Contains(again[0].Err.Error(), "somebody changed it meanwhile") {
			t.Errorf("%s, taken back again: %v, %+v", name, err, again)
		}
	}
	if undo := bulk(registry.Bulk{Action: registry.BulkTag, Tags: []string{"old"}}); undo != nil {
		t.Errorf("a tag that was there: %+v", undo)
	}
	lock := bulk(registry.Bulk{Action: registry.BulkLock, Note: "mine"})
	unlock := bulk(registry.Bulk{Action: registry.BulkUnlock})
	if unlock == nil || unlock.Do != registry.BulkLock || unlock.Lock != "mine" {
		t.Errorf("one's own lock: %+v", unlock)
	}
	if all, err := r.Undo(ctx, []registry.Undo{*lock, {ID: "m-nobody", Version: 1}}); err != nil || all[0].Err == nil || !errors.Is(all[1].Err, registry.ErrNotFound) {
		t.Errorf("a lock that is gone, and a machine that is: %v, %+v", err, all)
	}
}

// There is no way back to what nothing leads to, nor over what somebody else has done.
func TestNoUndo(t *testing.T) {
	ready := registry.Machine{ID: "m-1", Version: 3, State: registry.Ready}
	with := func(change func(m *registry.Machine)) registry.Machine {
		m := ready
		m.Version++
		change(&m)
		return m
	}
	for name, c := range map[string][2]registry.Machine{
		"nothing":          {ready, with(func(*registry.Machine) {})},
		"one between":      {ready, with(func(m *registry.Machine) { m.Version, m.Note = 5, "x" })},
		"another machine":  {ready, with(func(m *registry.Machine) { m.ID, m.Note = "m-2", "x" })},
		"a failed one":     {registry.Machine{ID: "m-1", Version: 3, State: registry.Failed, Reason: "no disk"}, with(func(*registry.Machine) {})},
		"an installed one": {registry.Machine{ID: "m-1", Version: 3, State: registry.Installed}, with(func(m *registry.Machine) { m.State = registry.Retired })},
		"another's lock":   {registry.Machine{ID: "m-1", Version: 3, State: registry.Ready, Lock: &registry.Lock{By: "ben"}}, with(func(*registry.Machine) {})},
	} {
		if undo := registry.UndoOf(c[0], c[1], "ana"); undo != nil {
			t.Errorf("%s: %+v", name, undo)
		}
	}
}

func TestWrongUndo(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	ctx := context.Context(by(t, "ana"))
	if _, err := r.Undo(ctx, nil); err == nil {
		t.Error("nothing is taken back")
	}
	for want, u := range map[string]registry.Undo{
		"want the version":       {ID: m.ID},
		"takes nothing back":     {ID: m.ID, Version: m.Version, Do: registry.BulkDelete},
		"/tags":                  {ID: m.ID, Version: m.Version, Tags: &[]string{"no way"}},
		"markup is not accepted": {ID: m.ID, Version: m.Version, Do: registry.BulkLock, Lock: "<b>"},
	} {
		all, err := r.Undo(ctx, []registry.Undo{u})
		if err != nil || all[0].Err == nil || !strings.Contains(all[0].Err.Error(), want) {
			t.Errorf("%s: %v, %+v", want, err, all)
		}
	}
	if now, err := r.Machine(ctx, m.ID); err != nil || now.Version != m.Version {
		t.Errorf("it was changed: %+v, %v", now, err)
	}
}
