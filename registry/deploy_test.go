package registry_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/registrytest"
)

// plainSealer shows that something was sealed, and under which name.
type plainSealer struct{}

func (plainSealer) Seal(name, secret string) string { return "sealed " + name + " " + secret }

func (plainSealer) Open(name, sealed string) (string, error) {
	text, ok := strings.CutPrefix(sealed, "sealed "+name+" ")
	if !ok {
		return "", errors.New("sealed under another name")
	}
	return text, nil
}

// testTools has two operating systems, and a template of two actions whose text is
// its parameters.
func testTools() registry.Tools {
	return registry.Tools{
		Catalogue: []registry.OS{
			{ID: "linux", Name: "Linux", Version: "1", Template: "image", FirstBoot: registry.FirstBootCloudInit, MinDisk: 4e9, MinMemory: 1 << 30,
				Images: map[string]registry.OSImage{"amd64": {URL: "http://x/linux.qcow2", Format: "qcow2"}}},
			{ID: "quiet", Name: "Quiet", Template: "image", FirstBoot: registry.FirstBootNone, Images: map[string]registry.OSImage{"amd64": {URL: "http://x/quiet.raw.xz", Format: "raw.xz"}}},
		},
		Templates: map[string]string{"image": "image", "wipe": "wipe"},
		Sealer:    plainSealer{},
		Limits:    registry.DeployLimits{Wait: 30 * time.Minute, Verify: 20 * time.Minute},
		Render: func(text string, _ registry.Machine, params map[string]string) (registry.Rendered, error) {
			if params["broken"] != "" {
				return registry.Rendered{}, &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/os", Message: "line 1: it is broken"}}}
			}
			for _, name := range slices.Sorted(maps.Keys(params)) {
				text += fmt.Sprintf(" %s=%s", name, params[name])
			}
			actions := []registry.RecipeAction{{Name: "write", Image: "image2disk", Timeout: 600, Environment: map[string]string{"DEST_DISK": params["disk"]}},
				{Name: "restart", Image: "reboot", Timeout: 60}}
			return registry.Rendered{Text: text, Actions: actions}, nil
		},
		Server: func(registry.Machine) (string, error) { return "http://10.0.0.2:3000", nil },
	}
}

// rig is a running registry with the tools of a deployment, and a machine with disks.
type rig struct {
	*registry.Registry
	store registry.Store
	m     registry.Machine
}

func newRig(t *testing.T, store registry.Store) *rig {
	t.Helper()
	r := openTools(t, store, testTools())
	g := &rig{Registry: r, store: store}
	g.m = g.boot(t, 1, disk("sda", "S1", 8e9), disk("sdb", "S2", 16e9))
	return g
}

func openTools(t *testing.T, store registry.Store, tools registry.Tools) *registry.Registry {
	t.Helper()
	return openEquipped(t, store, func(r *registry.Registry) { r.Equip(tools) })
}

func disk(name, serial string, bytes int64) registry.Disk {
	return registry.Disk{Name: name, Serial: serial, Model: "ACME", ByID: "/dev/disk/by-id/ata-" + serial, Bytes: bytes, Contents: registry.Blank}
}

// boot registers the n-th machine, with these disks.
func (g *rig) boot(t *testing.T, n byte, disks ...registry.Disk) registry.Machine {
	t.Helper()
	reg := registration(n, "", fmt.Sprintf("SN-%d", n))
	reg.Hardware.System.Product = "P1"
	reg.Hardware.CPU.Arch, reg.Hardware.Memory.Bytes, reg.Hardware.Disks = "amd64", 8<<30, disks
	m, _ := mustRegister(t, g.Registry, reg)
	return m
}

func (g *rig) deploy(t *testing.T, os string) registry.Deployment {
	t.Helper()
	plan, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: os}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Deployment
}

func (g *rig) claim(t *testing.T, boot string) registry.Deployment {
	t.Helper()
	d, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: boot})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// report reports, and fails the test unless the agent is to go on.
func (g *rig) report(t *testing.T, r registry.ActionReport) {
	t.Helper()
	if cancel, err := g.Report(t.Context(), g.m.ID, r); cancel != "" || err != nil {
		t.Fatalf("report %+v: cancel %q, %v", r, cancel, err)
	}
}

// carryOut reports every action of the attempt as begun and succeeded.
func (g *rig) carryOut(t *testing.T, d registry.Deployment) {
	t.Helper()
	for i := range d.Actions {
		g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: d.Attempt, Action: i, State: registry.ActionRunning, Wrote: true})
		g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: d.Attempt, Action: i, State: registry.ActionSucceeded})
	}
}

// is fails the test unless the deployment, and the machine, are in these states.
func (g *rig) is(t *testing.T, id string, state registry.DeploymentState, machine registry.State, next registry.BootTarget) (registry.Deployment, registry.Machine) {
	t.Helper()
	d, err := g.Deployment(t.Context(), id)
	m, errMachine := g.Machine(t.Context(), g.m.ID)
	if err := errors.Join(err, errMachine); err != nil {
		t.Fatal(err)
	}
	if d.State != state || m.State != machine || m.BootNext != next || m.Deployment != id {
		t.Fatalf("deployment %s (%s), machine %s boots %q, its deployment is %s; want %s, %s, %q", d.State, d.Reason, m.State, m.BootNext, m.Deployment, state, machine, next)
	}
	if d.State != registry.DeploymentPending && !m.Deadline.Equal(d.Deadline) || m.State != registry.Installing && !m.Deadline.IsZero() {
		t.Errorf("deadline of the machine %v, of the deployment %v", m.Deadline, d.Deadline)
	}
	if e, ok := g.Lookup(g.m.BootMAC()); !ok || e.State != machine || e.Next != next {
		t.Errorf("the boot path has %+v", e)
	}
	return d, m
}

func TestDeployToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		told := make(chan registry.Instruction, 1)
		go func() {
			_, what, err := g.Next(t.Context(), g.m.ID, "", 30*time.Second)
			if err != nil {
				t.Error(err)
			}
			told <- what
		}()
		synctest.Wait()
		d := g.deploy(t, "linux")
		if what := <-told; what != registry.Deploy {
			t.Errorf("the waiting agent was told to %q", what)
		}
		if _, what, err := g.Next(t.Context(), g.m.ID, "", 0); what != registry.Deploy || err != nil {
			t.Errorf("asked again: %q, %v", what, err)
		}
		d, m := g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootAgent)
		if d.Disk.Serial != "S1" || d.Disk.Bytes != 8e9 || d.By != "ana" || time.Until(m.Deadline) != 30*time.Minute {
			t.Errorf("deployment %+v, deadline in %v", d, time.Until(m.Deadline))
		}
		_, recipe, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"})
		if err != nil || len(recipe.Actions) != 2 || recipe.Actions[0].Environment["DEST_DISK"] != "/dev/disk/by-id/ata-S1" ||
			!strings.Contains(recipe.Text, "image_url=http://x/linux.qcow2") || !strings.Contains(recipe.Text, "hostname="+m.Name+" ") {
			t.Errorf("recipe %+v, %v", recipe, err)
		}
		d, _ = g.is(t, d.ID, registry.DeploymentRunning, registry.Installing, registry.BootAgent)
		if limit := time.Until(d.Deadline); limit != 16*time.Minute { // 600 s, 60 s, and the margin
			t.Errorf("it may run for %v", limit)
		}
		g.carryOut(t, d)
		g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
		if _, what, err := g.Next(t.Context(), g.m.ID, "", 0); what != registry.LocalBoot || err != nil {
			t.Errorf("an agent that waits instead of restarting is told to %q, %v", what, err)
		}
		time.Sleep(5 * time.Minute)
		g.Sight(registry.Sighting{At: time.Now(), MAC: g.m.BootMAC(), Stage: registry.StageScript, Detail: "disk"})
		time.Sleep(time.Second)
		g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk) // it has to phone home
		for range 2 {
			if err := g.PhoneHome(t.Context(), d.ID, "from 10.0.0.17"); err != nil {
				t.Fatal(err)
			}
		}
		_, m = g.is(t, d.ID, registry.DeploymentSucceeded, registry.Installed, "")
		if m.OS != "linux" {
			t.Errorf("its operating system is %q", m.OS)
		}
		g.boot(t, 1, g.m.Hardware.Disks...)
		if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-2"}); !refusedFor(err, "is succeeded") {
			t.Errorf("what has ended was handed out: %v", err)
		}
		var said []string
		events, _ := g.Timeline(t.Context(), g.m.ID, 0, 100)
		for _, e := range slices.Backward(events) {
			if strings.HasPrefix(string(e.Kind), "deployment.") {
				said = append(said, strings.TrimPrefix(string(e.Kind), "deployment."))
			}
		}
		if got := strings.Join(said, " "); got != "created claimed writing action action action verifying succeeded" {
			t.Errorf("the timeline says %s", got)
		}
	})
}

func refusedFor(err error, why string) bool {
	refused, ok := errors.AsType[*registry.RefusalError](err)
	return ok && strings.Contains(refused.Why, why)
}

// An operating system that says nothing has started when its machine is sent to the
// disk and boots.
func TestSeenBooting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		g := newRig(t, store)
		d := g.deploy(t, "quiet")
		g.carryOut(t, g.claim(t, "boot-1"))
		g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
		time.Sleep(time.Second)
		g.Sight(registry.Sighting{At: time.Now(), MAC: g.m.BootMAC(), Stage: registry.StageDHCP, Detail: "offered"})
		time.Sleep(time.Second)
		g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
		g.Sight(registry.Sighting{At: time.Now(), MAC: g.m.BootMAC(), Stage: registry.StageScript, Detail: "disk"})
		time.Sleep(time.Second)
		g.is(t, d.ID, registry.DeploymentSucceeded, registry.Installed, "")
	})
}

// A server that was not there when the machine booted from its disk finds out.
func TestSeenBootingByAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		g := newRig(t, store)
		d := g.deploy(t, "quiet")
		g.carryOut(t, g.claim(t, "boot-1"))
		time.Sleep(time.Second)
		sighted := registry.Event{At: time.Now(), Kind: registry.MachineBoot, Machine: g.m.ID, MAC: g.m.BootMAC(), Message: "script: disk"}
		if err := store.Commit(t.Context(), registry.Change{Op: "elsewhere", Events: []registry.Event{sighted}}); err != nil {
			t.Fatal(err)
		}
		openTools(t, store, testTools()) // reads the newest events when it starts
		time.Sleep(time.Second)
		g.is(t, d.ID, registry.DeploymentSucceeded, registry.Installed, "")
	})
}

