package clustertest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/tinkerbell/tinkerbell/crd"

	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

// says waits until a deployment says something, in a state.
func (b *bench) says(id string, state registry.DeploymentState, text string) {
	b.Helper()
	b.eventually("the deployment says "+text, func() (string, bool) {
		d, err := b.registry.Deployment(b.Context(), id)
		return fmt.Sprint(d.State, " ", d.Reason, " ", err), d.State == state && strings.Contains(d.Reason, text)
	})
}

// edit is what somebody does to an object by hand.
func (b *bench) edit(kind schema.GroupVersionResource, name, patch string) {
	b.Helper()
	if _, err := b.client.Resource(kind).Namespace(b.namespace).Patch(b.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

// succeed carries a Workflow out.
func (b *bench) succeed(d registry.Deployment, workflow string) {
	b.Helper()
	b.controller(workflow, actions("RUNNING", "RUNNING", "PENDING"))
	b.comesTo(d.ID, registry.DeploymentRunning)
	b.controller(workflow, actions("SUCCESS", "SUCCESS", "SUCCESS"))
	b.comesTo(d.ID, registry.DeploymentVerifying)
}

// What the controller cannot render it tries again, and for a minute so do we.
func TestNotRendered(t *testing.T) {
	for name, message := range map[string]string{
		"template error":     `template: workflow-template:5:14: executing "workflow-template" at <.x>: map has no entry for key "x"`,
		"hardware not found": `hardware not found: Hardware.tinkerbell.org "m-1" not found`,
		"template not found": `template not found: Template.tinkerbell.org "d-1" not found`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, api, "not-rendered")
			m := b.machine(len(name))
			d := b.deploy(m.ID)
			w := b.workflowOf(d)
			failed := func(at string) string {
				return fmt.Sprintf(`{"templateRendering":"failed","conditions":[{"type":"TemplateRenderedSuccess","status":"False","message":%q,"time":%q}]}`, message, at)
			}
			b.controller(w, failed("2026-01-01T00:00:00Z"))
			b.says(d.ID, registry.DeploymentWaiting, message)
			b.later.Store(int64(time.Minute))
			b.controller(w, failed("2026-01-01T00:01:00Z"))
			b.says(d.ID, registry.DeploymentFailed, message)
			b.vanishes(cluster.Workflow, w)
			b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
		})
	}
}

// A disabled Workflow says so, and goes on when it is enabled.
func TestDisabled(t *testing.T) {
	b := newBench(t, api, "disabled")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	b.edit(cluster.Workflow, w, `{"spec":{"disabled":true}}`)
	b.says(d.ID, registry.DeploymentWaiting, "somebody disabled the Workflow")
	b.edit(cluster.Workflow, w, `{"spec":{"disabled":false}}`)
	b.succeed(d, w)
}

// A Workflow that nobody had removed is gone before the next one is there, and one that
// others made stays.
func TestStaleWorkflow(t *testing.T) {
	b := newBench(t, api, "stale")
	m := b.machine(1)
	for name, managed := range map[string]bool{"d-old-1": true, "foreign": false} {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"templateRef": "t", "hardwareRef": m.ID}}}
		u.SetGroupVersionKind(objects.Version.WithKind("Workflow"))
		u.SetName(name)
		if u.SetLabels(map[string]string{objects.LabelMachine: m.ID}); managed {
			u.SetLabels(map[string]string{objects.ManagedBy: objects.Manager, objects.LabelMachine: m.ID})
		}
		if _, err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b.controller(name, actions("SUCCESS", "SUCCESS", "SUCCESS"))
	}
	b.stop() // what is there now is there when it begins
	b.begin()
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	if b.object(cluster.Workflow, "d-old-1") != nil || b.object(cluster.Workflow, "foreign") == nil {
		t.Error("the old Workflow is there, or that of others is not")
	}
	b.succeed(d, w)
}

// Tinkerbell's controller was away in the middle, and begins with what it knew before.
func TestControllerRestart(t *testing.T) {
	b := newBench(t, api, "restart")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	b.controller(w, actions("RUNNING", "SUCCESS", "RUNNING"))
	b.eventually("the first action is done", func() (string, bool) {
		d, _ = b.registry.Deployment(t.Context(), d.ID)
		return fmt.Sprint(d.Action), d.Action == 1
	})
	b.controller(w, actions("RUNNING", "RUNNING", "PENDING")) // an older state
	b.controller(w, actions("RUNNING", "SUCCESS", "RUNNING"))
	b.succeed(d, w)
	if d, _ = b.registry.Deployment(t.Context(), d.ID); d.Attempt != 1 {
		t.Errorf("%+v", d)
	}
}

