package registry_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/registrytest"
)

// install puts a machine into the state that passes, until a deadline.
func install(t *testing.T, store registry.Store, m registry.Machine, deadline time.Time) {
	t.Helper()
	m.State, m.Deadline, m.Pending = registry.Installing, deadline, registry.Reboot
	event := registry.Event{At: time.Now(), Kind: registry.MachineEdited, Machine: m.ID, Message: "installing"}
	if err := store.Commit(t.Context(), registry.Change{Op: "install " + m.ID, Put: []registry.Machine{m}, Events: []registry.Event{event}}); err != nil {
		t.Fatal(err)
	}
}

func TestDeadlinePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		a, b := open(t, store), open(t, store)
		m, _ := mustRegister(t, a, registration(1, uuidA, "SN-A"))
		install(t, store, m, time.Now().Add(30*time.Minute))
		time.Sleep(10 * time.Minute)
		a.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageInitrd, Detail: "sent"})
		seen := time.Now().UTC().Format("15:04 UTC")
		time.Sleep(19 * time.Minute)
		if m, err := a.Machine(t.Context(), m.ID); err != nil || m.State != registry.Installing {
			t.Fatalf("before the deadline: %+v, %v", m, err)
		}
		time.Sleep(2 * time.Minute)
		failed, err := b.Machine(t.Context(), m.ID)
		if err != nil || failed.State != registry.Failed || !failed.Deadline.IsZero() || failed.Pending != "" {
			t.Fatalf("after the deadline: %+v, %v", failed, err)
		}
		for _, part := range []string{"installing until 2000-01-01 00:30 UTC and did not end", `"initrd: sent" at 2000-01-01 ` + seen} {
			if !strings.Contains(failed.Reason, part) {
				t.Errorf("reason %q does not say %q", failed.Reason, part)
			}
		}
		if n := countOf(t, store, registry.MachineFailed); n != 1 {
			t.Errorf("two servers wrote %d events, want 1", n)
		}
		if e, _ := a.Lookup(mac(1)); e.State != registry.Failed {
			t.Errorf("the boot path has it as %s", e.State)
		}
		restored, err := a.Restore(by(t, "ana"), m.ID, registry.AnyVersion)
		if err != nil || restored.State != registry.Ready || restored.Reason != "" {
			t.Errorf("restored: %+v, %v", restored, err)
		}
	})
}

func TestDeadlineOfAStateThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		m, _ := mustRegister(t, r, registration(1, uuidA, "SN-A"))
		m.Deadline = time.Now().Add(time.Minute)
		event := registry.Event{At: time.Now(), Kind: registry.MachineEdited, Machine: m.ID}
		if err := store.Commit(t.Context(), registry.Change{Op: "x", Put: []registry.Machine{m}, Events: []registry.Event{event}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if m, err := r.Machine(t.Context(), m.ID); err != nil || m.State != registry.Ready {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// While the database is away nobody can report, and nobody is failed for that.
func TestDeadlineWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		m, _ := mustRegister(t, h.Registry, named(1, "a"))
		install(t, store, m, time.Now().Add(10*time.Minute))
		time.Sleep(time.Minute)
		store.off.Store(true)
		time.Sleep(time.Hour)
		store.off.Store(false)
		time.Sleep(4 * time.Minute)
		if m, err := h.Machine(t.Context(), m.ID); err != nil || m.State != registry.Installing {
			t.Errorf("just after the outage: %+v, %v", m, err)
		}
		time.Sleep(2 * time.Minute)
		if m, err := h.Machine(t.Context(), m.ID); err != nil || m.State != registry.Failed {
			t.Errorf("some time after the outage: %+v, %v", m, err)
		}
	})
}

func TestBootStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		a, b := open(t, store), open(t, store)
		for _, stage := range []registry.Stage{registry.StageDHCP, registry.StageScript, registry.StageKernel, registry.StageInitrd} {
			a.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: stage, Detail: "x"})
			a.Sight(registry.Sighting{At: time.Now(), MAC: mac(2), Stage: stage, Detail: "x"})
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		mustRegister(t, a, registration(2, uuidB, ""))
		time.Sleep(time.Minute)
		open(t, store) // a server that starts meanwhile says nothing that was said
		time.Sleep(10 * time.Minute)
		if n := countOf(t, store, registry.MachineStalled); n != 1 {
			t.Errorf("%d boots stand still, want 1", n)
		}
		if n := a.Stalled() + b.Stalled(); n == 0 {
			t.Error("no server counts it")
		}
		entry, _ := a.Lookup(mac(1))
		timeline, err := a.Timeline(t.Context(), entry.ID, 0, 1)
		if err != nil || !strings.HasPrefix(timeline[0].Message, "the agent has not reported 5 minutes after its kernel was fetched: look at") || timeline[0].MAC != mac(1) {
			t.Errorf("timeline: %+v, %v", timeline, err)
		}
	})
}

func TestBootStandsStillOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		h.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageScript, Detail: "x"})
		h.Sight(registry.Sighting{At: time.Now(), MAC: mac(2), Stage: registry.StageKernel, Detail: "x"})
		time.Sleep(time.Second)
		h.stop()
		if err := h.start(t, store); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		store.off.Store(true)
		time.Sleep(2 * time.Second)
		mustRegister(t, h.Registry, named(2, "in the journal"))
		time.Sleep(time.Hour)
		store.off.Store(false)
		time.Sleep(2 * time.Minute)
		if n := countOf(t, store, registry.MachineStalled); n != 1 {
			t.Errorf("%d boots stand still, want 1: the other one reported while the database was away", n)
		}
		entry, _ := h.Lookup(mac(1))
		timeline, err := h.Timeline(t.Context(), entry.ID, 0, 1)
		if err != nil || !strings.Contains(timeline[0].Message, "no kernel was fetched") {
			t.Errorf("timeline: %+v, %v", timeline, err)
		}
	})
}