func TestClaims(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"}); !refusedFor(err, "there is no deployment") {
		t.Errorf("without a deployment: %v", err)
	}
	d := g.deploy(t, "linux")
	first := g.claim(t, "boot-1")
	running := registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning}
	g.report(t, running)
	again := g.claim(t, "boot-1")
	if first.Attempt != 1 || again.Attempt != 1 || again.Version != first.Version+1 || again.Actions[0].State != registry.ActionRunning {
		t.Errorf("the same boot: attempt %d, version %d; then %d, %d", first.Attempt, first.Version, again.Attempt, again.Version)
	}
	second := g.claim(t, "boot-2")
	if second.Attempt != 2 || second.BootID != "boot-2" || second.Actions[0].State != registry.ActionPending || !second.Deadline.Equal(first.Deadline) {
		t.Errorf("another boot before anything was written: %+v", second)
	}
	if cancel, err := g.Report(t.Context(), g.m.ID, running); err != nil || !strings.Contains(cancel, "another boot") {
		t.Errorf("a report of the boot before: %q, %v", cancel, err)
	}
	running.Attempt, running.Wrote = 2, true
	g.report(t, running)
	if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-3"}); !refusedFor(err, "the machine restarted while the disk sda ACME S1 was being written") {
		t.Errorf("another boot after something was written: %v", err)
	}
	_, m := g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, "")
	if !strings.Contains(m.Reason, "what is on it is incomplete") {
		t.Errorf("reason %q", m.Reason)
	}
	for _, boot := range []string{"boot-2", "boot-3"} {
		if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: boot}); !refusedFor(err, "is failed") {
			t.Errorf("handed out again to %s: %v", boot, err)
		}
	}
}

// A machine that starts over and over is not given the deployment for ever.
func TestClaimsEnd(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	d := g.deploy(t, "linux")
	for n := range 5 {
		g.claim(t, fmt.Sprint("boot-", n))
	}
	if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-6"}); !refusedFor(err, "restarted 5 times") {
		t.Error(err)
	}
	g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, "")
}

// What has become of the machine between the plan and the claim is looked at before
// anything is written.
func TestMachineChangesBeforeTheClaim(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, g *rig)
		why    string
	}{
		"the disk is gone":    {func(t *testing.T, g *rig) { g.boot(t, 1, disk("sda", "S2", 16e9)) }, "is not in the machine any more"},
		"it is another disk":  {func(t *testing.T, g *rig) { g.boot(t, 1, disk("sda", "S9", 8e9)) }, "is not in the machine any more"},
		"it has another size": {func(t *testing.T, g *rig) { g.boot(t, 1, disk("sda", "S1", 9e9)) }, "of 8 GB is now"},
		"the machine is locked": {func(t *testing.T, g *rig) {
			if _, err := g.Lock(by(t, "ben"), g.m.ID, "mine"); err != nil {
				t.Fatal(err)
			}
		}, "locked by ben: mine"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, registrytest.Memory())
			d := g.deploy(t, "linux")
			c.change(t, g)
			if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"}); !refusedFor(err, c.why) || !refusedFor(err, "nothing was written") {
				t.Error(err)
			}
			g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, "")
		})
	}
	g := newRig(t, registrytest.Memory())
	g.deploy(t, "linux")
	g.boot(t, 1, disk("sdb", "S1", 8e9), disk("sda", "S2", 16e9)) // the kernel numbers them another way
	g.claim(t, "boot-1")
}

func TestReports(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	d := g.deploy(t, "linux")
	g.claim(t, "boot-1")
	report := func(action int, state registry.ActionState) registry.ActionReport {
		return registry.ActionReport{Deployment: d.ID, Attempt: 1, Action: action, State: state}
	}
	wrong := func(name string, r registry.ActionReport) {
		t.Helper()
		if _, err := g.Report(t.Context(), g.m.ID, r); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	wrong("an action that is not there", report(2, registry.ActionRunning))
	wrong("a negative action", report(-1, registry.ActionRunning))
	wrong("an action before its turn", report(1, registry.ActionRunning))
	begun := report(0, registry.ActionRunning)
	begun.Lines = []string{"one", "two\x1b[31m\u202e\nthree", strings.Repeat("x", 2000)}
	g.report(t, begun)
	done := report(0, registry.ActionSucceeded)
	done.Message, done.Wrote = "written", true
	for range 3 {
		g.report(t, done)
		g.report(t, begun) // late, and again
	}
	wrong("a failure of what has succeeded", report(0, registry.ActionFailed))
	d, _ = g.is(t, d.ID, registry.DeploymentRunning, registry.Installing, registry.BootAgent)
	if !d.Wrote || d.Action != 1 || d.Actions[0].State != registry.ActionSucceeded || d.Actions[0].Message != "written" || d.Actions[0].StartedAt.IsZero() {
		t.Errorf("deployment %+v", d)
	}
	lines, err := g.Lines(t.Context(), d.ID, registry.LinePosition{}, 10)
	if err != nil || len(lines) != 3 || lines[1].Text != "two[31m three" || len(lines[2].Text) != 1003 {
		t.Errorf("lines %+v, %v", lines, err)
	}
	other := g.boot(t, 2, disk("sda", "S3", 8e9))
	if _, err := g.Report(t.Context(), other.ID, report(1, registry.ActionRunning)); !refusedFor(err, "not this machine's") {
		t.Errorf("another machine's report: %v", err)
	}
	failed := report(1, registry.ActionFailed)
	failed.Message = "it broke\x07"
	g.report(t, failed)
	d, m := g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, "")
	if m.Reason != `action "restart" failed: it broke; what is on the disk sda ACME S1 is incomplete` || m.Reason != d.Reason {
		t.Errorf("reason %q, %q", d.Reason, m.Reason)
	}
	if cancel, err := g.Report(t.Context(), g.m.ID, report(1, registry.ActionRunning)); err != nil || cancel != d.Reason {
		t.Errorf("after it failed: %q, %v", cancel, err)
	}
}

