package ui

import (
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// A leg that was left out is not said to have been seen.
func TestLegs(t *testing.T) {
	step := func(stage registry.Stage) registry.Event {
		return registry.Event{Kind: registry.MachineBoot, Message: string(stage) + ": x"}
	}
	for _, c := range []struct {
		what   string
		m      registry.Machine
		events []registry.Event
		want   string
		absent string
	}{
		{"nobody", registry.Machine{}, nil, "next next next next next", "waiting for it"},
		{"the first packet", registry.Machine{ID: "m-1"}, []registry.Event{step(registry.StageDHCP)}, "done now next next next", "not needed"},
		{"iPXE in its firmware", registry.Machine{ID: "m-1"}, []registry.Event{step(registry.StageScript)}, "done done done now next", "the boot program was sent"},
		{"registered", registry.Machine{ID: "m-1", RegisteredAt: time.Now()}, []registry.Event{step(registry.StageInitrd), step(registry.StageScript)}, "done done done done done", "waiting"},
	} {
		var states, words []string
		for _, l := range legsOf(c.m, c.events) {
			states, words = append(states, l.State), append(words, l.Word)
		}
		if got := strings.Join(states, " "); got != c.want || strings.Contains(strings.Join(words, "; "), c.absent) {
			t.Errorf("%s: %s, %q", c.what, got, words)
		}
	}
}

func TestFirstPage(t *testing.T) {
	n := registry.Networks{}
	u := newUI(t, newRack(0), func(c *Config) { c.Network = func() registry.Networks { return n } })
	wantPage(t, get(t, u, "/first"), "dragonfly serve --boot", "Secure Boot off", "proxyDHCP", "not yet", "/first/live")
	n.Interfaces = []registry.NetworkInterface{{Name: "eth0", Address: "10.0.0.2", Link: true, Servers: []registry.NetworkServer{{Address: "10.0.0.1", Addresses: true}},
		Requests: []registry.NetworkRequest{{Client: "DHCP client", Outcome: "ignored", Why: "no network boot"}}}}
	wantPage(t, get(t, u, "/first"), "Waiting for a machine", "eth0 10.0.0.2", "addresses come from 10.0.0.1", "no network boot")
}

// A machine that a list names has not come; it does with its first packet, however long
// it was expected.
func TestExpectedHasNotCome(t *testing.T) {
	k := newRack(0)
	u := newUI(t, k)
	wantCame := func(want string) {
		t.Helper()
		came, err := u.came(t.Context(), time.Now())
		got := ""
		if len(came) > 0 {
			got = came[0].ID
		}
		if err != nil || got != want {
			t.Errorf("came: %q, %v; want %q", got, err, want)
		}
	}
	wantCame("")
	first, second := testMachine(1), testMachine(2)
	k.put(first, registry.MachineEdited, "expected: a list names it")
	wantCame("")
	k.put(first, registry.MachineBoot, string(registry.StageDHCP)+": offered a boot program")
	k.put(second, registry.MachineEdited, "expected: a list names it")
	wantCame(first.ID)
}
