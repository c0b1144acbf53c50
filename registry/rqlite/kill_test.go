package rqlite_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dragonfly/registry"
)

// The environment of the test of kills. The first is for the operator of the
// test: how often to kill. The others tell this binary to be the victim, and
// which number to count from.
const (
	envKills  = "DRAGONFLY_TEST_KILLS"
	envVictim = "DRAGONFLY_TEST_VICTIM_DIR"
	envFrom   = "DRAGONFLY_TEST_VICTIM_FROM"
)

// writers is how many clients of the victim register machines at once.
const writers = 8

// perLife is how many numbers a victim may use, more than it can before its end.
const perLife = 100_000

// TestVictim is not a test but the child of [TestKilledProcessLosesNothing]: it
// registers machines until it is killed, and prints the number of each that was
// acknowledged.
func TestVictim(t *testing.T) {
	dir := os.Getenv(envVictim)
	if dir == "" {
		return
	}
	from, err := strconv.Atoi(os.Getenv(envFrom))
	if err != nil {
		t.Fatal(err)
	}
	s := embedded(t, startNode(t, dir))
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := from + w; ; n += writers {
				if err := s.Commit(t.Context(), registration(n)); err != nil {
					t.Error(err)
					return
				}
				fmt.Println("acknowledged", n) // one system call: lines stay whole
			}
		})
	}
	all.Wait()
}

// registration creates the n-th machine with about 4 kB of hardware.
func registration(n int) registry.Change {
	c := create(n)
	c.Put[0].Hardware.OSFound = []registry.OSFound{{Name: strings.Repeat("x", 4000)}}
	return c
}

func TestKilledProcessLosesNothing(t *testing.T) {
	dir, acknowledged := t.TempDir(), map[string]bool{}
	for life := range kills(t) {
		enough := rand.N(500)
		for _, n := range killed(t, dir, life*perLife, enough) {
			acknowledged[newMachine(n).Name] = true
		}
		wantAcknowledged(t, dir, acknowledged, (life+1)*writers)
		if t.Failed() {
			t.Fatalf("life %d, killed after %d acknowledgements", life, enough)
		}
	}
	t.Logf("%d acknowledged, all found", len(acknowledged))
}

// kills is how often to kill: a few times, or as often as the environment says.
func kills(t *testing.T) int {
	text := os.Getenv(envKills)
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number above 0", envKills, text)
	}
	return n
}

// killed runs a victim on dir, kills it once enough writes are acknowledged, and
// returns all that were: what was still in the pipe was promised too.
func killed(t *testing.T, dir string, from, enough int) (acknowledged []int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	child.Env = append(os.Environ(), envVictim+"="+dir, envFrom+"="+strconv.Itoa(from))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	dead := false
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n') // a line that was cut off was not promised
		if err == io.EOF {
			break
		}
		var n int
		if _, err := fmt.Sscanf(line, "acknowledged %d\n", &n); err != nil {
			continue // what the test framework has to say
		}
		acknowledged = append(acknowledged, n)
		if len(acknowledged) > enough && !dead {
			dead = true
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || !dead {
		t.Fatalf("the victim was not killed: %v", err)
	}
	return acknowledged
}

// wantAcknowledged opens what the victims left behind. Every acknowledged machine
// is there, whole, and of the others at most those whose writes were under way.
func wantAcknowledged(t *testing.T, dir string, acknowledged map[string]bool, underWay int) {
	t.Helper()
	n := startNode(t, dir)
	s := embedded(t, n)
	found, err := s.Machines(t.Context(), registry.Query{Brief: true})
	if err != nil {
		t.Fatal(err)
	}
	left := len(acknowledged)
	for _, m := range found {
		if acknowledged[m.Name] {
			left--
		}
		if len(m.MACs) != 1 || m.Version != 1 {
			t.Errorf("%s is not as it was written: %+v", m.Name, m)
		}
	}
	if left != 0 {
		t.Errorf("%d of %d acknowledged machines are gone", left, len(acknowledged))
	}
	if more := len(found) - len(acknowledged); more > underWay {
		t.Errorf("%d machines more than were acknowledged; at most %d were under way", more, underWay)
	}
	if last, err := s.LastEvent(t.Context()); err != nil || last != int64(len(found)) {
		t.Errorf("%d events for %d machines: half a change, %v", last, len(found), err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
