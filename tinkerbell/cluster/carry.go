package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"dragonfly/registry"
	"dragonfly/tinkerbell/objects"
)

// refused is what no other try can help.
type refused struct{ why string }

func (e *refused) Error() string { return e.why }

// carry hands a deployment over where that was not done yet, and else tells what has
// become of it.
func (p *Provisioner) carry(ctx context.Context, m registry.Machine, d registry.Deployment) error {
	name := objects.Order{Deployment: d, Attempt: max(1, d.Attempt)}.WorkflowName()
	workflow := p.seen.workflow(name)
	if workflow == nil && d.State == registry.DeploymentVerifying {
		return nil // it is removed by whoever likes
	}
	if workflow == nil {
		live, err := p.cluster.read(ctx, Workflow, name) // a watch may be late
		if err != nil {
			return err
		}
		if live == nil && d.State == registry.DeploymentWaiting && !p.was(p.handed, d.ID) {
			return p.handOver(ctx, m, d)
		}
		workflow = live
	}
	p.note(p.handed, d.ID)
	return p.tell(ctx, m, d, workflow)
}

// handOver makes the objects of a deployment.
func (p *Provisioner) handOver(ctx context.Context, m registry.Machine, d registry.Deployment) error {
	order, err := p.order(ctx, m, d)
	if err != nil {
		return err
	}
	made, err := objects.Build(order)
	if err != nil {
		return &refused{err.Error()}
	}
	if err := p.clearOthers(ctx, m.ID, order.WorkflowName()); err != nil {
		return err
	}
	if err := p.applyHardware(ctx, made.Hardware); err != nil {
		return err
	}
	for _, object := range []*unstructured.Unstructured{made.Template, made.Workflow} {
		if err := p.cluster.apply(ctx, object); err != nil {
			return err
		}
	}
	p.note(p.handed, d.ID)
	p.Stats.HandedOver.Add(1)
	p.log.Info("handed over to Tinkerbell", "deployment", d.ID, "machine", m.Name, "workflow", order.WorkflowName())
	return p.registry.Hold(ctx, d.ID, "Tinkerbell's controller has yet to take up the Workflow")
}

// order is everything that objects are made of.
func (p *Provisioner) order(ctx context.Context, m registry.Machine, d registry.Deployment) (o objects.Order, err error) {
	o = objects.Order{Machine: m, Deployment: d, Attempt: max(1, d.Attempt), Namespace: p.cluster.Namespace, Networks: p.networks()}
	if o.Recipe, err = p.registry.Recipe(ctx, d.ID); err != nil {
		return o, err
	}
	if d.OS != "" {
		if o.OS, err = p.registry.OS(ctx, d.OS); errors.Is(err, registry.ErrNotFound) {
			o.OS, err = registry.OS{ID: d.OS}, nil // it was taken out of the catalogue since
		}
		if err != nil {
			return o, err
		}
	}
	if err := p.known(m, &o); err != nil {
		return o, err
	}
	return o, p.findBMC(ctx, m, &o)
}

// findBMC notes the BMC that the machine's label names.
func (p *Provisioner) findBMC(ctx context.Context, m registry.Machine, o *objects.Order) error {
	name := m.Labels[objects.MachineBMC]
	if name == "" || name == o.BMC {
		return nil
	}
	if o.Hardware != "" {
		return &refused{fmt.Sprintf("the label %s of the machine names the BMC %q, and the Hardware %s in Kubernetes, which Dragonfly did not make, does not: set its bmcRef, or take the label away", objects.MachineBMC, name, o.Hardware)}
	}
	if o.BMC = name; len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil // it is told with what else is wrong
	}
	there, err := p.cluster.read(ctx, BMC, name)
	if err == nil && there == nil {
		return &refused{fmt.Sprintf("the label %s of the machine names the BMC %s, and there is no %s of that name in the namespace %s", objects.MachineBMC, name, BMC.GroupResource(), p.cluster.Namespace)}
	}
	return err
}

