package registry_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/registrytest"
)

func (g *rig) order(t *testing.T, req registry.DeployRequest) registry.Deployment {
	t.Helper()
	plan, err := g.Deploy(by(t, "ana"), g.m.ID, req, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Deployment
}

// ordered fails the test unless deployment and machine are so.
func (g *rig) ordered(t *testing.T, id string, state registry.DeploymentState, next registry.BootTarget) registry.Deployment {
	t.Helper()
	d, err := g.Deployment(t.Context(), id)
	m, errMachine := g.Machine(t.Context(), g.m.ID)
	if err := errors.Join(err, errMachine); err != nil {
		t.Fatal(err)
	}
	if d.State != state || m.State != registry.Ready || m.BootNext != next || !m.Deadline.Equal(d.Deadline) {
		t.Fatalf("deployment %s (%s), machine %s boots %q", d.State, d.Reason, m.State, m.BootNext)
	}
	return d
}

const script = "#!ipxe\necho hello\n"

func TestBootOnce(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	d := g.order(t, registry.DeployRequest{Kind: registry.KindScript, Script: script})
	g.ordered(t, d.ID, registry.DeploymentWaiting, registry.BootOnce)
	if _, what, err := g.Next(t.Context(), g.m.ID, "", 0); what != registry.Reboot || err != nil {
		t.Errorf("the waiting agent is told to %q, %v", what, err)
	}
	if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"}); err == nil {
		t.Error("the agent was given what is for iPXE")
	}
	want := registry.BootOrder{Kind: registry.KindScript, Script: script}
	for range 2 {
		if got, err := g.PeekBoot(t.Context(), g.m.ID); got != want || err != nil {
			t.Errorf("peeked at %+v, %v", got, err)
		}
	}
	g.ordered(t, d.ID, registry.DeploymentWaiting, registry.BootOnce)
	got, err := g.TakeBoot(t.Context(), g.m.ID)
	if want.Key = got.Key; got != want || len(got.Key) < 26 || err != nil {
		t.Errorf("took %+v, %v", got, err)
	}
	g.ordered(t, d.ID, registry.DeploymentRunning, registry.BootDisk)
	if got, err := g.TakenBoot(t.Context(), g.m.ID, got.Key); got != want || err != nil {
		t.Errorf("asked for it by the key: %+v, %v", got, err)
	}
	if got, err := g.TakenBoot(t.Context(), g.m.ID, ""); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("asked for it without a key: %+v, %v", got, err)
	}
	if got, err := g.TakeBoot(t.Context(), g.m.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("took it twice: %+v, %v", got, err)
	}
}

// take is what iPXE is given for the machine.
func (g *rig) take(t *testing.T) registry.BootOrder {
	t.Helper()
	order, err := g.TakeBoot(t.Context(), g.m.ID)
	if err != nil {
		t.Fatal(err)
	}
	return order
}

func (g *rig) failBoot(t *testing.T, key string) {
	t.Helper()
	if err := g.FailBoot(t.Context(), g.m.ID, key); err != nil {
		t.Fatal(err)
	}
}

func TestBootOnceFails(t *testing.T) {
	for _, c := range []struct {
		req  registry.DeployRequest
		want string
	}{
		{registry.DeployRequest{Kind: registry.KindISO, ISO: "http://10.0.0.9/tool.iso"}, "iPXE could not start the ISO"},
		{registry.DeployRequest{Kind: registry.KindMemtest}, "iPXE could not start memtest86+"},
		{registry.DeployRequest{Kind: registry.KindScript, Script: script}, "a command of the script failed"},
	} {
		t.Run(string(c.req.Kind), func(t *testing.T) {
			g := newRig(t, registrytest.Memory())
			d := g.order(t, c.req)
			g.failBoot(t, "") // nobody was given it
			key := g.take(t).Key
			for _, stranger := range []string{"", "x", strings.ToLower(key)} {
				g.failBoot(t, stranger)
			}
			g.ordered(t, d.ID, registry.DeploymentRunning, registry.BootDisk)
			g.failBoot(t, key)
			d = g.ordered(t, d.ID, registry.DeploymentFailed, "")
			if !strings.HasPrefix(d.Reason, c.want) || !strings.HasSuffix(d.Reason, "; no disk was written to") {
				t.Errorf("reason %q", d.Reason)
			}
			timeline, err := g.Timeline(t.Context(), g.m.ID, 0, 1)
			if err != nil || len(timeline) != 1 || !strings.Contains(timeline[0].Message, " failed: "+c.want) {
				t.Errorf("the timeline says %+v, %v", timeline, err)
			}
			g.failBoot(t, key) // the answer got lost
			if _, err := g.TakenBoot(t.Context(), g.m.ID, key); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("it is given out when it is over: %v", err)
			}
			again, err := g.Retry(by(t, "ana"), d.ID, registry.Batch{})
			if err != nil {
				t.Fatal(err)
			}
			g.failBoot(t, key)
			g.ordered(t, again.Deployment.ID, registry.DeploymentWaiting, registry.BootOnce)
			if next := g.take(t).Key; next == key {
				t.Errorf("two orders have the key %s", key)
			}
			g.failBoot(t, key)
			g.ordered(t, again.Deployment.ID, registry.DeploymentRunning, registry.BootDisk)
		})
	}
}