// The API server closes watches whenever it likes, and what is said in one may be
// nonsense.
func TestWatchClosed(t *testing.T) {
	way := newBetween(t)
	b := newBench(t, way.config, "watch-closed")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	watched := func() {
		t.Helper()
		b.eventually("everything is watched", func() (string, bool) { return fmt.Sprint(way.open()), way.open() == watches })
	}
	watched()
	way.closeWatches()
	b.controller(w, actions("RUNNING", "RUNNING", "PENDING"))
	b.comesTo(d.ID, registry.DeploymentRunning)
	watched()
	way.say("<html>\n{]")
	b.controller(w, actions("RUNNING", "SUCCESS", "RUNNING")) // is what the nonsense replaces
	b.eventually("it is seen", func() (string, bool) {
		d, _ = b.registry.Deployment(t.Context(), d.ID)
		return fmt.Sprint(d.Action), d.Action == 1
	})
	watched()
	way.closeWatches()
	b.succeed(d, w)
}

// The API server that answers after an outage remembers nothing of what happened in it,
// nor does etcd: everything is listed anew, and nothing lost.
func TestTooOld(t *testing.T) {
	way := newBetween(t)
	b := newBench(t, way.config, "too-old")
	const count = 6
	var all []registry.Deployment
	var names []string
	for n := range count {
		all = append(all, b.deploy(b.machine(n).ID))
	}
	for _, d := range all {
		names = append(names, b.workflowOf(d))
		b.says(d.ID, registry.DeploymentWaiting, "take up")
	}
	b.eventually("everything is watched", func() (string, bool) { return fmt.Sprint(way.open()), way.open() == watches })
	way.answer(away)
	way.closeWatches()

	for _, name := range names[1:] {
		b.controller(name, actions("RUNNING", "RUNNING", "PENDING"))
		b.controller(name, actions("RUNNING", "SUCCESS", "RUNNING"))
	}
	b.controller(names[2], actions("SUCCESS", "SUCCESS", "SUCCESS"))
	b.controller(names[3], actions("FAILED", "SUCCESS", "FAILED"))
	if err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).Delete(t.Context(), names[0], metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := server.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, stop, err := server.Another()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stop(); way.closeWatches(); stop() })
	way.leadTo(t, other)
	way.pass()

	for n, state := range []registry.DeploymentState{registry.DeploymentFailed, registry.DeploymentRunning, registry.DeploymentVerifying, registry.DeploymentFailed,
		registry.DeploymentRunning, registry.DeploymentRunning} {
		b.comesTo(all[n].ID, state)
	}
	if way.tooOld.Load() == 0 {
		t.Error("no watch was too old: this test shows nothing")
	}
	b.succeed(all[5], names[5])
}

// away is what an API server says that cannot bear any more. Its client goes on with the
// same watch later.
func away(w http.ResponseWriter, _ *http.Request) bool {
	http.Error(w, "too many requests", http.StatusTooManyRequests)
	return true
}

