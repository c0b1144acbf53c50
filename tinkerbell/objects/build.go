package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// Version is the group and version of the objects.
var Version = schema.GroupVersion{Group: "tinkerbell.org", Version: "v1alpha1"}

// The labels and annotations by which our objects are found and understood.
const (
	ManagedBy       = "app.kubernetes.io/managed-by" // label; [Manager]
	LabelMachine    = "dragonfly/machine"            // ID
	LabelDeployment = "dragonfly/deployment"         // ID
	LabelAttempt    = "dragonfly/attempt"            // from 1

	AnnotationMachine = "dragonfly/machine-name"
	AnnotationOS      = "dragonfly/os"
	AnnotationBy      = "dragonfly/deployed-by"

	// MachineBMC is the label of a machine here that names the Machine of Rufio
	// (bmc.tinkerbell.org) that has its BMC.
	MachineBMC = "tinkerbell.bmc"

	// Manager is who manages our objects, and which fields of them.
	Manager = "dragonfly"
)

// Order is what is handed to Tinkerbell.
type Order struct {
	Machine    registry.Machine
	OS         registry.OS // zero for a wipe
	Deployment registry.Deployment
	Recipe     registry.Recipe
	Namespace  string
	Attempt    int            // from 1; each has a Workflow of its own, as none can be started again
	Networks   []netip.Prefix // that this server is on, for the netmask of the machine's address
	Hardware   string         // name of a Hardware that others made of this machine, which is used as it is; empty: it has one of ours
	BMC        string         // name of a bmc.tinkerbell.org Machine that Tinkerbell powers the machine on with; empty: it does not
}

// Objects are what Tinkerbell carries a deployment out by, to be applied in this order.
type Objects struct {
	Hardware *unstructured.Unstructured // nil where others made it; without allowPXE, see [AllowPXE]
	Template *unstructured.Unstructured
	Workflow *unstructured.Unstructured
}

// Build makes the objects of an order. Its error says in words everything that
// Tinkerbell would refuse, or accept and then never carry out.
func Build(o Order) (Objects, error) {
	text, wrong := o.template()
	wrong = append(o.wrong(), wrong...)
	if len(wrong) > 0 {
		return Objects{}, fmt.Errorf("hand %s to Tinkerbell: %w", o.Machine.Name, errors.New(strings.Join(wrong, "; ")))
	}
	made := Objects{
		Template: o.object("Template", o.TemplateName(), map[string]any{"data": text}),
		Workflow: o.object("Workflow", o.WorkflowName(), o.workflow()),
	}
	if o.Hardware == "" {
		made.Hardware = o.object("Hardware", o.HardwareName(), o.hardware())
	}
	return made, nil
}

// wrong is what is wrong with the order but for its template.
func (o Order) wrong() (wrong []string) {
	m := o.Machine
	if why := badLabel(o.Namespace); why != "" {
		wrong = append(wrong, fmt.Sprintf("namespace %.80q: %s", o.Namespace, why))
	}
	if m.ID == "" || o.Deployment.ID == "" || o.Attempt < 1 {
		wrong = append(wrong, "the machine, the deployment or the number of the attempt is missing")
	}
	if m.BootMAC() == (registry.MAC{}) {
		wrong = append(wrong, "the machine has no hardware address that Tinkerbell could know it by; boot it from the network once")
	}
	if _, known := tinkerbell.Arches[m.Hardware.CPU.Arch]; !known {
		wrong = append(wrong, fmt.Sprintf("the machine's architecture is %q and has to be amd64 or arm64; let it boot the agent once, which finds out", m.Hardware.CPU.Arch))
	}
	for what, name := range map[string]string{"Hardware": o.Hardware, "BMC": o.BMC} {
		if name != "" && len(validation.IsDNS1123Subdomain(name)) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s %.80q is not the name of an object in Kubernetes", what, name))
		}
	}
	return wrong
}

// HardwareName is the name of the machine's Hardware.
func (o Order) HardwareName() string {
	if o.Hardware != "" {
		return o.Hardware
	}
	return Name(o.Machine.ID)
}

// TemplateName is the name of the Template, of which each deployment has one.
func (o Order) TemplateName() string { return Name(o.Deployment.ID) }

// WorkflowName is the name of the attempt's Workflow.
func (o Order) WorkflowName() string { return Name(o.Deployment.ID, strconv.Itoa(o.Attempt)) }

// workflow is the spec of the Workflow. What the recipe was rendered with is not in its
// hardwareMap, as that has secrets, and the Template has no gap to fill any more; what
// is known of the machine is, for whoever looks at it.
func (o Order) workflow() map[string]any {
	facts := map[string]any{}
	for name, value := range tinkerbell.Parameters(o.Machine) {
		facts[name] = value
	}
	for _, name := range []string{"disk", "hostname"} {
		if value := o.Recipe.Parameters[name]; value != "" {
			facts[name] = value
		}
	}
	boot := map[string]any{"toggleAllowNetboot": true}
	if o.BMC != "" {
		boot["bootMode"] = "netboot"
	}
	return map[string]any{"templateRef": o.TemplateName(), "hardwareRef": o.HardwareName(), "hardwareMap": facts, "bootOptions": boot}
}

// object is one of ours.
func (o Order) object(kind, name string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(Version.WithKind(kind))
	u.SetNamespace(o.Namespace)
	u.SetName(name)
	labels := map[string]string{ManagedBy: Manager, LabelMachine: Label(o.Machine.ID)}
	notes := map[string]string{AnnotationMachine: o.Machine.Name}
	if kind != "Hardware" {
		labels[LabelDeployment] = Label(o.Deployment.ID)
		if o.Deployment.OS != "" {
			notes[AnnotationOS] = o.Deployment.OS
		}
		if o.Deployment.By != "" {
			notes[AnnotationBy] = o.Deployment.By
		}
	}
	if kind == "Workflow" {
		labels[LabelAttempt] = strconv.Itoa(o.Attempt)
	}
	u.SetLabels(labels)
	u.SetAnnotations(notes)
	return u
}

// plain is a value as the tree of an object: texts, booleans, whole numbers, maps and
// lists, by the JSON names.
func plain(value any) map[string]any {
	text, err := json.Marshal(map[string]any{"kind": "x", "value": value})
	u := &unstructured.Unstructured{}
	if err == nil {
		err = u.UnmarshalJSON(text) // numbers become int64, as in what the API server sends
	}
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	return u.Object["value"].(map[string]any)
}