// Cancelling leaves the machine as it was until something was written, and after
// that says what is on its disk.
func TestCancel(t *testing.T) {
	for name, c := range map[string]struct {
		until   func(t *testing.T, g *rig, d registry.Deployment)
		machine registry.State
		reason  string
	}{
		"waiting": {func(*testing.T, *rig, registry.Deployment) {}, registry.Ready, "cancelled by ben; the disk sda ACME S1 is as it was"},
		"running": {func(t *testing.T, g *rig, _ registry.Deployment) { g.claim(t, "boot-1") }, registry.Ready, "cancelled by ben; the disk sda ACME S1 is as it was"},
		"writing": {func(t *testing.T, g *rig, d registry.Deployment) {
			g.claim(t, "boot-1")
			g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true})
		}, registry.Failed, "cancelled by ben; what is on the disk sda ACME S1 is incomplete"},
		"verifying": {func(t *testing.T, g *rig, _ registry.Deployment) { g.carryOut(t, g.claim(t, "boot-1")) }, registry.Failed,
			"cancelled by ben; the disk sda ACME S1 was written to the end"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, registrytest.Memory())
			d := g.deploy(t, "linux")
			c.until(t, g, d)
			if _, err := g.Cancel(by(t, "ben"), d.ID); err != nil {
				t.Fatal(err)
			}
			d, _ = g.is(t, d.ID, registry.DeploymentCancelled, c.machine, "")
			if d.Reason != c.reason {
				t.Errorf("reason %q", d.Reason)
			}
			late := registry.ActionReport{Deployment: d.ID, Attempt: max(d.Attempt, 1), State: registry.ActionRunning, Wrote: true, Progress: &registry.Progress{Done: 1}}
			if d.Attempt > 0 && name != "verifying" {
				if cancel, err := g.Report(t.Context(), g.m.ID, late); err != nil || !strings.Contains(cancel, "cancelled by ben") {
					t.Errorf("the agent is told %q, %v", cancel, err)
				}
			}
			if again, _ := g.Deployment(t.Context(), d.ID); again.Wrote != (c.machine == registry.Failed) {
				t.Errorf("a late report changed what was written: %v", again.Wrote)
			}
			if _, err := g.Cancel(by(t, "ben"), d.ID); err == nil {
				t.Error("cancelled twice")
			}
			audit, err := g.Audit(t.Context(), g.m.ID, 0, 1)
			if err != nil || audit[0].Action != "deployment.cancelled" || audit[0].Actor.Name != "ben" {
				t.Errorf("audit %+v, %v", audit, err)
			}
		})
	}
}

// A cancelled machine that was installed, or failed, is so again.
func TestCancelBringsTheStateBack(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	g.report(t, func() registry.ActionReport {
		d := g.deploy(t, "linux")
		g.claim(t, "boot-1")
		return registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionFailed, Message: "no"}
	}())
	before, _ := g.Machine(t.Context(), g.m.ID)
	d := g.deploy(t, "linux")
	if _, err := g.Cancel(by(t, "ben"), d.ID); err != nil {
		t.Fatal(err)
	}
	_, m := g.is(t, d.ID, registry.DeploymentCancelled, registry.Failed, "")
	if m.Reason != before.Reason || m.Reason == "" {
		t.Errorf("reason %q; it was %q", m.Reason, before.Reason)
	}
}

