package rqlite_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
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

// victimDir tells this binary to be the process that is killed.
const victimDir = "DRAGONFLY_TEST_VICTIM_DIR"

// victimWrites is how many writes are acknowledged before the kill.
const victimWrites = 200

// TestVictim is not a test but the child of [TestKilledProcessLosesNothing]: it
// writes until it is killed, and prints the number of each write that was
// acknowledged.
func TestVictim(t *testing.T) {
	dir := os.Getenv(victimDir)
	if dir == "" {
		return
	}
	s := embedded(t, startNode(t, dir))
	for n := 0; ; n++ {
		if err := s.Commit(t.Context(), create(n)); err != nil {
			t.Fatal(err)
		}
		fmt.Println("acknowledged", n)
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	child.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged, killed := -1, false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &n); err != nil {
			continue
		}
		acknowledged = n // also what was still in the pipe: it was promised
		if n >= victimWrites && !killed {
			killed = true
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || !killed {
		t.Fatalf("the child was not killed: %v", err)
	}
	s := embedded(t, startNode(t, dir))
	found, err := s.Machines(t.Context(), registry.Query{})
	if err != nil {
		t.Fatal(err)
	}
	// The write that was under way when the process died may be there or not.
	if got, want := len(found), acknowledged+1; got != want && got != want+1 {
		t.Errorf("%d machines after the kill, %d were acknowledged", got, want)
	}
	if last, err := s.LastEvent(t.Context()); err != nil || last != int64(len(found)) {
		t.Errorf("%d events for %d machines: half a change, %v", last, len(found), err)
	}
}
