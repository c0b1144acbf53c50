package rqlite

import (
	"slices"
	"testing"

	"dragonfly/registry"
)

// A machine whose events never end loses its own oldest ones, and those of others only
// go when there are too many without these.
func TestPruneEvents(t *testing.T) {
	s := startStore(t)
	c := registry.Change{Op: "events", Events: []registry.Event{{Machine: "m-quiet"}, {Message: "of none"}, {Message: "of none"}}}
	for range 9 {
		c.Events = append(c.Events, registry.Event{Machine: "m-loud"})
	}
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		each, all int
		left      []int64
	}{
		{9, 12, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{2, 5, []int64{1, 2, 3, 11, 12}},
		{2, 4, []int64{2, 3, 11, 12}},
		{1, 4, []int64{2, 3, 12}},
	} {
		if err := s.pruneEvents(t.Context(), step.each, step.all); err != nil {
			t.Fatal(err)
		}
		events, err := s.Events(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var left []int64
		for _, e := range events {
			left = append(left, e.Seq)
		}
		if !slices.Equal(left, step.left) {
			t.Errorf("%d of each machine, and %d of all: %v are left, want %v", step.each, step.all, left, step.left)
		}
	}
}
