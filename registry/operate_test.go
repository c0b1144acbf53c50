package registry_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// fleet is a registry over store with one registered machine.
func fleet(t *testing.T, store registry.Store) (*registry.Registry, registry.Machine) {
	t.Helper()
	r, err := registry.New(t.Context(), store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.Equip(catalogue)
	m, _, err := r.Register(t.Context(), registry.Registration{MAC: registry.MAC{2, 0, 0, 0, 0, 1},
		Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Serial: "SN-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// by is a context in which somebody asks.
func by(t *testing.T, name string) context.Context {
	return registry.WithActor(t.Context(), registry.Actor{Name: name, Role: "operator", From: "192.0.2.1"})
}

// An operating system that is not in the catalogue cannot be assigned; one that a machine
// has all the same stays, whatever else is edited.
func TestEditAssigns(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	imported(t, r, registry.Listed{Name: "elk", Serial: "SN-2", OS: new("gone-1")})
	for _, step := range []struct{ os, want, problem string }{
		{"gone-1", "gone-1", ""},
		{"debain-12", "gone-1", "/assigned_os: operating system \"debain-12\": not found; did you mean debian-12?"},
		{"debian-12", "debian-12", ""},
		{"gone-1", "debian-12", "/assigned_os: operating system \"gone-1\": not found"},
		{"", "", ""},
	} {
		_, err := r.Edit(by(t, "ana"), "elk", registry.AnyVersion, registry.Patch{Note: &step.os, OS: &step.os})
		if step.problem == "" && err != nil || step.problem != "" && (err == nil || !strings.Contains(err.Error(), step.problem)) {
			t.Errorf("%q: %v; want %q", step.os, err, step.problem)
		}
		if m, err := r.Machine(t.Context(), "elk"); err != nil || m.OS != step.want || step.problem == "" && m.Note != step.os {
			t.Errorf("%q: %q with the note %q, %v; want %q", step.os, m.OS, m.Note, err, step.want)
		}
	}
}

func TestEdit(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	tags := []string{"gpu", "a", "gpu"}
	edited, err := r.Edit(by(t, "ana"), m.ID, m.Version, registry.Patch{Name: new("rack1-7"), Owner: new("lab"), Note: new("two\nlines"),
		Tags: &tags, Labels: map[string]*string{"rack": new("a1"), "gone": nil}})
	if err != nil {
		t.Fatal(err)
	}
	if edited.Name != "rack1-7" || edited.Owner != "lab" || edited.Note != "two\nlines" || !slices.Equal(edited.Tags, []string{"a", "gpu"}) ||
		edited.Labels["rack"] != "a1" || len(edited.Labels) != 1 || edited.Version != m.Version+1 {
		t.Errorf("edited: %+v", edited)
	}
	again, err := r.Edit(by(t, "ana"), "rack1-7", registry.AnyVersion, registry.Patch{Labels: map[string]*string{"rack": nil}})
	if err != nil || len(again.Labels) != 0 || again.Owner != "lab" {
		t.Errorf("edited again: %+v, %v", again, err)
	}
	if _, err := r.Edit(by(t, "ben"), m.ID, m.Version, registry.Patch{Owner: new("ben")}); err == nil ||
		!strings.Contains(err.Error(), "is at version 3 and version 1 was read") {
		t.Errorf("a stale edit: %v", err)
	}
	audit, err := r.Audit(t.Context(), m.ID, 0, 10)
	if err != nil || len(audit) != 2 || audit[1].Action != "machine.edited" || audit[1].Actor.Name != "ana" || audit[1].Actor.From != "192.0.2.1" ||
		!strings.Contains(string(audit[1].Before), m.Name) || !strings.Contains(string(audit[1].After), `"owner":"lab"`) ||
		strings.Contains(string(audit[1].After), "state") {
		t.Errorf("audit: %+v, %v", audit, err)
	}
	timeline, err := r.Timeline(t.Context(), m.ID, 0, 2)
	if err != nil || len(timeline) != 2 || timeline[1].Message != "renamed from "+m.Name+" to rack1-7, by ana" {
		t.Errorf("timeline: %+v, %v", timeline, err)
	}
}

func TestBadEdits(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	many := make([]string, 65)
	for i := range many {
		many[i] = strings.Repeat("a", i%60+1)
	}
	for pointer, p := range map[string]registry.Patch{
		"/name":        {Name: new("Rack 1")},
		"/name ":       {Name: new("m-7")},
		"/name  ":      {Name: new("")},
		"/owner":       {Owner: new("<b>")},
		"/note":        {Note: new("\x1b[2J")},
		"/tags":        {Tags: &many},
		"/tags/1":      {Tags: &[]string{"ok", "two words"}},
		"/labels/":     {Labels: map[string]*string{"": new("x")}},
		"/labels/rack": {Labels: map[string]*string{"rack": new(strings.Repeat("x", 1000))}},
	} {
		_, err := r.Edit(t.Context(), m.ID, registry.AnyVersion, p)
		invalid, ok := errors.AsType[*registry.InvalidError](err)
		if !ok || invalid.Fields[0].Pointer != strings.TrimSpace(pointer) {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	other, _, err := r.Register(t.Context(), registry.Registration{MAC: registry.MAC{2, 0, 0, 0, 0, 2}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Edit(t.Context(), other.ID, registry.AnyVersion, registry.Patch{Name: &m.Name})
	if lost, ok := errors.AsType[*registry.ConflictError](err); !ok || lost.Error() != "the name "+m.Name+" is that of another machine" {
		t.Errorf("a taken name: %v", err)
	}
	if _, err := r.Edit(t.Context(), "nobody", registry.AnyVersion, registry.Patch{}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("no such machine: %v", err)
	}
	if now, err := r.Machine(t.Context(), m.ID); err != nil || now.Version != m.Version {
		t.Errorf("a refused edit changed something: %+v, %v", now, err)
	}
}

func TestLock(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	if _, err := r.Lock(by(t, "ana"), m.ID, "copying its disk"); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"lock":   func() error { _, err := r.Lock(by(t, "ben"), m.ID, "mine"); return err },
		"unlock": func() error { _, err := r.Unlock(by(t, "ben"), m.ID, false); return err },
		"retire": func() error { _, err := r.Retire(by(t, "ana"), m.ID, registry.AnyVersion); return err },
		"delete": func() error { return r.Delete(by(t, "ana"), m.ID, registry.AnyVersion) },
	} {
		err := try()
		if locked, ok := errors.AsType[*registry.LockedError](err); !ok || locked.By != "ana" || !strings.Contains(err.Error(), "copying its disk") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if m, err := r.Unlock(by(t, "ben"), m.ID, true); err != nil || m.Lock != nil {
		t.Errorf("forced: %+v, %v", m.Lock, err)
	}
}

func TestRetireRestoreDelete(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	if _, err := r.Restore(t.Context(), m.ID, registry.AnyVersion); err == nil || !strings.Contains(err.Error(), "is ready may not restore") {
		t.Errorf("restore a ready machine: %v", err)
	}
	m, err := r.Retire(t.Context(), m.ID, m.Version)
	if err != nil || m.State != registry.Retired {
		t.Fatalf("retire: %s, %v", m.State, err)
	}
	if m, err = r.Restore(t.Context(), m.ID, m.Version); err != nil || m.State != registry.Ready {
		t.Fatalf("restore: %s, %v", m.State, err)
	}
	if err := r.Delete(t.Context(), m.ID, 1); err == nil {
		t.Error("a stale delete was carried out")
	}
	if err := r.Delete(by(t, "ana"), m.ID, m.Version); err != nil {
		t.Fatal(err)
	}
	if _, known := r.Lookup(m.MACs[0]); known || r.Count() != 0 {
		t.Error("the index still has the deleted machine")
	}
	if audit, err := r.Audit(t.Context(), m.ID, 0, 1); err != nil || len(audit) != 1 || audit[0].After != nil || !strings.Contains(string(audit[0].Before), m.Name) {
		t.Errorf("audit: %+v, %v", audit, err)
	}
}

// Two processes on one database hear of each other's changes, also of records
// that are merged away.
func TestTwoRegistriesAgree(t *testing.T) {
	store := registrytest.Memory()
	a, err := registry.New(t.Context(), store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	discovered := registry.Machine{ID: "m-seen", Name: registry.Name("02:00:00:00:00:09", 0), State: registry.Discovered, MACs: []registry.MAC{{2, 0, 0, 0, 0, 9}}}
	if err := store.Commit(t.Context(), registry.Change{Op: "seen", Put: []registry.Machine{discovered}}); err != nil {
		t.Fatal(err)
	}
	b, err := registry.New(t.Context(), store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	defer func() { cancel(); <-done }()
	m, _, err := a.Register(t.Context(), registry.Registration{MAC: registry.MAC{2, 0, 0, 0, 0, 1}, Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Serial: "SN-7"}}})
	if err != nil {
		t.Fatal(err)
	}
	// The second address proves that the record that was seen is the same machine.
	if _, _, err := a.Register(t.Context(), registry.Registration{MAC: m.MACs[0], MACs: discovered.MACs,
		Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Serial: "SN-7"}}}); err != nil {
		t.Fatal(err)
	}
	last, err := store.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for b.Feed().Last() < last {
		if _, err := b.Feed().Next(t.Context(), b.Feed().Last()); err != nil {
			t.Fatal(err)
		}
	}
	entry, known := b.Lookup(discovered.MACs[0])
	if b.Count() != 1 || !known || entry.ID != m.ID {
		t.Errorf("the other registry has %d machines, and %+v at the merged address", b.Count(), entry)
	}
}

func TestHardwareHistory(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	reg := registry.Registration{MAC: m.MACs[0], Hardware: m.Hardware}
	reg.Hardware.Memory.DIMMs = []registry.DIMM{{Slot: "A1", Bytes: 1 << 35}}
	for range 2 { // the second time nothing has changed
		if _, _, err := r.Register(t.Context(), reg); err != nil {
			t.Fatal(err)
		}
	}
	history, err := r.History(t.Context(), m.ID, 10)
	if err != nil || len(history) != 2 || len(history[0].Hardware.Memory.DIMMs) != 1 {
		t.Errorf("history: %+v, %v", history, err)
	}
	timeline, err := r.Timeline(t.Context(), m.ID, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, e := range timeline {
		if e.Kind == registry.MachineHardware {
			changes = append(changes, e.Message)
		}
	}
	if !slices.Equal(changes, []string{"DIMM A1 is new (32 GiB)"}) {
		t.Errorf("hardware on the timeline: %q", changes)
	}
}
