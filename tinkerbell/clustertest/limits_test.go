package clustertest

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

// A template that Tinkerbell would not take ends the deployment with how much it has;
// the largest that it takes is taken, also where it has to be written longer than it is.
func TestSizes(t *testing.T) {
	b := newBench(t, api, "sizes")
	b.data.Store(new(strings.Repeat("x", 256<<10)))
	b.says(b.deploy(b.machine(1).ID).ID, registry.DeploymentFailed, "bytes, and Tinkerbell takes 262144 at most")
	b.data.Store(new(strings.Repeat("{{ ", (256<<10-1000)/3)))
	b.appears(cluster.Template, objects.Order{Deployment: b.deploy(b.machine(2).ID)}.TemplateName())
}

// A name of others is taken as long as Kubernetes takes it, and nothing of ours becomes
// too long by that of a machine.
func TestNames(t *testing.T) {
	b := newBench(t, api, "names")
	m := b.machine(1)
	name := strings.Repeat(strings.Repeat("x", 62)+".", 4)[:251] + "yz"
	hardware := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"interfaces": []any{
		map[string]any{"dhcp": map[string]any{"mac": m.BootMAC().String()}}}}}}
	hardware.SetGroupVersionKind(objects.Version.WithKind("Hardware"))
	hardware.SetName(name)
	if _, err := b.client.Resource(cluster.Hardware).Namespace(b.namespace).Create(t.Context(), hardware, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.knows(1)
	w := b.appears(cluster.Workflow, b.workflowOf(b.deploy(m.ID)))
	if ref, _, _ := unstructured.NestedString(w.Object, "spec", "hardwareRef"); ref != name {
		t.Error(ref)
	}
	long := b.machine(2)
	renamed, err := b.registry.Edit(t.Context(), long.ID, long.Version, registry.Patch{Name: new(strings.Repeat("n", 63))})
	if err != nil {
		t.Fatal(err)
	}
	b.workflowOf(b.deploy(renamed.ID))
}

// A cluster that answers with garbage is one that is waited for.
func TestGarbage(t *testing.T) {
	way := newBetween(t)
	b := newBench(t, way.config, "garbage")
	b.workflowOf(b.deploy(b.machine(0).ID)) // it is watched by now
	for n, garbage := range []struct {
		status           int
		kind, text, says string
	}{
		{200, "text/html", "<html>Welcome to our hotel</html>", "is no Kubernetes API"},
		{200, "application/json", `{"kind":"Banana","apiVersion":"fruit/v1","metadata":{"name":"b"}}`, "is that a Kubernetes API?"},
		{200, "application/json", `{"kind":"Workfl`, "is no Kubernetes API"},
		{200, "application/json", `[]`, "is no Kubernetes API"},
		{200, "application/octet-stream", "\x00\xff\x00", "is no Kubernetes API"},
		{200, "application/json", `{"kind":"Status","status":"Success"}`, "is that a Kubernetes API?"},
		{500, "text/plain", "panic: runtime error", "an error on the server"},
		{404, "text/html", "<html>not here</html>", "CRDs are not there"},
		{302, "text/html", "see there", "status code 302"},
	} {
		way.answer(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", garbage.kind)
			w.WriteHeader(garbage.status)
			_, _ = w.Write([]byte(garbage.text))
			return true
		})
		d := b.deploy(b.machine(n + 1).ID)
		b.says(d.ID, registry.DeploymentWaiting, garbage.says)
		way.pass()
		b.workflowOf(d)
	}
}

// A cluster that is slow is waited for, and one that does not answer at all said to be.
func TestSlow(t *testing.T) {
	way := newBetween(t)
	b := newBench(t, way.config, "slow")
	way.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		time.Sleep(300 * time.Millisecond)
		return false
	})
	first := b.deploy(b.machine(1).ID)
	w := b.workflowOf(first)
	way.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if !isWatch(r) {
			_, _ = io.Copy(io.Discard, r.Body) // or nobody notices that the client is gone
			<-r.Context().Done()
		}
		return !isWatch(r)
	})
	second := b.deploy(b.machine(2).ID)
	b.says(second.ID, registry.DeploymentWaiting, "waiting for Tinkerbell: no answer in time")
	way.pass()
	b.workflowOf(second)
	b.succeed(first, w)
}

// The API server takes every golden object as it stands, and knows each field of it.
func TestGoldens(t *testing.T) {
	b := newBench(t, api, "goldens")
	files, err := fs.Glob(os.DirFS("../objects/testdata"), "*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	resources := map[string]schema.GroupVersionResource{"Hardware": cluster.Hardware, "Template": cluster.Template, "Workflow": cluster.Workflow}
	for _, file := range files {
		text, err := os.ReadFile("../objects/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for n, part := range strings.Split(string(text), "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(part), &object.Object); err != nil {
				t.Fatal(file, n, err)
			}
			kind, known := resources[object.GetKind()]
			if !known {
				t.Fatalf("%s: document %d is a %q", file, n, object.GetKind())
			}
			body, _ := json.Marshal(object.Object)
			_, err := b.client.Resource(kind).Namespace(object.GetNamespace()).Patch(t.Context(), object.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
				FieldManager: objects.Manager, FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}, Force: new(true)})
			if err != nil {
				t.Errorf("%s: %s %s: %v", file, object.GetKind(), object.GetName(), err)
			}
		}
	}
}
