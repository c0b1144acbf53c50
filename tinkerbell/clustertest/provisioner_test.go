package clustertest

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

func TestHealth(t *testing.T) {
	c, err := cluster.Dial(api, "health")
	if err != nil {
		t.Fatal(err)
	}
	// This server has no authorization API; the rest is as in a whole Kubernetes.
	if h := c.Check(t.Context()); !h.Good() || !h.BMC || len(h.Versions) != 1 || h.Versions[0] != "v1alpha1" || !strings.Contains(h.Note, "could not be asked") {
		t.Errorf("%+v", h)
	}
}

// The life of a Workflow that succeeds, as it was observed. The provisioner is another
// one in the middle of it.
func TestSuccess(t *testing.T) {
	b := newBench(t, api, "success")
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	if !b.mayPXE(m.ID) {
		t.Error("the machine may not boot from the network")
	}
	template := b.appears(cluster.Template, d.ID)
	if data, _, _ := unstructured.NestedString(template.Object, "spec", "data"); !strings.Contains(data, `{{"{{"}} secret }}`) {
		t.Errorf("a second rendering would change it:\n%s", data)
	}
	b.controller(w, actions("PENDING", "PENDING", "PENDING"))
	b.controller(w, actions("RUNNING", "RUNNING", "PENDING"))
	if d = b.comesTo(d.ID, registry.DeploymentRunning); d.BootID != string(b.object(cluster.Workflow, w).GetUID()) {
		t.Errorf("%+v", d)
	}
	b.stop()
	b.controller(w, actions("RUNNING", "SUCCESS", "PENDING"))
	b.controller(w, actions("POST", "SUCCESS", "SUCCESS"))
	b.begin()
	d = b.comesTo(d.ID, registry.DeploymentVerifying)
	b.controller(w, actions("SUCCESS", "SUCCESS", "SUCCESS"))
	if !d.Wrote || d.Attempt != 1 || d.Actions[1].State != registry.ActionSucceeded {
		t.Errorf("%+v", d)
	}

	// The next one of the machine is not kept waiting by what is left of this one.
	if _, err := b.registry.Cancel(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	b.vanishes(cluster.Template, d.ID)
	if b.object(cluster.Workflow, w) == nil {
		t.Error("what happened is not there to be looked at")
	}
	next := b.workflowOf(b.deploy(m.ID))
	if b.object(cluster.Workflow, w) != nil || next == w {
		t.Error("the finished Workflow is still there")
	}
}

// The lives that end otherwise: what the operator is told, and that the machine may not
// boot from the network any more.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		status string
		state  registry.DeploymentState
		want   string
	}{
		"an action fails":       {actions("FAILED", "FAILED", "PENDING"), registry.DeploymentFailed, `action "write" failed`},
		"an action takes long":  {actions("TIMEOUT", "TIMEOUT", "PENDING"), registry.DeploymentFailed, `action "write" failed`},
		"a BMC that is not set": {`{"state":"FAILED","conditions":[{"type":"BootJobSetupFailed","status":"True","message":"hardware x does not have a BMC"}]}`, registry.DeploymentFailed, "does not have a BMC"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, api, "failures")
			m := b.machine(len(name))
			d := b.deploy(m.ID)
			b.controller(b.workflowOf(d), c.status)
			if d = b.comesTo(d.ID, c.state); !strings.Contains(d.Reason, c.want) {
				t.Error(d.Reason)
			}
			b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
			b.vanishes(cluster.Template, d.ID)
		})
	}
}

// What is waited for is said, and is no failure yet.
func TestWaiting(t *testing.T) {
	b := newBench(t, api, "waiting")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	b.controller(w, `{"templateRendering":"failed","conditions":[{"type":"TemplateRenderedSuccess","status":"False","message":"map has no entry for key \"x\""}]}`)
	b.says(d.ID, registry.DeploymentWaiting, "map has no entry for key")
	b.controller(w, `{"state":"PENDING","templateRendering":"successful","conditions":null}`)
	b.says(d.ID, registry.DeploymentWaiting, "waits for the machine to boot")
}