func TestRefusals(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	member := disk("sdc", "S3", 32e9)
	member.Contents, member.Found = registry.Member, []registry.Signature{{Type: "linux_raid_member", Label: "data", Member: true}}
	small := g.boot(t, 2, disk("sda", "S4", 1e9))
	raid := g.boot(t, 3, member)
	arm := registration(4, "", "SN-4")
	arm.Hardware.CPU.Arch, arm.Hardware.Memory.Bytes, arm.Hardware.Disks = "arm64", 8<<30, []registry.Disk{disk("sda", "S5", 8e9)}
	other, _ := mustRegister(t, g.Registry, arm)
	retired := g.boot(t, 5, disk("sda", "S6", 8e9))
	if _, err := g.Retire(by(t, "ana"), retired.ID, registry.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.ClaimByAgent(t.Context(), "m-none", registry.AgentBoot{ID: "boot-1"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a claim of no machine: %v", err)
	}
	for name, c := range map[string]struct {
		machine string
		req     registry.DeployRequest
		want    string
	}{
		"no operating system":        {g.m.ID, registry.DeployRequest{}, "/os: it is missing"},
		"one that is not there":      {g.m.ID, registry.DeployRequest{OS: "linus"}, "did you mean linux?"},
		"no such machine":            {"m-none", registry.DeployRequest{OS: "linux"}, "not found"},
		"another architecture":       {other.ID, registry.DeployRequest{OS: "linux"}, "/os: linux is for amd64, and the machine is arm64"},
		"a retired machine":          {retired.ID, registry.DeployRequest{OS: "linux"}, "a machine that is retired may not deploy"},
		"a disk that is too small":   {small.ID, registry.DeployRequest{OS: "linux"}, "/disk: no disk fits; sda 1 GB ACME S4: it has 1 GB, and 4 GB are needed"},
		"a rule that fits no disk":   {g.m.ID, registry.DeployRequest{OS: "linux", Disk: "serial:S7"}, "/disk: no disk fits"},
		"a rule that cannot be read": {g.m.ID, registry.DeployRequest{OS: "linux", Disk: "sda:"}, "/disk: disk rule"},
		"what nobody confirmed":      {raid.ID, registry.DeployRequest{OS: "linux"}, "/confirm: sdc 32 GB ACME S3 (linux_raid_member data) would be overwritten"},
		"another disk's name":        {raid.ID, registry.DeployRequest{OS: "linux", Confirm: "S1"}, "/confirm: it names another disk"},
		"a broken template":          {g.m.ID, registry.DeployRequest{OS: "linux", Parameters: map[string]string{"broken": "yes"}}, "/os: line 1: it is broken"},
		"another engine":             {g.m.ID, registry.DeployRequest{OS: "linux", Engine: "steam"}, "/engine: want builtin"},
		"a wipe of some disk":        {g.m.ID, registry.DeployRequest{Kind: registry.KindWipe}, "/disk: the machine has 2 disks"},
		"a wipe with a system":       {g.m.ID, registry.DeployRequest{Kind: registry.KindWipe, OS: "linux"}, "/os: a wipe leaves"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := g.Deploy(by(t, "ana"), c.machine, c.req, registry.Batch{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			plan, err := g.Deploy(registry.WithDryRun(by(t, "ana")), c.machine, c.req, registry.Batch{})
			if err == nil && !strings.Contains(errors.Join(plan.Problems...).Error(), c.want) {
				t.Errorf("a dry run tells of %v", plan.Problems)
			}
		})
	}
	if n, err := g.CountDeployments(t.Context()); err != nil || n[registry.DeploymentWaiting]+n[registry.DeploymentPending] != 0 {
		t.Errorf("there are deployments: %v, %v", n, err)
	}
	for _, req := range []registry.DeployRequest{{OS: "linux", Confirm: "ata-S3"}, {OS: "linux", Erase: []string{"S1", "s3"}}} {
		plan, err := g.Deploy(registry.WithDryRun(t.Context()), raid.ID, req, registry.Batch{})
		if err != nil || len(plan.Problems) > 0 || plan.Deployment.Disk.Found != "linux_raid_member data" {
			t.Errorf("%+v: %+v, %v", req, plan.Problems, err)
		}
	}
	if _, err := g.Lock(by(t, "ben"), g.m.ID, "mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{}); !isLocked(err) {
		t.Errorf("locked: %v", err)
	}
	if _, err := g.Unlock(by(t, "ben"), g.m.ID, false); err != nil {
		t.Fatal(err)
	}
	d := g.deploy(t, "linux")
	if _, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{}); !refusedFor(err, "the deployment of linux, "+d.ID+", is waiting on it") {
		t.Errorf("a second one: %v", err)
	}
	if err := g.Delete(by(t, "ana"), g.m.ID, registry.AnyVersion); err == nil {
		t.Error("a machine that is installing was deleted")
	}
}

func isLocked(err error) bool {
	_, ok := errors.AsType[*registry.LockedError](err)
	return ok
}

func TestWipe(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	plan, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{Kind: registry.KindWipe, Disk: "serial:S2"}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	g.carryOut(t, g.claim(t, "boot-1"))
	d, m := g.is(t, plan.Deployment.ID, registry.DeploymentSucceeded, registry.Ready, "")
	if d.Disk.Serial != "S2" || m.OS != "" {
		t.Errorf("disk %s, operating system %q", d.Disk.Serial, m.OS)
	}
}

// A disk that nothing was written to was not wiped, whatever its agent says.
func TestWipeThatWroteNothing(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	plan, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{Kind: registry.KindWipe, Disk: "serial:S2"}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	d := g.claim(t, "boot-1")
	for action := range d.Actions {
		g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: 1, Action: action, State: registry.ActionSucceeded})
	}
	if d, _ := g.is(t, plan.Deployment.ID, registry.DeploymentFailed, registry.Failed, ""); !strings.Contains(d.Reason, "wrote nothing") {
		t.Errorf("its reason is %q", d.Reason)
	}
}

func TestDeploymentDeadlines(t *testing.T) {
	for name, c := range map[string]struct {
		until  func(t *testing.T, g *rig, d registry.Deployment)
		lasts  time.Duration
		reason string
	}{
		"waiting": {func(*testing.T, *rig, registry.Deployment) {}, 30 * time.Minute, "no agent took it up within 30 minutes: the machine did not boot"},
		"running": {func(t *testing.T, g *rig, d registry.Deployment) {
			g.claim(t, "boot-1")
			g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true})
		}, 16 * time.Minute, `it was not carried out within 16 minutes; action "write" was running; `},
		"verifying": {func(t *testing.T, g *rig, _ registry.Deployment) { g.carryOut(t, g.claim(t, "boot-1")) }, 20 * time.Minute,
			"what was installed did not start within 20 minutes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := registrytest.Memory()
				g := newRig(t, store)
				openTools(t, store, testTools()) // another server
				d := g.deploy(t, "linux")
				c.until(t, g, d)
				time.Sleep(c.lasts - 30*time.Second)
				if d, _ := g.Deployment(t.Context(), d.ID); d.State.Ended() {
					t.Fatalf("before its deadline: %s, %s", d.State, d.Reason)
				}
				time.Sleep(time.Minute)
				d, m := g.is(t, d.ID, registry.DeploymentTimedOut, registry.Failed, "")
				if !strings.HasPrefix(d.Reason, c.reason) || m.Reason != d.Reason || !strings.Contains(d.Reason, `it was not seen booting since; the last of it was "registered for the first time`) {
					t.Errorf("reason %q", d.Reason)
				}
				if n := countOf(t, store, "deployment.timed_out"); n != 1 {
					t.Errorf("it timed out %d times", n)
				}
			})
		})
	}
}