// A Hardware that somebody edited is put right with the next deployment, but for what is
// not ours in it.
func TestHardwareEdited(t *testing.T) {
	b := newBench(t, api, "hardware-edited")
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	b.edit(cluster.Hardware, m.ID, `{"metadata":{"labels":{"theirs":"yes"}},"spec":{"agentID":"somebody","userData":"theirs","disks":[{"device":"/dev/x"}]}}`)
	b.hardware("another", nil)
	b.knows(1) // and the edit
	b.succeed(d, w)
	if _, err := b.registry.Cancel(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	b.workflowOf(b.deploy(m.ID))
	u := b.object(cluster.Hardware, m.ID)
	agent, _, _ := unstructured.NestedString(u.Object, "spec", "agentID")
	data, _, _ := unstructured.NestedString(u.Object, "spec", "userData")
	disks, _, _ := unstructured.NestedSlice(u.Object, "spec", "disks")
	if agent != m.BootMAC().String() || data != "theirs" || fmt.Sprint(disks) != "[map[device:/dev/sda]]" || u.GetLabels()["theirs"] != "yes" {
		t.Error(u.Object)
	}
}

// A Workflow that would do something else than what the operator asked for is not
// carried out.
func TestWorkflowEdited(t *testing.T) {
	b := newBench(t, api, "workflow-edited")
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	b.edit(cluster.Workflow, w, `{"spec":{"templateRef":"theirs"}}`)
	b.says(d.ID, registry.DeploymentFailed, "somebody changed the Workflow in Kubernetes: its Template is now theirs")
	b.vanishes(cluster.Workflow, w)
	b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
}

// A Template that somebody edited before the controller read it is told by what the
// Workflow then does.
func TestTemplateEdited(t *testing.T) {
	b := newBench(t, api, "template-edited")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	b.edit(cluster.Template, d.ID, `{"spec":{"data":"theirs"}}`)
	b.controller(w, strings.ReplaceAll(actions("RUNNING", "RUNNING", "PENDING"), `"write"`, `"erase"`))
	b.says(d.ID, registry.DeploymentFailed, `action 1 of the Workflow is "erase", and that of the deployment "write"`)
}

// A kind, or the version of it that is needed, is taken away and comes back.
func TestKindsTakenAway(t *testing.T) {
	b := newBench(t, api, "kinds")
	first := b.deploy(b.machine(1).ID)
	w := b.workflowOf(first)
	b.controller(w, actions("RUNNING", "RUNNING", "PENDING"))
	b.comesTo(first.ID, registry.DeploymentRunning)

	serve := func(on bool) {
		t.Helper()
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/versions/0/served","value":%t}]`, on)
		if _, err := b.client.Resource(kinds).Patch(t.Context(), "workflows.tinkerbell.org", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	gone := func() {
		t.Helper()
		b.eventually("it is not served", func() (string, bool) {
			_, err := b.client.Resource(cluster.Workflow).Namespace("default").List(t.Context(), metav1.ListOptions{})
			return fmt.Sprint(err), err != nil
		})
	}
	serve(false)
	gone()
	second := b.deploy(b.machine(2).ID)
	b.says(second.ID, registry.DeploymentWaiting, "Tinkerbell's CRDs are not")
	serve(true)
	b.workflowOf(second)
	b.controller(w, actions("SUCCESS", "SUCCESS", "SUCCESS"))
	b.comesTo(first.ID, registry.DeploymentVerifying)

	// With the kind its objects go, for good.
	if err := b.client.Resource(kinds).Delete(t.Context(), "workflows.tinkerbell.org", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone()
	third := b.deploy(b.machine(3).ID)
	b.says(third.ID, registry.DeploymentWaiting, "Tinkerbell's CRDs are not")
	b.eventually("it may be made again", func() (string, bool) {
		err := define(t.Context(), b.client, crd.TinkerbellDefaults["workflows.tinkerbell.org"])
		return fmt.Sprint(err), err == nil
	})
	b.succeed(third, b.workflowOf(third))
	// While the kind is away nobody can tell what became of its objects.
	b.says(second.ID, registry.DeploymentFailed, "deleted in Kubernetes, and not by Dragonfly")
}

// Permissions are taken away, and given back.
func TestForbidden(t *testing.T) {
	b := newBench(t, api, "forbidden")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	deny := func(verbs ...string) {
		set := fmt.Sprint(verbs)
		f := func(a authorizer.Attributes) bool {
			return a.GetNamespace() == b.namespace && strings.Contains(set, a.GetVerb())
		}
		server.Deny.Store(&f)
	}
	t.Cleanup(func() { server.Deny.Store(nil) })
	deny("create", "patch", "delete")
	second := b.deploy(b.machine(2).ID)
	b.says(second.ID, registry.DeploymentWaiting, "we may not: ")
	b.says(second.ID, registry.DeploymentWaiting, "`dragonfly tinkerbell rbac` prints the role that is needed")
	server.Deny.Store(nil)
	b.workflowOf(second)

	deny("create", "patch", "delete", "list", "watch")
	b.stop()
	b.begin() // without being allowed anything
	third := b.deploy(b.machine(3).ID)
	b.says(third.ID, registry.DeploymentWaiting, "waiting for Tinkerbell: ")
	server.Deny.Store(nil)
	b.workflowOf(third)
	b.succeed(d, w)
}

// Of a deployment whose Workflow could never be made nothing is left behind: its Template
// has secrets, and its Hardware lets the machine boot from the network.
func TestNoWorkflow(t *testing.T) {
	for name, end := range map[string]func(b *bench, machine string) error{
		"another takes its place": func(b *bench, machine string) error {
			_, err := b.registry.Deploy(b.Context(), machine, registry.DeployRequest{OS: "linux", Confirm: "S1", Engine: registry.EngineBuiltin}, registry.Batch{})
			return err
		},
		"the machine is deleted": func(b *bench, machine string) error {
			return b.registry.Delete(b.Context(), machine, registry.AnyVersion)
		},
	} {
		t.Run(name, func(t *testing.T) {
			way := newBetween(t)
			way.answer(func(w http.ResponseWriter, r *http.Request) bool {
				return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/workflows/") && away(w, r)
			})
			b := newBench(t, way.config, fmt.Sprint("noworkflow-", len(name)))
			m := b.machine(1)
			d := b.deploy(m.ID)
			b.appears(cluster.Template, d.ID)
			b.stop()
			if _, err := b.registry.Cancel(t.Context(), d.ID); err != nil {
				t.Fatal(err)
			}
			if err := end(b, m.ID); err != nil {
				t.Fatal(err)
			}
			way.pass()
			b.begin()
			b.vanishes(cluster.Template, d.ID)
			b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
		})
	}
	t.Run("it is refused", func(t *testing.T) {
		way := newBetween(t)
		way.answer(func(w http.ResponseWriter, r *http.Request) bool {
			refused := r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/workflows/")
			if refused {
				http.Error(w, "no such Workflow here", http.StatusUnprocessableEntity)
			}
			return refused
		})
		b := newBench(t, way.config, "refused")
		m := b.machine(1)
		d := b.comesTo(b.deploy(m.ID).ID, registry.DeploymentFailed)
		b.vanishes(cluster.Template, d.ID)
		b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
	})
}
