package registry_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

var (
	home   = netip.MustParseAddr("10.0.0.7")  // where the card of the rig's machine is
	abroad = netip.MustParseAddr("10.9.0.7")  // behind a router
	next   = netip.MustParseAddr("10.0.0.99") // where another card is
)

// newWorkerRig is a rig whose machine is at home, with a deployment that waits.
func newWorkerRig(t *testing.T) (*rig, registry.Deployment) {
	t.Helper()
	tools := testTools()
	cards := map[netip.Addr]registry.MAC{home: mac(1), next: mac(99)}
	tools.Card = func(addr netip.Addr) registry.MAC { return cards[addr] }
	g := &rig{Registry: openTools(t, registrytest.Memory(), tools)}
	g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
	return g, g.deploy(t, "quiet")
}

func (g *rig) worker() registry.Worker {
	return registry.Worker{ID: g.m.BootMAC().String(), Addr: home}
}

// ask asks for the next action as the machine's own worker.
func (g *rig) ask(t *testing.T) registry.Deployment {
	t.Helper()
	d, recipe, err := g.ClaimByWorker(t.Context(), g.worker())
	if err != nil || len(recipe.Actions) != 2 {
		t.Fatalf("%+v, %v", recipe, err)
	}
	return d
}

// say reports on the action that is next, as the machine's own worker.
func (g *rig) say(t *testing.T, d registry.Deployment, state registry.ActionState) error {
	t.Helper()
	return g.ReportByWorker(t.Context(), g.worker(), reportOf(d, state))
}

func reportOf(d registry.Deployment, state registry.ActionState) registry.ActionReport {
	return registry.ActionReport{Deployment: d.ID, Boot: d.BootID, Attempt: d.Attempt, Action: d.Action, State: state}
}

// A worker does not register: its boot is at its end when it has taken its deployment up.
func TestWorkerDoesNotStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newWorkerRig(t)
		g.Sight(registry.Sighting{At: time.Now(), MAC: g.m.BootMAC(), Stage: registry.StageKernel, Detail: "x"})
		time.Sleep(time.Minute)
		g.ask(t)
		time.Sleep(10 * time.Minute)
		if n := g.Stalled(); n != 0 {
			t.Errorf("%d boots stand still", n)
		}
	})
}

func TestWorkerToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newWorkerRig(t)
		for i := range 2 {
			first := g.ask(t)
			again := g.ask(t) // the answer got lost
			if first.Attempt != 1 || first.Action != i || again.BootID != first.BootID || again.Attempt != 1 {
				t.Fatalf("asked for %d: %+v, and again %+v", i, first, again)
			}
			for _, state := range []registry.ActionState{registry.ActionRunning, registry.ActionRunning, registry.ActionSucceeded, registry.ActionSucceeded} {
				if err := g.say(t, first, state); err != nil {
					t.Fatalf("action %d, %s: %v", i, state, err)
				}
				if now, err := g.Deployment(t.Context(), d.ID); err != nil || !now.Wrote {
					t.Errorf("action %d, %s: nothing is written, %v", i, state, err)
				}
			}
			if err := g.say(t, first, registry.ActionRunning); !errors.As(err, new(*registry.RefusalError)) {
				t.Errorf("action %d would be done twice: %v", i, err)
			}
		}
		_, m := g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
		if _, _, err := g.ClaimByWorker(t.Context(), g.worker()); err != registry.ErrNoWork {
			t.Errorf("after the last action: %v", err)
		}
		timeline, err := g.Timeline(t.Context(), m.ID, 0, 100)
		if err != nil || !told(timeline, "the worker at 10.0.0.7 took it up") {
			t.Errorf("timeline %+v, %v", timeline, err)
		}
	})
}

func told(timeline []registry.Event, text string) bool {
	for _, e := range timeline {
		if strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// A worker that is not the machine gets nothing, changes nothing, and is told the same
// as one for whom there is nothing.
func TestWorkerHasToBeTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newWorkerRig(t)
		for name, test := range map[string]struct {
			w   registry.Worker
			why string // of a stranger
		}{
			"a card that nobody knows": {registry.Worker{ID: mac(50).String(), Addr: home}, ""},
			"no ID":                    {registry.Worker{Addr: home}, ""},
			"a name":                   {registry.Worker{ID: g.m.Name, Addr: home}, ""},
			"a machine that is not":    {registry.Worker{ID: "m-nothing", Addr: home}, ""},
			"another card":             {registry.Worker{ID: g.m.BootMAC().String(), Addr: next}, "is 52:54:00:00:00:63, which is none of the machine's"},
			"no card, no address":      {registry.Worker{ID: g.m.BootMAC().String(), Addr: abroad}, "never registered"},
			"a link-local address":     {registry.Worker{ID: g.m.ID, Addr: netip.MustParseAddr("fe80::7%eth0")}, "on another link"},
			"by its ID":                {registry.Worker{ID: g.m.ID, Addr: next}, "none of the machine's"},
		} {
			_, recipe, err := g.ClaimByWorker(t.Context(), test.w)
			stranger, is := errors.AsType[*registry.StrangerError](err)
			if !errors.Is(err, registry.ErrNoWork) || is != (test.why != "") || is && !strings.Contains(stranger.Why, test.why) || len(recipe.Actions) > 0 {
				t.Errorf("%s: %+v, %v", name, recipe, err)
			}
		}
		if now, _ := g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootAgent); now.Version != d.Version {
			t.Errorf("something changed: %+v", now)
		}
	})
}