func TestRetry(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	plan, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "linux", Disk: "serial:S2", Parameters: map[string]string{"colour": "blue"}}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	first := plan.Deployment
	if _, err := g.Retry(by(t, "ben"), first.ID, registry.Batch{}); !refusedFor(err, "it is waiting") {
		t.Errorf("retried while it waits: %v", err)
	}
	g.claim(t, "boot-1")
	g.report(t, registry.ActionReport{Deployment: first.ID, Attempt: 1, State: registry.ActionFailed, Message: "no", Wrote: true})
	plan, err = g.Retry(by(t, "ben"), first.ID, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	second := plan.Deployment
	g.is(t, second.ID, registry.DeploymentWaiting, registry.Installing, registry.BootAgent)
	recipe, err := g.Recipe(t.Context(), second.ID)
	if second.Disk.Found != "written in part by deployment "+first.ID || second.Disk.Left != first.ID {
		t.Errorf("what was left on the disk: %+v", second.Disk)
	}
	if second.ID == first.ID || second.Disk.Serial != "S2" || second.By != "ben" || err != nil || recipe.Parameters["colour"] != "blue" {
		t.Errorf("the second: %+v, %+v, %v", second, recipe, err)
	}
	g.carryOut(t, g.claim(t, "boot-1"))
	if err := g.PhoneHome(t.Context(), second.ID, "from 10.0.0.17"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Retry(by(t, "ben"), second.ID, registry.Batch{}); !refusedFor(err, "it is succeeded") {
		t.Errorf("retried after it succeeded: %v", err)
	}
}

// What was left on a disk is told until it is written to the end.
func TestWhatIsLeftOnTheDisk(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	first := g.deploy(t, "quiet")
	g.claim(t, "boot-1")
	g.report(t, registry.ActionReport{Deployment: first.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true})
	if _, err := g.Cancel(by(t, "ben"), first.ID); err != nil {
		t.Fatal(err)
	}
	second := g.deploy(t, "quiet")
	if _, err := g.Cancel(by(t, "ben"), second.ID); err != nil { // before anything is written
		t.Fatal(err)
	}
	third := g.deploy(t, "quiet")
	if second.Disk.Left != first.ID || third.Disk.Left != first.ID || third.Disk.Found != "written in part by deployment "+first.ID {
		t.Errorf("the second time %+v, the third %+v", second.Disk, third.Disk)
	}
	g.carryOut(t, g.claim(t, "boot-2"))
	if _, err := g.Cancel(by(t, "ben"), third.ID); err != nil { // it was written to the end
		t.Fatal(err)
	}
	_, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "quiet", Blank: true}, registry.Batch{})
	if invalid, ok := errors.AsType[*registry.InvalidError](err); !ok || invalid.Fields[0].Pointer != "/disk" {
		t.Errorf("a blank one is wanted, after it was written to the end: %v", err)
	}
	fourth := g.deploy(t, "quiet")
	if fourth.Disk.Left != "" || fourth.Disk.Found != "written by deployment "+third.ID {
		t.Errorf("after it was written to the end: %+v", fourth.Disk)
	}
}

// A token of a boot before the last registration takes up nothing, nor one of before
// the machine was installed; the boot that registers again does.
func TestClaimsOfEarlierBoots(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	register := func(boot string) {
		t.Helper()
		reg := registration(1, "", "SN-1")
		reg.Hardware, reg.Boot = g.m.Hardware, boot
		mustRegister(t, g.Registry, reg)
	}
	claim := func(token, id string) (registry.Deployment, error) {
		d, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{Token: token, ID: id})
		return d, err
	}
	stale := func(when, token string) {
		t.Helper()
		_, err := claim(token, "boot-"+token)
		if _, is := errors.AsType[*registry.StaleBootError](err); !is {
			t.Errorf("%s: %v", when, err)
		}
	}
	register("aa")
	register("bb")
	d := g.deploy(t, "quiet")
	stale("a boot before", "aa")
	stale("no boot", "")
	for range 2 { // the second time, the answer to the first got lost
		if got, err := claim("bb", "boot-1"); err != nil || got.Attempt != 1 || got.Boot != "bb" {
			t.Fatalf("the boot that registered: %+v, %v", got, err)
		}
	}
	for n := range 9 {
		if _, err := claim("bb", fmt.Sprint("made-up-", n)); !refusedFor(err, "one boot of the machine has one ID") {
			t.Fatalf("a made-up ID: %v", err)
		}
	}
	running := registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning}
	if cancel, err := g.Report(t.Context(), g.m.ID, running); err != nil || cancel == "" {
		t.Errorf("a report by another token: %q, %v", cancel, err)
	}
	register("cc") // it restarted before anything was written
	stale("the boot before the restart", "bb")
	got, err := claim("cc", "boot-2")
	if err != nil || got.Attempt != 2 {
		t.Fatalf("after a restart: %+v, %v", got, err)
	}
	for i := range got.Actions {
		g.report(t, registry.ActionReport{Deployment: d.ID, Boot: "cc", Attempt: 2, Action: i, State: registry.ActionRunning, Wrote: true})
		g.report(t, registry.ActionReport{Deployment: d.ID, Boot: "cc", Attempt: 2, Action: i, State: registry.ActionSucceeded})
	}
	if err := g.PhoneHome(t.Context(), d.ID, "from 10.0.0.17"); err != nil {
		t.Fatal(err)
	}
	d = g.deploy(t, "quiet") // for the next tenant
	stale("a copy from before the machine was installed", "cc")
	register("dd")
	if got, err := claim("dd", "boot-3"); err != nil || got.ID != d.ID {
		t.Errorf("the next boot: %+v, %v", got, err)
	}
}