func TestCancel(t *testing.T) {
	b := newBench(t, api, "cancel")
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	if _, err := b.registry.Cancel(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	b.vanishes(cluster.Workflow, w)
	b.vanishes(cluster.Template, d.ID)
	b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
}

// A Workflow that somebody deleted is not made again.
func TestDeletedByHand(t *testing.T) {
	b := newBench(t, api, "deleted")
	d := b.deploy(b.machine(1).ID)
	w := b.workflowOf(d)
	b.eventually("it is seen", func() (string, bool) { d, _ = b.registry.Deployment(t.Context(), d.ID); return "", d.Reason != "" })
	if err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).Delete(t.Context(), w, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if d = b.comesTo(d.ID, registry.DeploymentFailed); !strings.Contains(d.Reason, "deleted in Kubernetes, and not by Dragonfly") {
		t.Error(d.Reason)
	}
}

// A Hardware that others made is used, and left as it is.
func TestForeignHardware(t *testing.T) {
	b := newBench(t, api, "foreign")
	m := b.machine(7)
	hardware := &unstructured.Unstructured{Object: map[string]any{"apiVersion": objects.Version.String(), "kind": "Hardware",
		"metadata": map[string]any{"name": "rack1-7"}, "spec": map[string]any{"interfaces": []any{map[string]any{
			"dhcp": map[string]any{"mac": m.BootMAC().String()}, "netboot": map[string]any{"allowPXE": false}}}}}}
	made, err := b.client.Resource(cluster.Hardware).Namespace(b.namespace).Create(t.Context(), hardware, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.knows(1)
	w := b.appears(cluster.Workflow, b.workflowOf(b.deploy(m.ID)))
	ref, _, _ := unstructured.NestedString(w.Object, "spec", "hardwareRef")
	if now := b.object(cluster.Hardware, "rack1-7"); ref != "rack1-7" || now.GetResourceVersion() != made.GetResourceVersion() || b.object(cluster.Hardware, m.ID) != nil {
		t.Error(ref, now)
	}
}

// While Kubernetes is away a deployment is accepted and says so; when it is back it is
// handed over, once.
func TestAway(t *testing.T) {
	wire := newWire(t)
	config := rest.CopyConfig(api)
	config.Host = "https://" + wire.address
	wire.cut()
	b := newBench(t, config, "away")
	d := b.deploy(b.machine(1).ID)
	b.eventually("the deployment says why", func() (string, bool) {
		d, _ = b.registry.Deployment(t.Context(), d.ID)
		return d.Reason, d.Reason == "waiting for Tinkerbell: connection refused, retrying"
	})
	wire.mend()
	w := b.workflowOf(d)
	wire.cut()
	b.controller(w, actions("RUNNING", "SUCCESS", "RUNNING")) // nobody sees it
	wire.mend()
	d = b.comesTo(d.ID, registry.DeploymentRunning)
	b.controller(w, actions("SUCCESS", "SUCCESS", "SUCCESS"))
	b.comesTo(d.ID, registry.DeploymentVerifying)
	list, err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).List(t.Context(), metav1.ListOptions{})
	// None is counted where the answer to the last object was lost.
	if err != nil || len(list.Items) != 1 || b.hands.Stats.HandedOver.Load() > 1 {
		t.Error(err, len(list.Items), b.hands.Stats.HandedOver.Load())
	}
}

// A deployment that was cancelled while Kubernetes was away, and whose machine has another
// one since, is not carried out when Kubernetes is back.
func TestReplacedWhileAway(t *testing.T) {
	for _, engine := range []registry.Engine{registry.EngineBuiltin, registry.EngineTinkerbell} {
		t.Run(string(engine), func(t *testing.T) {
			wire := newWire(t)
			config := rest.CopyConfig(api)
			config.Host = "https://" + wire.address
			wire.cut()
			wire.mend()
			b := newBench(t, config, "replaced-"+string(engine))
			m := b.machine(1)
			first := b.deploy(m.ID)
			w := b.workflowOf(first)
			b.says(first.ID, registry.DeploymentWaiting, "take up")
			wire.cut()
			if _, err := b.registry.Cancel(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			plan, err := b.registry.Deploy(t.Context(), m.ID, registry.DeployRequest{OS: "linux", Confirm: "S1", Engine: engine}, registry.Batch{})
			if err != nil {
				t.Fatal(err)
			}
			wire.mend()
			b.vanishes(cluster.Workflow, w)
			b.vanishes(cluster.Template, first.ID)
			if engine == registry.EngineTinkerbell {
				b.succeed(plan.Deployment, b.workflowOf(plan.Deployment))
				return
			}
			b.eventually("allowPXE is off", func() (string, bool) { return "on", !b.mayPXE(m.ID) })
		})
	}
}

// wire leads to the API server, and can be cut.
type wire struct {
	*testing.T
	address  string
	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
}

func newWire(t *testing.T) *wire {
	l, err := net.Listen("tcp", "127.0.0.2:0") // of which no connection and no other server takes a port while it is cut
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{T: t, address: l.Addr().String(), listener: l, open: map[net.Conn]bool{}}
	t.Cleanup(w.cut)
	return w
}

// cut breaks every connection, and lets none come.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener.Close()
	for c := range w.open {
		c.Close()
	}
	clear(w.open)
}

// mend lets connections come again.
func (w *wire) mend() {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", w.address)
	if err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", strings.TrimPrefix(api.Host, "https://"))
			if err != nil {
				from.Close()
				continue
			}
			w.mu.Lock()
			w.open[from], w.open[to] = true, true
			w.mu.Unlock()
			pipe := func(a, b net.Conn) { _, _ = io.Copy(a, b); a.Close(); b.Close() }
			go pipe(from, to)
			go pipe(to, from)
		}
	}()
}
