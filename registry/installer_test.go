package registry_test

import (
	"errors"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// installerRig has an operating system that an installer puts on the disk.
func installerRig(t *testing.T, engines ...registry.Engine) *rig {
	t.Helper()
	tools := testTools()
	if tools.Engines = engines; len(engines) > 0 {
		tools.Engine = engines[0]
	}
	file := registry.OSImage{Kernel: "http://x/linux", KernelSHA256: strings.Repeat("a", 64), Initrd: "http://x/initrd", InitrdSHA256: strings.Repeat("b", 64)}
	tools.Catalogue = append(tools.Catalogue, registry.OS{ID: "own", Name: "Own", Template: "image", FirstBoot: registry.FirstBootCloudInit,
		Images: map[string]registry.OSImage{"amd64": file}})
	tools.Render = func(_ string, _ registry.Machine, params map[string]string) (registry.Rendered, error) {
		return registry.Rendered{Text: params["kernel_sha256"] + params["initrd_sha256"], Actions: []registry.RecipeAction{{Name: "run installer", Image: "dragonfly/installer:1", Timeout: 60}}}, nil
	}
	store := registrytest.Memory()
	g := &rig{Registry: openTools(t, store, tools), store: store}
	g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
	return g
}

// installer takes a deployment as far as that its installer runs.
func (g *rig) installer(t *testing.T) registry.Deployment {
	t.Helper()
	d := g.deploy(t, "own")
	d = g.claim(t, "boot-1")
	if err := g.TellInstaller(t.Context(), d.ID, registry.InstallerStarted, ""); !refusedFor(err, "no installer of it runs") {
		t.Errorf("before the agent began: %v", err)
	}
	g.report(t, registry.ActionReport{Deployment: d.ID, Attempt: d.Attempt, State: registry.ActionRunning})
	return d
}

// An installer says when it writes, and when it has done: the deployment is no further
// than that.
func TestInstaller(t *testing.T) {
	g := installerRig(t)
	d := g.installer(t)
	told := func(event registry.InstallerEvent) {
		t.Helper()
		for range 2 { // an answer gets lost
			if err := g.TellInstaller(t.Context(), d.ID, event, ""); err != nil {
				t.Fatalf("%s: %v", event, err)
			}
		}
	}
	told(registry.InstallerStarted)
	if d, _ := g.is(t, d.ID, registry.DeploymentRunning, registry.Installing, registry.BootAgent); d.Wrote || d.Track.Stage != "the installer runs" {
		t.Errorf("started: wrote %v, %q", d.Wrote, d.Track.Stage)
	}
	told(registry.InstallerWriting)
	if d, _ := g.is(t, d.ID, registry.DeploymentRunning, registry.Installing, registry.BootAgent); !d.Wrote || d.Track.Stage != "installing" {
		t.Errorf("writing: wrote %v, %q", d.Wrote, d.Track.Stage)
	}
	told(registry.InstallerInstalled)
	g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
	if err := g.TellInstaller(t.Context(), d.ID, registry.InstallerWriting, ""); !refusedFor(err, "is verifying, and no installer of it runs") {
		t.Errorf("late: %v", err)
	}
	if err := g.PhoneHome(t.Context(), d.ID, ""); err != nil {
		t.Fatal(err)
	}
	g.is(t, d.ID, registry.DeploymentSucceeded, registry.Installed, "")
	if err := g.TellInstaller(t.Context(), "d-none", registry.InstallerStarted, ""); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("of no deployment: %v", err)
	}
}

// What an installer fails of is the reason of the deployment, and what becomes of the
// disk follows from how far it was.
func TestInstallerEnds(t *testing.T) {
	for name, c := range map[string]struct {
		writes bool
		end    func(g *rig, d registry.Deployment) error
		reason string
		ends   registry.DeploymentState
		state  registry.State
	}{
		"fails before it writes": {false, func(g *rig, d registry.Deployment) error {
			return g.TellInstaller(t.Context(), d.ID, registry.InstallerFailed, "no mirror\x1b[2J")
		}, "action \"run installer\" failed: no mirror[2J; the disk sda ACME S1 is as it was", registry.DeploymentFailed, registry.Failed},
		"fails when it has": {true, func(g *rig, d registry.Deployment) error {
			return g.TellInstaller(t.Context(), d.ID, registry.InstallerFailed, "")
		}, "the installer did not say why; what is on the disk sda ACME S1 is incomplete", registry.DeploymentFailed, registry.Failed},
		"is cancelled before it writes": {false, func(g *rig, d registry.Deployment) error {
			_, err := g.Cancel(by(t, "ana"), d.ID)
			return err
		}, "cancelled by ana; the disk sda ACME S1 is as it was", registry.DeploymentCancelled, registry.Ready},
		"loses its power when it has": {true, func(g *rig, d registry.Deployment) error {
			_, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-2"})
			if refusedFor(err, "was being written") {
				return nil
			}
			return err
		}, "is incomplete. It is not written again by itself", registry.DeploymentFailed, registry.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			g := installerRig(t)
			d := g.installer(t)
			if c.writes {
				if err := g.TellInstaller(t.Context(), d.ID, registry.InstallerWriting, ""); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.end(g, d); err != nil {
				t.Fatal(err)
			}
			if d, _ := g.is(t, d.ID, c.ends, c.state, ""); !strings.Contains(d.Reason, c.reason) {
				t.Errorf("%q; want %q", d.Reason, c.reason)
			}
			if err := g.TellInstaller(t.Context(), d.ID, registry.InstallerWriting, ""); !refusedFor(err, "no installer of it runs") {
				t.Errorf("it may go on: %v", err)
			}
		})
	}
}

// An installer finds its disk by name alone: one without a lasting name is refused.
func TestInstallerWantsALastingName(t *testing.T) {
	g := installerRig(t)
	g.m = g.boot(t, 2, registry.Disk{Name: "sda", Bytes: 8e9, Contents: registry.Blank})
	_, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "own"}, registry.Batch{})
	wrong, is := errors.AsType[*registry.InvalidError](err)
	if !is || wrong.Fields[0].Pointer != "/disk" || !strings.Contains(wrong.Fields[0].Message, "neither a serial number nor a WWN") {
		t.Errorf("%v", err)
	}
}

// An installer is for the built-in engine, whatever is usual here.
func TestInstallerWithoutTinkerbell(t *testing.T) {
	g := installerRig(t, registry.EngineTinkerbell)
	if d := g.deploy(t, "own"); d.Engine != registry.EngineBuiltin {
		t.Errorf("it is carried out by %s", d.Engine)
	}
	g.m = g.boot(t, 2, disk("sda", "S2", 8e9))
	_, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "own", Engine: registry.EngineTinkerbell}, registry.Batch{})
	if wrong, is := errors.AsType[*registry.InvalidError](err); !is || wrong.Fields[0].Pointer != "/engine" {
		t.Errorf("%v", err)
	}
}

// What is started on a machine is checked: an installer without sums is no entry.
func TestInstallerFilesHaveSums(t *testing.T) {
	o := registry.OS{ID: "own", Name: "Own", Template: "t", FirstBoot: registry.FirstBootNone,
		Images: map[string]registry.OSImage{"amd64": {Kernel: "http://x/linux", Initrd: "http://x/initrd", InitrdSHA256: "zz"}}}
	wrong, is := errors.AsType[*registry.InvalidError](o.Validate())
	if !is || len(wrong.Fields) != 2 || wrong.Fields[0].Pointer != "/images/amd64/kernel_sha256" || wrong.Fields[1].Pointer != "/images/amd64/initrd_sha256" {
		t.Errorf("%v", wrong)
	}
}