// With no word of a failure a boot has succeeded, whatever ends it.
func TestBootOnceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *rig)
		want string
	}{
		"the machine asks for a script": {func(t *testing.T, g *rig) {
			time.Sleep(time.Second)
			g.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageScript, Detail: "registered"})
			time.Sleep(2 * time.Second)
		}, "boot of an ISO ended: the machine boots as usual again"},
		"the agent starts": {func(t *testing.T, g *rig) {
			if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-2"}); !refusedFor(err, "so the boot of an ISO is over") {
				t.Errorf("the agent was given it: %v", err)
			}
		}, "boot of an ISO ended: the machine restarted"},
		"nothing comes": {func(t *testing.T, _ *rig) { time.Sleep(11 * time.Minute) }, "boot of an ISO counts as started: iPXE told of no failure within 10 minutes"},
		"another order": {func(t *testing.T, g *rig) {
			d := g.order(t, registry.DeployRequest{Kind: registry.KindMemtest})
			g.ordered(t, d.ID, registry.DeploymentWaiting, registry.BootOnce)
		}, "boot of an ISO ended: iPXE told of no failure until something else was asked for"},
		"another order, which may be repeated": {func(t *testing.T, g *rig) {
			ctx := registry.WithOnce(by(t, "ana"), registry.Claimed{Op: "op"})
			plan, err := g.Deploy(ctx, g.m.ID, registry.DeployRequest{Kind: registry.KindMemtest}, registry.Batch{})
			if err != nil {
				t.Fatal(err)
			}
			g.ordered(t, plan.Deployment.ID, registry.DeploymentWaiting, registry.BootOnce)
		}, "boot of an ISO ended: iPXE told of no failure until something else was asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, registrytest.Memory())
				d := g.order(t, registry.DeployRequest{Kind: registry.KindISO, ISO: "http://10.0.0.9/tool.iso"})
				asked := time.Now()
				time.Sleep(time.Millisecond)
				key := g.take(t).Key
				g.Sight(registry.Sighting{At: asked, MAC: mac(1), Stage: registry.StageScript, Detail: "this boot"})
				time.Sleep(2 * time.Second)
				g.ordered(t, d.ID, registry.DeploymentRunning, registry.BootDisk)
				c.end(t, g)
				g.failBoot(t, key) // too late
				d, err := g.Deployment(t.Context(), d.ID)
				if err != nil || d.State != registry.DeploymentSucceeded || d.Reason != "" {
					t.Errorf("it is %s (%s), %v", d.State, d.Reason, err)
				}
				timeline, err := g.Timeline(t.Context(), g.m.ID, 0, 10)
				if err != nil || !slices.ContainsFunc(timeline, func(e registry.Event) bool { return strings.HasPrefix(e.Message, c.want) }) {
					t.Errorf("the timeline lacks %q: %+v, %v", c.want, timeline, err)
				}
			})
		})
	}
}

func TestBootOnceFailsWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		g := &rig{Registry: startHost(t, store, journal.Config{}).Registry, store: store}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		d := g.order(t, registry.DeployRequest{Kind: registry.KindMemtest})
		key := g.take(t).Key
		store.off.Store(true)
		time.Sleep(2 * time.Second)
		if err := g.FailBoot(t.Context(), g.m.ID, key); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("the failure was taken, and nobody could write it down: %v", err)
		}
		store.off.Store(false)
		time.Sleep(time.Minute)
		g.failBoot(t, key)
		g.ordered(t, d.ID, registry.DeploymentFailed, "")
	})
}

func TestBootOnceIsCancelled(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	d := g.order(t, registry.DeployRequest{Kind: registry.KindMemtest})
	if _, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{}); err == nil {
		t.Error("two orders at once")
	}
	if _, err := g.Cancel(by(t, "ana"), d.ID); err != nil {
		t.Fatal(err)
	}
	g.ordered(t, d.ID, registry.DeploymentCancelled, "")
	if _, err := g.TakeBoot(t.Context(), g.m.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("it is handed out yet: %v", err)
	}
	again, err := g.Retry(by(t, "ana"), d.ID, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	g.ordered(t, again.Deployment.ID, registry.DeploymentWaiting, registry.BootOnce)
	if got, err := g.TakeBoot(t.Context(), g.m.ID); got.Kind != registry.KindMemtest || err != nil {
		t.Errorf("asked for again: %+v, %v", got, err)
	}
}

func TestBootOnceTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		d := g.order(t, registry.DeployRequest{Kind: registry.KindMemtest})
		time.Sleep(31 * time.Minute)
		d = g.ordered(t, d.ID, registry.DeploymentTimedOut, "")
		if !strings.HasPrefix(d.Reason, "the machine did not boot from the network within 30 minutes") {
			t.Errorf("reason %q", d.Reason)
		}
	})
}

func TestBootOnceWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		g := &rig{Registry: startHost(t, store, journal.Config{}).Registry, store: store}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		d := g.order(t, registry.DeployRequest{Kind: registry.KindMemtest})
		store.off.Store(true)
		time.Sleep(2 * time.Second)
		if _, err := g.TakeBoot(t.Context(), g.m.ID); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("it was handed out, and nobody could write that down: %v", err)
		}
		store.off.Store(false)
		time.Sleep(time.Minute)
		g.ordered(t, d.ID, registry.DeploymentWaiting, registry.BootOnce)
	})
}

func TestRescueLife(t *testing.T) {
	tools := testTools()
	tools.Templates["rescue"] = "rescue"
	rescue := registry.DeployRequest{Kind: registry.KindRescue, Seed: registry.Seed{SSHKeys: []string{"ssh-ed25519 AAAA ana"}}}
	for name, end := range map[string]func(*testing.T, *rig, registry.Deployment){
		"cancelled": func(t *testing.T, g *rig, d registry.Deployment) {
			if _, err := g.Cancel(by(t, "ana"), d.ID); err != nil {
				t.Fatal(err)
			}
			g.ordered(t, d.ID, registry.DeploymentCancelled, "")
		},
		"the agent starts anew": func(t *testing.T, g *rig, d registry.Deployment) {
			if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-2"}); err == nil {
				t.Error("the rescue went on in another boot")
			}
			g.ordered(t, d.ID, registry.DeploymentSucceeded, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := &rig{Registry: openTools(t, registrytest.Memory(), tools)}
			g.m = g.boot(t, 1)
			d := g.order(t, rescue)
			g.ordered(t, d.ID, registry.DeploymentWaiting, registry.BootAgent)
			g.claim(t, "boot-1")
			g.ordered(t, d.ID, registry.DeploymentRunning, registry.BootDisk)
			end(t, g, d)
		})
	}
}

func TestBootOnceRefusals(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	for name, c := range map[string]struct {
		req  registry.DeployRequest
		want string
	}{
		"no kind":          {registry.DeployRequest{Kind: "dance"}, "/kind: want install, wipe, rescue"},
		"rescue, no key":   {registry.DeployRequest{Kind: registry.KindRescue}, "/seed/ssh_keys: it is missing"},
		"memtest of an OS": {registry.DeployRequest{Kind: registry.KindMemtest, OS: "linux"}, "/os: a one-shot boot"},
		"memtest of disks": {registry.DeployRequest{Kind: registry.KindMemtest, Disk: "serial:S1"}, "/disk: a one-shot boot"},
		"no ISO":           {registry.DeployRequest{Kind: registry.KindISO}, "/iso: want the address"},
		"ISO by https":     {registry.DeployRequest{Kind: registry.KindISO, ISO: "https://x/y.iso"}, "/iso: want the address"},
		"ISO with orders":  {registry.DeployRequest{Kind: registry.KindISO, ISO: "http://x/y.iso||shell"}, "/iso: an address for iPXE"},
		"ISO with a line":  {registry.DeployRequest{Kind: registry.KindISO, ISO: "http://x/y.iso\nshell"}, "/iso: want"},
		"ISO for install":  {registry.DeployRequest{OS: "linux", ISO: "http://x/y.iso"}, "/iso: only for"},
		"no script":        {registry.DeployRequest{Kind: registry.KindScript, Script: "echo"}, "/script: the first line"},
		"a large script":   {registry.DeployRequest{Kind: registry.KindScript, Script: script + strings.Repeat("#", 32<<10)}, "/script: 32786 bytes"},
		"no text":          {registry.DeployRequest{Kind: registry.KindScript, Script: script + "\x00"}, "/script: it is no text"},
		"script for wipes": {registry.DeployRequest{Kind: registry.KindWipe, Script: script}, "/script: only for"},
	} {
		if _, err := g.Deploy(by(t, "ana"), g.m.ID, c.req, registry.Batch{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	memtest := registry.DeployRequest{Kind: registry.KindMemtest}
	if _, err := g.Lock(by(t, "ana"), g.m.ID, "mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Deploy(by(t, "ben"), g.m.ID, memtest, registry.Batch{}); !isLocked(err) {
		t.Errorf("a locked machine: %v", err)
	}
}

// A machine that nobody knows yet was told to boot something else than the agent: no
// kernel is waited for.
func TestBootOnceOfAStrangerDoesNotStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		g := &rig{Registry: openTools(t, store, testTools()), store: store}
		g.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageDHCP, Detail: "x"})
		time.Sleep(2 * time.Second)
		entry, _ := g.Lookup(mac(1))
		var err error
		if g.m, err = g.Machine(t.Context(), entry.ID); err != nil {
			t.Fatal(err)
		}
		g.order(t, registry.DeployRequest{Kind: registry.KindScript, Script: script})
		asked := time.Now()
		g.take(t)
		g.Sight(registry.Sighting{At: asked, MAC: mac(1), Stage: registry.StageScript, Detail: "this boot"})
		time.Sleep(9 * time.Minute)
		if n := countOf(t, store, registry.MachineStalled); n != 0 {
			t.Errorf("%d boots stand still, want none", n)
		}
	})
}