// A token of an earlier boot writes nothing to the log of what a later one carries out,
// whose lines would make room for it; the boot that was cancelled has its last words.
func TestLinesOfEarlierBoots(t *testing.T) {
	g := newRig(t, registrytest.Memory())
	for _, boot := range []string{"aa", "bb"} {
		reg := registration(1, "", "SN-1")
		reg.Hardware, reg.Boot = g.m.Hardware, boot
		mustRegister(t, g.Registry, reg)
	}
	d := g.deploy(t, "quiet")
	if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{Token: "bb", ID: "boot-1"}); err != nil {
		t.Fatal(err)
	}
	report := registry.ActionReport{Deployment: d.ID, Boot: "bb", Attempt: 1, State: registry.ActionRunning, Lines: []string{"mine"}}
	g.report(t, report)
	foreign := report
	foreign.Boot, foreign.LinesFrom, foreign.Lines = "aa", 999_999_999, []string{"made up"}
	if cancel, err := g.Report(t.Context(), g.m.ID, foreign); err != nil || cancel == "" {
		t.Errorf("a report by another boot: %q, %v", cancel, err)
	}
	if _, err := g.Cancel(by(t, "ana"), d.ID); err != nil {
		t.Fatal(err)
	}
	report.LinesFrom, report.Lines = 1, []string{"last words"}
	if cancel, err := g.Report(t.Context(), g.m.ID, report); err != nil || cancel == "" {
		t.Errorf("a report after it was cancelled: %q, %v", cancel, err)
	}
	lines, err := g.Lines(t.Context(), d.ID, registry.LinePosition{}, 10)
	if err != nil || len(lines) != 2 || lines[0].Text != "mine" || lines[1].Text != "last words" {
		t.Errorf("lines %+v, %v", lines, err)
	}
}

// Of a batch as many are under way as its limit says.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		g := newRig(t, store)
		machines := []registry.Machine{g.m}
		for n := byte(2); n <= 5; n++ {
			machines = append(machines, g.boot(t, n, disk("sda", fmt.Sprint("T", n), 8e9)))
		}
		batch := registry.NewBatch(2)
		ids := map[string]string{} // deployment to machine
		for _, m := range machines {
			plan, err := g.Deploy(by(t, "ana"), m.ID, registry.DeployRequest{OS: "linux"}, batch)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := g.Machine(t.Context(), m.ID); plan.Deployment.State != registry.DeploymentPending || got.State == registry.Installing && got.Deployment != plan.Deployment.ID {
				t.Errorf("%s: %s", m.Name, got.State)
			}
			ids[plan.Deployment.ID] = m.ID
			time.Sleep(time.Millisecond)
		}
		if _, err := g.Deploy(by(t, "ana"), machines[4].ID, registry.DeployRequest{OS: "linux"}, registry.Batch{}); !refusedFor(err, "is pending on it") {
			t.Errorf("a second one where one waits for its turn: %v", err)
		}
		if _, err := g.Lock(by(t, "ben"), machines[2].ID, "mine"); err != nil {
			t.Fatal(err)
		}
		ended := 0
		for round := 0; ended < len(ids); round++ {
			time.Sleep(time.Second)
			under, err := g.Deployments(t.Context(), registry.DeploymentQuery{Batch: batch.ID, States: []registry.DeploymentState{registry.DeploymentWaiting}})
			if err != nil || len(under) > 2 || len(under) == 0 || round > 5 {
				t.Fatalf("round %d: %d are under way, %v", round, len(under), err)
			}
			d := under[len(under)-1]
			if _, err := g.Cancel(by(t, "ana"), d.ID); err != nil {
				t.Fatal(err)
			}
			all, _ := g.CountDeployments(t.Context())
			ended = all[registry.DeploymentCancelled] + all[registry.DeploymentFailed]
		}
		locked, err := g.Deployments(t.Context(), registry.DeploymentQuery{Machines: []string{machines[2].ID}})
		if err != nil || locked[0].State != registry.DeploymentFailed || !strings.Contains(locked[0].Reason, "locked by ben: mine; nothing was begun") {
			t.Errorf("the locked machine's: %+v, %v", locked, err)
		}
		if m, _ := g.Machine(t.Context(), machines[2].ID); m.State != registry.Ready {
			t.Errorf("the locked machine is %s", m.State)
		}
	})
}

// How far it is comes from memory at once, and from the store after a restart; and
// what nobody can know is not acknowledged while the store is away.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		g := newRig(t, store)
		d := g.deploy(t, "linux")
		g.claim(t, "boot-1")
		at := func(done int64) registry.ActionReport {
			return registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true, Progress: &registry.Progress{Stage: "write", Done: done, Total: 1000, Rate: 100}}
		}
		g.report(t, at(100))
		shown, next, more := g.Watch(0)
		if len(shown) != 1 || shown[0].Track.Done != 100 || shown[0].Machine != g.m.ID {
			t.Errorf("shown %+v", shown)
		}
		time.Sleep(400 * time.Millisecond)
		g.report(t, at(200))
		select {
		case <-more:
			t.Error("told of it twice within a second")
		default:
		}
		time.Sleep(time.Second)
		g.report(t, at(300))
		<-more
		if shown, _, _ := g.Watch(next); len(shown) != 1 || shown[0].Track.Done != 300 {
			t.Errorf("shown %+v", shown)
		}
		d, err := g.Deployment(t.Context(), d.ID)
		if o := d.Outlook(time.Now()); err != nil || d.Track.Done != 300 || o.Percent != 15 || o.Left != 0 {
			t.Errorf("%+v, %+v, %v", d.Track, o, err)
		}
		time.Sleep(10 * time.Second)
		stored, err := store.Deployments(t.Context(), registry.DeploymentQuery{})
		if err != nil || stored[0].Track.Done != 300 || stored[0].Version != d.Version {
			t.Errorf("stored: %+v, %v", stored, err)
		}
		// A cancellation is heard of, whoever wrote it.
		other := openTools(t, store, testTools())
		if _, err := other.Cancel(by(t, "ben"), d.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if cancel, err := g.Report(t.Context(), g.m.ID, at(400)); err != nil || !strings.Contains(cancel, "cancelled by ben") {
			t.Errorf("the agent is told %q, %v", cancel, err)
		}
	})
}

