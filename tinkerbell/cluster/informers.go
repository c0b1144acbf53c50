package cluster

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"dragonfly/tinkerbell/objects"
)

// informers know the Hardware of the namespace, our Workflows in it, the Templates of
// others, and which are ours, as they are told by watches. A watch that breaks, or is
// too old, is begun anew from a list.
type informers struct {
	hardware, workflows, templates cache.SharedIndexInformer
	made                           cache.SharedIndexInformer // our Templates, without what is in them

	namespace string
}

const (
	resync    = 10 * time.Minute
	byMachine = "machine" // index of what is ours, by the ID of our machine
	byMAC     = "mac"     // index of Hardware
)

// newInformers are informers that tell of machines (IDs) whose Workflows have changed, or
// that we have made a Template for, and of errors of their watches.
func newInformers(c *Cluster, changed func(machine string), lost func(error)) (*informers, error) {
	ours := func(o *metav1.ListOptions) { o.LabelSelector = objects.ManagedBy + "=" + objects.Manager }
	foreign := func(o *metav1.ListOptions) { o.LabelSelector = objects.ManagedBy + "!=" + objects.Manager }
	i := &informers{
		namespace: c.Namespace,
		hardware:  dynamicinformer.NewFilteredDynamicInformer(c.objects, Hardware, c.Namespace, resync, cache.Indexers{byMAC: macsOf, byMachine: oursOf}, nil).Informer(),
		workflows: dynamicinformer.NewFilteredDynamicInformer(c.objects, Workflow, c.Namespace, resync, cache.Indexers{byMachine: machineOf}, ours).Informer(),
		templates: dynamicinformer.NewFilteredDynamicInformer(c.objects, Template, c.Namespace, resync, nil, foreign).Informer(),
		made:      dynamicinformer.NewFilteredDynamicInformer(c.objects, Template, c.Namespace, resync, cache.Indexers{byMachine: machineOf}, ours).Informer(),
	}
	tell := func(object any) {
		if ids, _ := machineOf(object); len(ids) > 0 {
			changed(ids[0])
		}
	}
	for _, informer := range i.all() {
		transform := slim
		if informer == i.made {
			transform = bare
		}
		if err := informer.SetTransform(transform); err != nil {
			return nil, err
		}
		if err := informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) { lost(err) }); err != nil {
			return nil, err
		}
	}
	if _, err := i.made.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: tell}); err != nil {
		return nil, err
	}
	_, err := i.workflows.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: tell,
		UpdateFunc: func(_, object any) { tell(object) }, DeleteFunc: tell})
	return i, err
}

func (i *informers) run(ctx context.Context) {
	var running sync.WaitGroup
	for _, informer := range i.all() {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	running.Wait()
}

func (i *informers) all() []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{i.hardware, i.workflows, i.templates, i.made}
}

// synced reports whether everything that a hand-over needs has been told once.
func (i *informers) synced() bool {
	return i.hardware.HasSynced() && i.workflows.HasSynced() && i.made.HasSynced()
}

// workflow is one of ours by its name; nil: it is not there.
func (i *informers) workflow(name string) *unstructured.Unstructured {
	return get(i.workflows, i.namespace, name)
}

// workflowsOf are ours of a machine.
func (i *informers) workflowsOf(machine string) []*unstructured.Unstructured {
	return find(i.workflows, byMachine, machine)
}

// templatesOf are ours of a machine, without what is in them.
func (i *informers) templatesOf(machine string) []*unstructured.Unstructured {
	return find(i.made, byMachine, machine)
}

// machines are the IDs of those that something of ours is there of.
func (i *informers) machines() []string {
	var all []string
	for _, informer := range []cache.SharedIndexInformer{i.workflows, i.made, i.hardware} {
		all = append(all, informer.GetIndexer().ListIndexFuncValues(byMachine)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// made is an object of ours.
type made struct {
	kind schema.GroupVersionResource
	*unstructured.Unstructured
}

// madeOf is everything that we made of a machine, in the order in which it is removed:
// nothing may be carried out of which a part is missing.
func (i *informers) madeOf(machine string) (all []made) {
	for _, u := range i.workflowsOf(machine) {
		all = append(all, made{Workflow, u})
	}
	for _, u := range i.templatesOf(machine) {
		all = append(all, made{Template, u})
	}
	for _, u := range find(i.hardware, byMachine, machine) {
		all = append(all, made{Hardware, u})
	}
	return all
}

// namedHardware is the Hardware of a name; nil: it is not there.
func (i *informers) namedHardware(name string) *unstructured.Unstructured {
	return get(i.hardware, i.namespace, name)
}

// hardwareOf is every Hardware that has a MAC address.
func (i *informers) hardwareOf(mac string) []*unstructured.Unstructured {
	return find(i.hardware, byMAC, mac)
}

func get(from cache.SharedIndexInformer, namespace, name string) *unstructured.Unstructured {
	object, _, _ := from.GetStore().GetByKey(namespace + "/" + name)
	u, _ := object.(*unstructured.Unstructured)
	return u
}

func find(from cache.SharedIndexInformer, index, value string) (all []*unstructured.Unstructured) {
	found, _ := from.GetIndexer().ByIndex(index, value)
	for _, object := range found {
		if u, ok := object.(*unstructured.Unstructured); ok {
			all = append(all, u)
		}
	}
	return all
}

// slim drops what nobody here reads.
func slim(object any) (any, error) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
	}
	return object, nil
}

// bare drops what is in an object, such as the secrets of a Template.
func bare(object any) (any, error) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		delete(u.Object, "spec")
	}
	return slim(object)
}

func machineOf(object any) ([]string, error) {
	if gone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = gone.Obj
	}
	u, ok := object.(*unstructured.Unstructured)
	if !ok || u.GetLabels()[objects.LabelMachine] == "" {
		return nil, nil
	}
	return []string{u.GetLabels()[objects.LabelMachine]}, nil
}

// oursOf is [machineOf] for Hardware, of which there may be that of others. A copy of ours
// that somebody made under another name is one.
func oursOf(object any) ([]string, error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok || !ours(u) || u.GetName() != objects.Name(u.GetLabels()[objects.LabelMachine]) {
		return nil, nil
	}
	return machineOf(object)
}

func macsOf(object any) (macs []string, _ error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	ports, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "interfaces")
	list, _ := ports.([]any)
	for _, entry := range list {
		port, _ := entry.(map[string]any)
		if mac, _, _ := unstructured.NestedString(port, "dhcp", "mac"); mac != "" {
			macs = append(macs, strings.ToLower(mac))
		}
	}
	return macs, nil
}

// ours reports whether an object is one that we made.
func ours(u *unstructured.Unstructured) bool {
	return u.GetLabels()[objects.ManagedBy] == objects.Manager
}
