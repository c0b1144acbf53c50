package registry_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/registrytest"
)

// swapped is a machine with everything an operator says, and the record that its
// new board made later.
func swapped(t *testing.T, r *registry.Registry) (old, board registry.Machine) {
	t.Helper()
	old, _ = mustRegister(t, r, registration(1, uuidA, "SN-A"))
	time.Sleep(time.Hour)
	board, _ = mustRegister(t, r, registration(2, uuidB, "SN-B"))
	for id, p := range map[string]registry.Patch{
		old.ID:   {Name: new("rack1-7"), Owner: new("ana"), Tags: &[]string{"db", "gpu"}, Labels: map[string]*string{"rack": new("a1")}},
		board.ID: {Owner: new("ben"), Note: new("what is this?"), OS: new("linux"), Tags: &[]string{"db", "new"}, Labels: map[string]*string{"rack": new("z9"), "slot": new("7")}},
	} {
		m, err := r.Edit(by(t, "ana"), id, registry.AnyVersion, p)
		if err != nil {
			t.Fatal(err)
		}
		if id == old.ID {
			old = m
		} else {
			board = m
		}
	}
	return old, board
}

func TestMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r, other := open(t, store), open(t, store)
		old, board := swapped(t, r)
		m, err := r.Merge(by(t, "ana"), "rack1-7", board.Name, old.Version)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID != old.ID || m.Name != "rack1-7" || m.Version != old.Version+1 || m.Owner != "ana" || m.Note != "what is this?" || m.OS != "linux" ||
			!slices.Equal(m.Tags, []string{"db", "gpu", "new"}) || fmt.Sprint(m.Labels) != "map[rack:a1 slot:7]" ||
			!slices.Equal(m.MACs, []registry.MAC{mac(2), mac(1)}) || m.Hardware.System.UUID != uuidB || !m.RegisteredAt.Equal(board.RegisteredAt) {
			t.Errorf("merged: %+v", m)
		}
		if _, err := r.Machine(t.Context(), board.ID); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("the other record: %v", err)
		}
		time.Sleep(time.Second) // the other server hears of it
		for name, r := range map[string]*registry.Registry{"here": r, "there": other} {
			if e, ok := r.Lookup(mac(2)); !ok || e.ID != old.ID || r.Count() != 1 {
				t.Errorf("%s the board's address is that of %+v, of %d machines", name, e, r.Count())
			}
		}
		timeline, err := r.Timeline(t.Context(), old.ID, 0, 100)
		registered := 0
		for _, e := range timeline {
			if e.Kind == registry.MachineRegistered {
				registered++
			}
		}
		if err != nil || registered != 2 || timeline[0].Message != board.Name+" ("+board.ID+") is the same machine; what happened to it is here now, by ana" {
			t.Errorf("timeline: %+v, %v", timeline, err)
		}
		history, err := r.History(t.Context(), old.ID, 10)
		if err != nil || len(history) != 2 || history[0].Hardware.System.UUID != uuidB {
			t.Errorf("history: %+v, %v", history, err)
		}
		for id, want := range map[string]string{old.ID: `"merged":"` + board.ID + `"`, board.ID: `{"merged_into":"` + old.ID + `"}`} {
			if audit, err := r.Audit(t.Context(), id, 0, 1); err != nil || audit[0].Actor.Name != "ana" || !strings.Contains(string(audit[0].After), want) {
				t.Errorf("audit of %s: %+v, %v", id, audit, err)
			}
		}
		if again, created := mustRegister(t, r, registration(2, uuidB, "SN-B")); created || again.ID != old.ID || again.Name != "rack1-7" {
			t.Errorf("the machine registers again: created %v, %+v", created, again)
		}
	})
}

// The older record goes into the newer one: what was reported last stays.
func TestMergeTheOtherWayRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registrytest.Memory())
		old, board := swapped(t, r)
		m, err := r.Merge(t.Context(), board.ID, old.ID, registry.AnyVersion)
		if err != nil || m.ID != board.ID || m.Owner != "ben" || m.Hardware.System.UUID != uuidB || !slices.Equal(m.MACs, []registry.MAC{mac(2), mac(1)}) ||
			m.Labels["rack"] != "z9" || !m.CreatedAt.Equal(old.CreatedAt) {
			t.Errorf("merged: %+v, %v", m, err)
		}
	})
}

func TestMergeRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		old, board := swapped(t, h.Registry)
		merge := func(version int64) error {
			_, err := h.Merge(by(t, "ben"), old.ID, board.ID, version)
			return err
		}
		wrong := func(err error, says string) {
			t.Helper()
			invalid, ok := errors.AsType[*registry.InvalidError](err)
			if !ok || invalid.Fields[0].Pointer != "/from" || !strings.Contains(invalid.Fields[0].Message, says) {
				t.Errorf("got %v, want /from: %s", err, says)
			}
		}
		_, err := h.Merge(t.Context(), old.ID, old.Name, registry.AnyVersion)
		wrong(err, "the same record")
		_, err = h.Merge(t.Context(), old.ID, "nobody", registry.AnyVersion)
		wrong(err, "not found")
		if _, err := h.Merge(t.Context(), "nobody", old.ID, registry.AnyVersion); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("into nobody: %v", err)
		}
		err = merge(1)
		if lost, ok := errors.AsType[*registry.ConflictError](err); !ok || lost.Read != 1 || lost.Stored != 2 {
			t.Errorf("a stale version: %v", err)
		}

		if _, err := h.Lock(by(t, "ana"), board.ID, "mine"); err != nil {
			t.Fatal(err)
		}
		err = merge(registry.AnyVersion)
		if locked, ok := errors.AsType[*registry.LockedError](err); !ok || locked.By != "ana" || !strings.Contains(err.Error(), board.Name+": ") {
			t.Errorf("a locked record: %v", err)
		}
		if board, err = h.Unlock(by(t, "ana"), board.ID, false); err != nil {
			t.Fatal(err)
		}

		mustRegister(t, h.Registry, registration(1, uuidA, "SN-A"))
		mustRegister(t, h.Registry, registration(2, uuidB, "SN-B"))
		wrong(merge(registry.AnyVersion), "both are online")
		time.Sleep(time.Minute)

		store.off.Store(true)
		time.Sleep(time.Second)
		if err := merge(registry.AnyVersion); !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "away since") {
			t.Errorf("while the database is away: %v", err)
		}
		store.off.Store(false)
		h.settled(t)

		if board, err = h.Machine(t.Context(), board.ID); err != nil {
			t.Fatal(err)
		}
		install(t, store, board, time.Now().Add(time.Hour))
		err = merge(registry.AnyVersion)
		if refused, ok := errors.AsType[*registry.TransitionError](err); !ok || refused.Cause != registry.CauseMerge {
			t.Errorf("a machine that is being installed: %v", err)
		}
		if n := h.Count(); n != 2 {
			t.Errorf("%d machines are left of 2", n)
		}
	})
}

func TestMergeKeepsToTheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registrytest.Memory())
		old, board := swapped(t, r)
		many := func(prefix string) *[]string {
			var tags []string
			for i := range 40 {
				tags = append(tags, fmt.Sprint(prefix, i))
			}
			return &tags
		}
		for id, prefix := range map[string]string{old.ID: "a", board.ID: "b"} {
			if _, err := r.Edit(t.Context(), id, registry.AnyVersion, registry.Patch{Tags: many(prefix)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Merge(t.Context(), old.ID, board.ID, registry.AnyVersion); err == nil || !strings.Contains(err.Error(), "would have 80 tags; at most 64") {
			t.Errorf("too many tags: %v", err)
		}
	})
}