func TestOutlook(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	action := func(state registry.ActionState, expected time.Duration) registry.ActionRun {
		return registry.ActionRun{State: state, Expected: expected, StartedAt: at.Add(-5 * time.Second), EndedAt: at}
	}
	const done, runs, waits = registry.ActionSucceeded, registry.ActionRunning, registry.ActionPending
	for name, c := range map[string]struct {
		actions []registry.ActionRun
		p       registry.Progress
		want    registry.Outlook
	}{
		"nothing is known":          {[]registry.ActionRun{action(runs, 0), action(waits, 0)}, registry.Progress{}, registry.Outlook{}},
		"half of one of two":        {[]registry.ActionRun{action(runs, 0), action(waits, 0)}, registry.Progress{Done: 5, Total: 10, Rate: 1}, registry.Outlook{Percent: 25}},
		"the rest is known":         {[]registry.ActionRun{action(runs, 0), action(waits, 10*time.Second)}, registry.Progress{Done: 5, Total: 10, Rate: 1}, registry.Outlook{Percent: 100 * 0.5 / 11, Left: 15 * time.Second}},
		"by the time it took":       {[]registry.ActionRun{action(done, 30*time.Second), action(runs, 10*time.Second)}, registry.Progress{}, registry.Outlook{Percent: 87.5, Left: 5 * time.Second}},
		"longer than it took":       {[]registry.ActionRun{action(runs, time.Second)}, registry.Progress{}, registry.Outlook{Percent: 99}},
		"a part and no rate":        {[]registry.ActionRun{action(runs, 20*time.Second)}, registry.Progress{Done: 3, Total: 4}, registry.Outlook{Percent: 75, Left: 5 * time.Second}},
		"for ever":                  {[]registry.ActionRun{action(runs, 0)}, registry.Progress{Done: 1 << 60, Total: math.MaxInt64, Rate: 1e-300}, registry.Outlook{Percent: 12.5}},
		"more than there should be": {[]registry.ActionRun{action(runs, 0)}, registry.Progress{Done: 9, Total: 4, Rate: 1}, registry.Outlook{Percent: 100}},
	} {
		d := registry.Deployment{State: registry.DeploymentRunning, Actions: c.actions, Attempt: 1, Track: registry.Track{Attempt: 1, Progress: c.p}}
		d.Action = slices.IndexFunc(c.actions, func(a registry.ActionRun) bool { return a.State == runs })
		d.Track.Action = d.Action
		if got := d.Outlook(at); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// What took long before is expected to take long: on such machines, and else on any.
func TestExpectedFromPastRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		for _, took := range []time.Duration{10 * time.Second, 30 * time.Second, 12 * time.Second} {
			d := g.deploy(t, "linux")
			g.boot(t, 1, g.m.Hardware.Disks...)
			g.claim(t, "boot-1")
			report := registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning}
			g.report(t, report)
			time.Sleep(took)
			g.carryOut(t, func() registry.Deployment { d, _ := g.Deployment(t.Context(), d.ID); return d }())
			if err := g.PhoneHome(t.Context(), d.ID, "from 10.0.0.17"); err != nil {
				t.Fatal(err)
			}
		}
		g.deploy(t, "linux")
		g.boot(t, 1, g.m.Hardware.Disks...)
		if d := g.claim(t, "boot-9"); d.Actions[0].Expected != 12*time.Second {
			t.Errorf("expected %v", d.Actions[0].Expected)
		}
	})
}

// While the database is away nothing is begun, and what is acknowledged is stored.
func TestDeployWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		g := &rig{Registry: startHost(t, store, journal.Config{}).Registry, store: store}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		d := g.deploy(t, "linux")
		g.claim(t, "boot-1")
		g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning})
		progress := registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Progress: &registry.Progress{Done: 1}}
		g.report(t, progress)
		time.Sleep(time.Second) // our own event is read, and what is known is asked for once more
		g.report(t, progress)
		store.off.Store(true)
		time.Sleep(2 * time.Second)
		g.report(t, progress)
		wrote := progress
		wrote.Wrote = true
		for name, err := range map[string]error{
			"that something is written": func() error { _, err := g.Report(t.Context(), g.m.ID, wrote); return err }(),
			"that it ended": func() error {
				_, err := g.Report(t.Context(), g.m.ID, registry.ActionReport{Deployment: d.ID, Attempt: 1, State: registry.ActionSucceeded})
				return err
			}(),
			"a claim": func() error {
				_, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"})
				return err
			}(),
			"a deployment": func() error {
				_, err := g.Deploy(t.Context(), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{})
				return err
			}(),
			"a cancellation": func() error { _, err := g.Cancel(t.Context(), d.ID); return err }(),
		} {
			if !errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if e, ok := g.Lookup(g.m.BootMAC()); !ok || e.Next != registry.BootAgent {
			t.Errorf("the boot path has %+v", e)
		}
		store.off.Store(false)
		time.Sleep(5 * time.Second)
		g.carryOut(t, g.claim(t, "boot-1"))
		g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
	})
}
