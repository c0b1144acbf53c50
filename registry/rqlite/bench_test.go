package rqlite_test

import (
	"fmt"
	"strings"
	"testing"

	"dragonfly/registry"
)

// fleet is how many machines there are in the benchmarks of reads.
const fleet = 1000

// fill stores the fleet, each with hardware of about 2.5 kB.
func fill(b *testing.B, s registry.Store) {
	b.Helper()
	for from := 0; from < fleet; from += 100 {
		c := registry.Change{Op: fmt.Sprint("fill ", from)}
		for n := from; n < from+100; n++ {
			m := newMachine(n)
			m.Hardware.OSFound = []registry.OSFound{{Name: strings.Repeat("x", 2500)}}
			c.Put = append(c.Put, m)
			c.Events = append(c.Events, registry.Event{Kind: registry.MachineRegistered, Machine: m.ID})
		}
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	n := 0
	for b.Loop() {
		n++
		if err := s.Commit(b.Context(), create(n)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMachineByMAC(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	fill(b, s)
	q := registry.Query{MACs: newMachine(fleet / 2).MACs}
	for b.Loop() {
		if found, err := s.Machines(b.Context(), q); err != nil || len(found) != 1 {
			b.Fatal(len(found), err)
		}
	}
}

func BenchmarkMachinesPage(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	fill(b, s)
	for b.Loop() {
		if found, err := s.Machines(b.Context(), registry.Query{After: registry.Position{Name: "name-000500"}, Limit: 50}); err != nil || len(found) != 50 {
			b.Fatal(len(found), err)
		}
	}
}

func BenchmarkEventsPoll(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	fill(b, s)
	for b.Loop() { // nothing new: what a poll finds nearly always
		if events, err := s.Events(b.Context(), fleet, 500); err != nil || len(events) != 0 {
			b.Fatal(len(events), err)
		}
	}
}