// known notes what the cluster has of the machine already: a Hardware that others made,
// and the BMC that it names. Tinkerbell wants one Hardware for each address.
func (p *Provisioner) known(m registry.Machine, o *objects.Order) error {
	names := map[string]bool{}
	for _, mac := range m.MACs {
		for _, u := range p.seen.hardwareOf(mac.String()) {
			if ours(u) {
				continue
			}
			names[u.GetName()], o.Hardware = true, u.GetName()
			o.BMC, _, _ = unstructured.NestedString(u.Object, "spec", "bmcRef", "name")
		}
	}
	if len(names) > 1 {
		return &refused{fmt.Sprintf("the addresses of the machine are in %d Hardware objects in Kubernetes; Tinkerbell wants them in one", len(names))}
	}
	if u := p.seen.namedHardware(objects.Order{Machine: m}.HardwareName()); len(names) == 0 && u != nil && !ours(u) {
		return &refused{fmt.Sprintf("there is a Hardware %s in Kubernetes that Dragonfly did not make, and it has none of the machine's addresses", u.GetName())}
	}
	return nil
}

// clearOthers removes the other Workflows of ours of a machine: Tinkerbell would go through
// them before it comes to the new one.
func (p *Provisioner) clearOthers(ctx context.Context, machine, but string) error {
	for _, u := range p.seen.workflowsOf(machine) {
		if u.GetName() == but {
			continue
		}
		if err := p.cluster.remove(ctx, Workflow, u.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// applyHardware makes the machine's Hardware, or brings it up to date. What it says of
// allowPXE is left to Tinkerbell's controller once it is there.
func (p *Provisioner) applyHardware(ctx context.Context, hardware *unstructured.Unstructured) error {
	if hardware == nil {
		return nil
	}
	live := p.seen.namedHardware(hardware.GetName())
	if live == nil {
		return p.cluster.apply(ctx, objects.AllowPXE(hardware))
	}
	if len(objects.Edited(hardware, live)) == 0 {
		return nil
	}
	return p.cluster.apply(ctx, objects.Carry(hardware, live))
}

// tell tells the registry what a Workflow says; nil: it is gone.
func (p *Provisioner) tell(ctx context.Context, m registry.Machine, d registry.Deployment, workflow *unstructured.Unstructured) error {
	sight := objects.Sight{Workflow: workflow, Deployment: d, Before: p.waits(d.ID), Now: p.Now()}
	seen := objects.Observe(sight)
	if fails(seen) { // only then it is worth reading
		sight.Timeline = p.lastSeen(ctx, m, d)
		seen = objects.Observe(sight)
	}
	p.waitFor(d.ID, seen.Waiting)
	if !seen.Again.IsZero() {
		p.queue.AddAfter(m.ID, max(seen.Again.Sub(sight.Now), time.Second))
	}
	if seen.Clear {
		if err := p.forbid(ctx, m.ID, workflow); err != nil {
			return err
		}
	}
	switch {
	case seen.Failed != "":
		return &refused{seen.Failed}
	case seen.Boot != "":
		return p.report(ctx, d, seen)
	case seen.Note != "":
		return p.registry.Hold(ctx, d.ID, seen.Note)
	}
	return nil
}

func fails(seen objects.Seen) bool {
	return seen.Failed != "" || slices.ContainsFunc(seen.Reports, func(r registry.ActionReport) bool { return r.State == registry.ActionFailed })
}

// report tells what the actions did. The deployment is taken up first.
func (p *Provisioner) report(ctx context.Context, d registry.Deployment, seen objects.Seen) error {
	if len(seen.Reports) == 0 && d.BootID == seen.Boot {
		return nil
	}
	taken, err := p.registry.TakeUp(ctx, d.Machine, seen.Boot)
	if refusal, is := errors.AsType[*registry.RefusalError](err); is {
		p.log.Info("a Workflow is not followed", "deployment", d.ID, "err", refusal)
		return nil // the registry has said what becomes of it
	}
	if err != nil {
		return err
	}
	for _, r := range seen.Reports {
		r.Attempt = taken.Attempt
		cancel, err := p.registry.Report(ctx, d.Machine, r)
		if err != nil || cancel != "" {
			return err
		}
		p.Stats.Reports.Add(1)
	}
	return nil
}

// lastSeen is the last that our own timeline has of the machine.
func (p *Provisioner) lastSeen(ctx context.Context, m registry.Machine, d registry.Deployment) string {
	seen, err := p.registry.LastSeen(ctx, m.ID, d.StateAt)
	if err != nil {
		return ""
	}
	return seen
}

// settleEarlier settles what Tinkerbell still has of the deployments of a machine before
// its present one: another may have taken their place while Kubernetes was away, or before
// there was a Workflow.
func (p *Provisioner) settleEarlier(ctx context.Context, present registry.Deployment) error {
	carried := present.Engine == registry.EngineTinkerbell && present.State != registry.DeploymentPending && !present.State.Ended()
	for _, u := range slices.Concat(p.seen.workflowsOf(present.Machine), p.seen.templatesOf(present.Machine)) {
		id := u.GetLabels()[objects.LabelDeployment]
		if id == "" || id == present.ID || p.was(p.settled, id) {
			continue
		}
		d, err := p.registry.Deployment(ctx, id)
		if errors.Is(err, registry.ErrNotFound) || err == nil && !d.State.Ended() {
			continue // what is known here may be older than the Workflow
		}
		if err == nil {
			err = p.settle(ctx, d, !carried)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle leaves nothing behind of a deployment that has ended: its Template has secrets,
// a Workflow that has not ended would be carried out one day, and a machine that may
// boot from the network might be installed again, unless it has to for another deployment.
func (p *Provisioner) settle(ctx context.Context, d registry.Deployment, forbid bool) error {
	if p.was(p.settled, d.ID) {
		return nil
	}
	order := objects.Order{Deployment: d, Attempt: max(1, d.Attempt)}
	name := order.WorkflowName()
	workflow, err := p.cluster.read(ctx, Workflow, name)
	if err != nil {
		return err
	}
	template, err := p.cluster.read(ctx, Template, order.TemplateName())
	if err != nil {
		return err
	}
	begun := template != nil || workflow != nil || p.was(p.handed, d.ID) // the Hardware was made before them
	if d.State != registry.DeploymentSucceeded && begun {
		if workflow != nil && !objects.Observe(objects.Sight{Workflow: workflow, Deployment: d}).Ended {
			err = p.cluster.remove(ctx, Workflow, name)
		}
		if err == nil && forbid {
			err = p.forbid(ctx, d.Machine, workflow)
		}
	}
	if err == nil && template != nil { // last, as it says that there is something to settle
		err = p.cluster.remove(ctx, Template, template.GetName())
	}
	if err == nil {
		p.forget(d.ID)
	}
	return err
}

// maxSettled is how many settled deployments are remembered: to settle one again costs
// two requests.
const maxSettled = 10000

// forget notes that a deployment is settled.
func (p *Provisioner) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.handed, id)
	delete(p.waiting, id)
	if len(p.settled) >= maxSettled {
		clear(p.settled)
	}
	p.settled[id] = true
}

// forbid keeps a machine from booting from the network, in the Hardware that its
// Workflow names, or ours.
func (p *Provisioner) forbid(ctx context.Context, machine string, workflow *unstructured.Unstructured) error {
	name := objects.Name(machine)
	if workflow != nil {
		if ref, _, _ := unstructured.NestedString(workflow.Object, "spec", "hardwareRef"); ref != "" {
			name = ref
		}
	}
	live, err := p.cluster.read(ctx, Hardware, name)
	if err != nil || live == nil {
		return err
	}
	patch := objects.PXEPatch(live, false)
	if patch == nil {
		return nil
	}
	err = p.cluster.patch(ctx, Hardware, name, patch)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (p *Provisioner) was(set map[string]bool, id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return set[id]
}

func (p *Provisioner) note(set map[string]bool, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set[id] = true
}

func (p *Provisioner) waits(id string) objects.Waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[id]
}

func (p *Provisioner) waitFor(id string, w objects.Waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[id] = w; w == (objects.Waiting{}) {
		delete(p.waiting, id)
	}
}

// isMine reports whether an error is about the object that was sent, so that sending it
// again is of no use.
func isMine(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

var applied = metav1.PatchOptions{FieldManager: objects.Manager, FieldValidation: metav1.FieldValidationStrict, Force: new(true)}
