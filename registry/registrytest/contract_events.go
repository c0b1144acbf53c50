package registrytest

import (
	"maps"
	"testing"
	"time"

	"dragonfly/registry"
)

func testEvents(t *testing.T, s registry.Store) {
	event := func(n int) registry.Event {
		return registry.Event{At: noon().Add(time.Duration(n) * time.Second), Kind: registry.MachineBoot, Machine: machine(n).ID, MAC: mac(n), Message: "step"}
	}
	bare := registry.Event{At: noon(), Kind: registry.MachineOnline}
	// The times go backwards: the order is that of writing.
	commit(t, s, registry.Change{Op: "1", Events: []registry.Event{event(3), event(2), bare}})
	commit(t, s, registry.Change{Op: "2", Events: []registry.Event{event(1)}})
	want := []registry.Event{event(3), event(2), bare, event(1)}
	for i := range want {
		want[i].Seq = int64(i + 1)
	}
	for _, c := range []struct {
		after int64
		limit int
		want  []registry.Event
	}{
		{0, 10, want}, {0, 2, want[:2]}, {2, 1, want[2:3]}, {3, 10, want[3:]}, {4, 10, nil}, {99, 10, nil}, {0, 0, nil}, {0, -1, nil},
	} {
		got, err := s.Events(t.Context(), c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 0 || len(c.want) != 0 {
			wantEqual(t, "events", got, c.want)
		}
	}
	last, err := s.LastEvent(t.Context())
	if last != 4 || err != nil {
		t.Errorf("last event %d, %v; want 4", last, err)
	}
}

func testTouch(t *testing.T, s registry.Store) {
	create(t, s, 1, 3)
	touch := func(at time.Time) {
		t.Helper()
		seen := map[string]time.Time{machine(1).ID: at, machine(2).ID: at, "m-none": at, machine(3).ID: {}}
		if err := s.Touch(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
	}
	touch(noon())
	touch(noon().Add(-time.Minute))
	wantEqual(t, "after an earlier one", get(t, s, 1).SeenAt, noon())
	touch(noon().Add(time.Minute))
	wantEqual(t, "after a later one", get(t, s, 2).SeenAt, noon().Add(time.Minute))
	wantEqual(t, "never seen", get(t, s, 3).SeenAt, time.Time{})
	wantEqual(t, "version", get(t, s, 1).Version, 1)

	for after, want := range map[time.Time]map[string]time.Time{
		noon():                  {machine(1).ID: noon().Add(time.Minute), machine(2).ID: noon().Add(time.Minute)},
		noon().Add(time.Minute): {},
	} {
		seen, err := s.Seen(t.Context(), after)
		if err != nil || !maps.EqualFunc(seen, want, time.Time.Equal) {
			t.Errorf("seen after %v: %v, %v; want %v", after, seen, err, want)
		}
	}

	m := get(t, s, 1)
	m.SeenAt = noon() // a write of what was read some time ago
	commit(t, s, registry.Change{Op: "put", Put: []registry.Machine{m}})
	wantEqual(t, "after an older record was written", get(t, s, 1).SeenAt, noon().Add(time.Minute))

	if err := s.Touch(t.Context(), nil); err != nil {
		t.Errorf("touch nobody: %v", err)
	}
	commit(t, s, registry.Change{Op: "delete", Delete: []registry.Machine{{ID: m.ID, Version: 2}}})
	again := machine(1)
	commit(t, s, registry.Change{Op: "again", Put: []registry.Machine{again}})
	wantEqual(t, "a new machine", get(t, s, 1).SeenAt, time.Time{})
}
