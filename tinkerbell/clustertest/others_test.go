package clustertest

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

// create makes an object that is not ours.
func (b *bench) create(kind schema.GroupVersionResource, object map[string]any) *unstructured.Unstructured {
	b.Helper()
	made, err := b.client.Resource(kind).Namespace(b.namespace).Create(b.Context(), &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return made
}

// knows waits until the provisioner has been told of so many Hardware objects of others,
// and so of whatever happened to any Hardware before the last of them.
func (b *bench) knows(count int) {
	b.Helper()
	b.eventually("the Hardware of others is known", func() (string, bool) {
		all, err := b.hands.Foreign()
		return fmt.Sprint(len(all), err), err == nil && len(all) == count
	})
}

// What Tinkerbell found by itself becomes a machine, is not made twice, stays as it is
// in Kubernetes, and is what the machine is deployed by.
func TestAdopt(t *testing.T) {
	b := newBench(t, api, "adopt")
	known := b.machine(9)
	b.workflowOf(b.deploy(known.ID)) // its Hardware is ours
	made := b.create(cluster.Hardware, map[string]any{"apiVersion": objects.Version.String(), "kind": "Hardware",
		"metadata": map[string]any{"name": "discovery-52-54-00-bb-00-09", "labels": map[string]any{"tinkerbell.org/auto-discovered": "true"},
			"annotations": map[string]any{"tinkerbell.org/agent-attributes": `{"product":{"name":"R740","vendor":"Dell Inc.","serialNumber":"SN-7"}}`}},
		"spec": map[string]any{"agentID": "52:54:00:bb:00:09", "interfaces": []any{map[string]any{"dhcp": map[string]any{"mac": "52:54:00:bb:00:09"}}}}})
	var found []cluster.Found
	b.eventually("it is found", func() (string, bool) {
		var err error
		found, err = b.hands.Foreign()
		return "", err == nil && len(found) > 0
	})
	if len(found) != 1 || !found[0].Auto || found[0].Hardware != made.GetName() {
		t.Fatalf("%+v", found)
	}
	for _, want := range []registry.ImportAction{registry.ImportCreate, registry.ImportSame} {
		steps, err := b.registry.Import(t.Context(), []registry.ImportItem{{Listed: found[0].Machine}})
		if err != nil || len(steps) != 1 || steps[0].Err != nil || steps[0].Action != want {
			t.Fatalf("%+v, %v; want %s", steps, err, want)
		}
	}
	mac := found[0].Machine.MACs[0]
	m, _, err := b.registry.Register(t.Context(), registry.Registration{MAC: mac, MACs: []registry.MAC{mac}, Hardware: registry.Hardware{CPU: registry.CPU{Arch: "amd64"},
		System: registry.System{Serial: "SN-7", Vendor: "Dell Inc."}, Disks: []registry.Disk{{Name: "sda", Serial: "S1", Model: "ACME", Bytes: 8e9, Contents: registry.Blank}}}})
	if err != nil {
		t.Fatal(err)
	}
	w := b.object(cluster.Workflow, b.workflowOf(b.deploy(m.ID)))
	ref, _, _ := unstructured.NestedString(w.Object, "spec", "hardwareRef")
	if now := b.object(cluster.Hardware, made.GetName()); ref != made.GetName() || now.GetResourceVersion() != made.GetResourceVersion() {
		t.Error(ref, now)
	}
}

// The BMC that a machine's label names starts it, where there is one of that name.
func TestBMC(t *testing.T) {
	b := newBench(t, api, "bmc")
	label := func(n int, name string) registry.Machine {
		t.Helper()
		m := b.machine(n)
		m, err := b.registry.Edit(t.Context(), m.ID, m.Version, registry.Patch{Labels: map[string]*string{objects.MachineBMC: &name}})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := label(1, "bmc-7")
	b.says(b.deploy(m.ID).ID, registry.DeploymentFailed, "there is no machines.bmc.tinkerbell.org of that name in the namespace bmc")
	b.create(cluster.BMC, map[string]any{"apiVersion": "bmc.tinkerbell.org/v1alpha1", "kind": "Machine", "metadata": map[string]any{"name": "bmc-7"},
		"spec": map[string]any{"connection": map[string]any{"host": "10.0.0.99", "insecureTLS": true}}})
	w := b.object(cluster.Workflow, b.workflowOf(b.deploy(m.ID)))
	mode, _, _ := unstructured.NestedString(w.Object, "spec", "bootOptions", "bootMode")
	ref, _, _ := unstructured.NestedString(b.object(cluster.Hardware, m.ID).Object, "spec", "bmcRef", "name")
	if mode != "netboot" || ref != "bmc-7" {
		t.Error(mode, ref)
	}
	b.controller(w.GetName(), `{"state":"PREPARING","templateRendering":"successful"}`)
	b.says(b.object(cluster.Workflow, w.GetName()).GetLabels()[objects.LabelDeployment], registry.DeploymentWaiting, "Tinkerbell has the BMC start the machine")
	b.says(b.deploy(label(2, "not/a name").ID).ID, registry.DeploymentFailed, "is not the name of an object in Kubernetes")

	theirs := label(3, "bmc-7")
	b.create(cluster.Hardware, map[string]any{"apiVersion": objects.Version.String(), "kind": "Hardware", "metadata": map[string]any{"name": "theirs"},
		"spec": map[string]any{"interfaces": []any{map[string]any{"dhcp": map[string]any{"mac": theirs.BootMAC().String()}}}}})
	b.knows(1)
	b.says(b.deploy(theirs.ID).ID, registry.DeploymentFailed, "set its bmcRef")
}

// A Template that others made is listed, and is what an operating system is installed by;
// ours are not.
func TestTemplates(t *testing.T) {
	b := newBench(t, api, "templates")
	b.tools.ClusterTemplate = func(name string) (string, error) { return b.hands.Template(name) }
	b.registry.Equip(b.tools)
	b.workflowOf(b.deploy(b.machine(1).ID)) // it has a Template of ours
	theirs := b.create(cluster.Template, map[string]any{"apiVersion": objects.Version.String(), "kind": "Template",
		"metadata": map[string]any{"name": "ubuntu"}, "spec": map[string]any{"data": "version: \"0.1\"\nname: theirs\n"}})
	var all []cluster.ForeignTemplate
	b.eventually("it is listed", func() (string, bool) {
		var err error
		all, err = b.hands.Templates()
		return fmt.Sprint(all, err), err == nil && len(all) > 0
	})
	if len(all) != 1 || all[0].Name != "ubuntu" || !strings.Contains(all[0].Text, "name: theirs") {
		t.Fatalf("%+v", all)
	}
	if _, err := b.hands.Template("ubunt"); err == nil || !strings.Contains(err.Error(), `there is no Template "ubunt" in the namespace templates of Tinkerbell's cluster; did you mean tinkerbell:ubuntu?`) {
		t.Error(err)
	}
	_, err := b.registry.PutOS(t.Context(), registry.AnyVersion, registry.OS{ID: "theirs", Name: "Theirs", Template: "tinkerbell:ubuntu", FirstBoot: registry.FirstBootNone})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := b.registry.Deploy(t.Context(), b.machine(2).ID, registry.DeployRequest{OS: "theirs", Confirm: "S1"}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	made := b.appears(cluster.Template, objects.Order{Deployment: plan.Deployment}.TemplateName())
	if data, _, _ := unstructured.NestedString(made.Object, "spec", "data"); !strings.Contains(data, "# version: \"0.1\"\n# name: theirs") {
		t.Error(data)
	}
	if now := b.object(cluster.Template, "ubuntu"); now.GetResourceVersion() != theirs.GetResourceVersion() {
		t.Error(now)
	}
}