// Behind a router nobody sees cards: there it is the address that the machine
// registered from.
func TestWorkerBehindARouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newWorkerRig(t)
		reg := registration(1, "", "SN-1")
		reg.Address, reg.Hardware = abroad, g.m.Hardware
		mustRegister(t, g.Registry, reg)
		from := abroad.Next()
		_, _, err := g.ClaimByWorker(t.Context(), registry.Worker{ID: g.m.ID, Addr: from})
		if stranger, is := errors.AsType[*registry.StrangerError](err); !is || !strings.Contains(stranger.Why, "registered from 10.9.0.7") {
			t.Errorf("another address: %v", err)
		}
		if d, _, err := g.ClaimByWorker(t.Context(), registry.Worker{ID: g.m.ID, Addr: abroad}); err != nil || d.Attempt != 1 {
			t.Errorf("the same address: %+v, %v", d, err)
		}
	})
}

// A worker that asks while an action runs has started over, and its disk is half
// written; a question that comes late from before the action is not taken for that.
func TestWorkerStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := newWorkerRig(t)
		before := g.ask(t)
		if err := g.say(t, before, registry.ActionRunning); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.ClaimByWorker(t.Context(), g.worker()); !refusedFor(err, "has just begun") {
			t.Errorf("asked at once: %v", err)
		}
		g.is(t, d.ID, registry.DeploymentRunning, registry.Installing, registry.BootAgent)
		time.Sleep(10 * time.Second)
		if _, _, err := g.ClaimByWorker(t.Context(), g.worker()); !refusedFor(err, "not written again by itself") {
			t.Errorf("started over: %v", err)
		}
		g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, "")
		if err := g.say(t, before, registry.ActionSucceeded); !errors.As(err, new(*registry.RefusalError)) {
			t.Errorf("a report after that: %v", err)
		}
	})
}

// What an agent with a token has taken up is no worker's, and the other way round.
func TestWorkerAndAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newWorkerRig(t)
		taken := g.ask(t)
		_, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{Token: "0011223344556677", ID: "boot-1"})
		if !errors.As(err, new(*registry.StaleBootError)) {
			t.Errorf("an agent of an earlier boot: %v", err)
		}
		if _, err := g.Cancel(t.Context(), taken.ID); err != nil {
			t.Fatal(err)
		}
		if err := g.say(t, taken, registry.ActionRunning); !refusedFor(err, "cancelled") {
			t.Errorf("an action of what was cancelled begins: %v", err)
		}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		g.deploy(t, "quiet")
		g.claim(t, "boot-1")
		if _, _, err := g.ClaimByWorker(t.Context(), g.worker()); err != registry.ErrNoWork {
			t.Errorf("what an agent carries out: %v", err)
		}
	})
}

func TestReportsOfOtherWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newWorkerRig(t)
		d := g.ask(t)
		for name, change := range map[string]func(*registry.Worker, *registry.ActionReport){
			"another address":    func(w *registry.Worker, _ *registry.ActionReport) { w.Addr = next },
			"another machine":    func(w *registry.Worker, _ *registry.ActionReport) { w.ID = mac(2).String() },
			"no boot":            func(_ *registry.Worker, r *registry.ActionReport) { r.Boot = "" },
			"a guessed boot":     func(_ *registry.Worker, r *registry.ActionReport) { r.Boot = "abc" },
			"another attempt":    func(_ *registry.Worker, r *registry.ActionReport) { r.Attempt = 2 },
			"another deployment": func(_ *registry.Worker, r *registry.ActionReport) { r.Deployment = "d-nothing" },
			"no such action":     func(_ *registry.Worker, r *registry.ActionReport) { r.Action = 2 },
		} {
			w, report := g.worker(), reportOf(d, registry.ActionSucceeded)
			change(&w, &report)
			if err := g.ReportByWorker(t.Context(), w, report); err != registry.ErrNoWork {
				t.Errorf("%s: %v", name, err)
			}
		}
		later := reportOf(d, registry.ActionRunning)
		later.Action = 1
		if err := g.ReportByWorker(t.Context(), g.worker(), later); !errors.As(err, new(*registry.InvalidError)) {
			t.Errorf("an action before its turn: %v", err)
		}
		if now, err := g.Deployment(t.Context(), d.ID); err != nil || now.Version != d.Version || now.Actions[0].State != registry.ActionPending {
			t.Errorf("something changed: %+v, %v", now, err)
		}
		for range 2 { // one that is refused before it begins
			if err := g.say(t, d, registry.ActionFailed); err != nil {
				t.Errorf("it failed: %v", err)
			}
		}
		if now, _ := g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, ""); now.Wrote {
			t.Error("nothing was begun, and the disk was written to")
		}
	})
}
