package rqlite_test

import (
	"fmt"
	"testing"

	"dragonfly/registry"
)

// newMachine is a machine with one address.
func newMachine(n int) registry.Machine {
	return registry.Machine{
		ID: fmt.Sprintf("m-%d", n), Name: fmt.Sprintf("name-%06d", n), State: registry.Ready,
		MACs: []registry.MAC{{0x52, 0x54, 0, byte(n >> 16), byte(n >> 8), byte(n)}},
	}
}

func create(n int) registry.Change {
	return registry.Change{
		Op: fmt.Sprint("create ", n), Put: []registry.Machine{newMachine(n)},
		Events: []registry.Event{{Kind: registry.MachineDiscovered, Machine: newMachine(n).ID}},
	}
}

func TestDataIsThereAtTheSecondStart(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	s := embedded(t, n)
	if err := s.Commit(t.Context(), create(1)); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	s = embedded(t, startNode(t, dir))
	found, err := s.Machines(t.Context(), registry.Query{})
	if err != nil || len(found) != 1 || found[0].Name != "name-000001" {
		t.Fatalf("after a restart: %+v, %v", found, err)
	}
	// Numbers and operations go on where they stopped.
	for range 2 {
		if err := s.Commit(t.Context(), create(1)); err != nil {
			t.Errorf("an operation from before the restart: %v", err)
		}
	}
	if last, err := s.LastEvent(t.Context()); last != 1 || err != nil {
		t.Errorf("last event %d, %v", last, err)
	}
}
