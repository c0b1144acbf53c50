package registry_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// What Tinkerbell carries out has the machine boot for it, and is never given to an agent
// of ours; and the other way round.
func TestEngines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tools := testTools()
		tools.Engines, tools.Engine = []registry.Engine{registry.EngineTinkerbell}, registry.EngineTinkerbell
		r := openTools(t, registrytest.Memory(), tools)
		g := &rig{Registry: r}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		d := g.deploy(t, "linux")
		g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootOSIE)
		if _, what, err := g.Next(t.Context(), g.m.ID, "", 0); what != registry.EnterOSIE || err != nil {
			t.Errorf("an agent that waits is told to %q, %v", what, err)
		}
		if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"}); !refusedFor(err, "is carried out by tinkerbell") {
			t.Errorf("an agent may take it: %v", err)
		}
		for range 2 {
			if err := g.Hold(t.Context(), d.ID, "waiting for Tinkerbell: connection refused, retrying"); err != nil {
				t.Fatal(err)
			}
		}
		if d, _ = g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootOSIE); !strings.Contains(d.Reason, "connection refused") {
			t.Errorf("it waits for %q", d.Reason)
		}
		d, err := g.TakeUp(t.Context(), g.m.ID, "workflow-1")
		if err != nil || d.Attempt != 1 || d.State != registry.DeploymentRunning {
			t.Fatalf("taken up: %+v, %v", d, err)
		}
		g.carryOut(t, d)
		g.is(t, d.ID, registry.DeploymentVerifying, registry.Installing, registry.BootDisk)
		if err := g.Fail(t.Context(), d.ID, "the Workflow is gone"); err != nil {
			t.Fatal(err)
		}
		if d, _ = g.is(t, d.ID, registry.DeploymentFailed, registry.Failed, ""); !strings.Contains(d.Reason, "the Workflow is gone") {
			t.Errorf("it failed since %q", d.Reason)
		}
		if err := g.Fail(t.Context(), d.ID, "again"); err != nil {
			t.Errorf("what has ended: %v", err)
		}
	})
}

func TestEngineRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		for name, tt := range map[string]struct {
			req  registry.DeployRequest
			says string
		}{
			"not set up": {registry.DeployRequest{OS: "linux", Engine: registry.EngineTinkerbell}, "tinkerbell is not set up here: start with --kubeconfig"},
			"unknown":    {registry.DeployRequest{OS: "linux", Engine: "ansible"}, "want builtin or tinkerbell"},
		} {
			if _, err := g.Deploy(by(t, "ana"), g.m.ID, tt.req, registry.Batch{}); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want %q", name, err, tt.says)
			}
		}
		g.deploy(t, "linux")
		if _, err := g.TakeUp(t.Context(), g.m.ID, "workflow-1"); !refusedFor(err, "is carried out by builtin") {
			t.Errorf("Tinkerbell takes up what is not its own: %v", err)
		}
	})
}

// A Template of Tinkerbell's cluster is the template of an operating system: it is read
// for each deployment, and needs no image here.
func TestClusterTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tools := testTools()
		r := openTools(t, registrytest.Memory(), tools)
		g := &rig{Registry: r}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		theirs := registry.OS{ID: "theirs", Name: "Theirs", Template: "tinkerbell:ubuntu", FirstBoot: registry.FirstBootNone}
		put := func() error {
			_, err := r.PutOS(by(t, "ana"), registry.AnyVersion, theirs)
			return err
		}
		if err := put(); !refusedFor(err, "Tinkerbell is not set up here") {
			t.Errorf("without a cluster: %v", err)
		}
		text := "from the cluster"
		tools.ClusterTemplate = func(name string) (string, error) {
			if name != "ubuntu" {
				return "", &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/template", Message: "there is no Template " + name}}}
			}
			return text, nil
		}
		r.Equip(tools)
		if err := put(); err != nil {
			t.Fatal(err)
		}
		text = "changed in the cluster"
		d := g.deploy(t, "theirs")
		if recipe, err := r.Recipe(t.Context(), d.ID); err != nil || !strings.HasPrefix(recipe.Text, text) {
			t.Errorf("%+v, %v", recipe, err)
		}
		if _, err := r.Cancel(by(t, "ana"), d.ID); err != nil {
			t.Fatal(err)
		}
		tools.ClusterTemplate = func(string) (string, error) { return "", &registry.RefusalError{Why: "Tinkerbell is away"} }
		r.Equip(tools)
		if _, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "theirs"}, registry.Batch{}); !refusedFor(err, "Tinkerbell is away") {
			t.Errorf("nobody knows the template: %v", err)
		}
		theirs.Template = "nobody"
		if err := put(); err == nil || !strings.Contains(err.Error(), "only a template of Tinkerbell's cluster has its own") {
			t.Errorf("no image: %v", err)
		}
	})
}

// An operating system may say what its machines boot for Tinkerbell, and what cannot be
// carried out there is refused.
func TestOSIE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tools := testTools()
		tools.Engines, tools.Engine = []registry.Engine{registry.EngineTinkerbell}, registry.EngineTinkerbell
		tools.CheckActions = func(d registry.Deployment, actions []registry.RecipeAction) error {
			if d.Engine != registry.EngineTinkerbell || d.OSIE != registry.OSIEHook || len(actions) != 2 {
				return &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/os", Message: "its template: nobody knows the action"}}}
			}
			return nil
		}
		r := openTools(t, registrytest.Memory(), tools)
		g := &rig{Registry: r}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		if _, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{}); err == nil || !strings.Contains(err.Error(), "nobody knows the action") {
			t.Errorf("for our agent: %v", err)
		}
		o := tools.Catalogue[0]
		if o.OSIE = "linux"; o.Validate() == nil {
			t.Error("an environment that is none")
		}
		o.OSIE = registry.OSIEHook
		if _, err := r.PutOS(by(t, "ana"), registry.AnyVersion, o); err != nil {
			t.Fatal(err)
		}
		d := g.deploy(t, "linux")
		g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, "osie:hook")
		if _, what, err := g.Next(t.Context(), g.m.ID, "", 0); what != registry.EnterOSIE || err != nil {
			t.Errorf("an agent that waits is told to %q, %v", what, err)
		}
	})
}
