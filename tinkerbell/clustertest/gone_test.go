package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

// pulled is a store that does not answer, or answers as a node that is behind: it has no
// machine, unless the others are asked as well.
type pulled struct {
	registry.Store
	away, behind atomic.Bool
	asked        atomic.Int32 // for machines, while it was either
}

func (s *pulled) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if s.away.Load() {
		s.asked.Add(1)
		return nil, registry.ErrUnavailable
	}
	if s.behind.Load() && !q.Latest {
		s.asked.Add(1)
		return nil, nil
	}
	return s.Store.Machines(ctx, q)
}

// hardware makes a Hardware by hand, with labels.
func (b *bench) hardware(name string, labels map[string]any) *unstructured.Unstructured {
	b.Helper()
	return b.create(cluster.Hardware, map[string]any{"apiVersion": objects.Version.String(), "kind": "Hardware",
		"metadata": map[string]any{"name": name, "labels": labels}, "spec": map[string]any{}})
}

// marks are the labels of what we made of a machine.
func marks(machine string) map[string]any {
	return map[string]any{objects.ManagedBy: objects.Manager, objects.LabelMachine: machine}
}

// over is a machine whose deployment is over, and that nothing is left of in Kubernetes
// but its Hardware.
func (b *bench) over(n int) registry.Machine {
	b.Helper()
	m := b.machine(n)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	b.succeed(d, w)
	if _, err := b.registry.Cancel(b.Context(), d.ID); err != nil {
		b.Fatal(err)
	}
	b.vanishes(cluster.Template, d.ID)
	if err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).Delete(b.Context(), w, metav1.DeleteOptions{}); err != nil {
		b.Fatal(err)
	}
	return m
}

// forget deletes a machine, and returns when nobody who listens from now on hears of it.
func (b *bench) forget(machine string) {
	b.Helper()
	feed := b.registry.Feed()
	at := feed.Last()
	if err := b.registry.Delete(b.Context(), machine, registry.AnyVersion); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	for { // what happened before may be told of only now
		events, err := feed.Next(ctx, at)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range events {
			if at = e.Seq; e.Kind == registry.MachineDeleted && e.Machine == machine {
				return
			}
		}
	}
}

// The Hardware of a machine that was deleted while nobody was there to remove it goes with
// the next start, also where it is all that is left of the machine.
func TestGoneAtStart(t *testing.T) {
	b := newBench(t, api, "gone-start")
	m, stays := b.over(1), b.over(2)
	b.stop()
	b.forget(m.ID)
	b.begin()
	b.vanishes(cluster.Hardware, m.ID)
	if b.object(cluster.Hardware, stays.ID) == nil {
		t.Error("the Hardware of a machine that is there was removed")
	}
}

// The same where the removal had begun: the Workflow went, and the Hardware did not.
func TestGoneInBetween(t *testing.T) {
	way := newBetween(t)
	b := newBench(t, way.config, "gone-between")
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	b.succeed(d, w)
	if _, err := b.registry.Cancel(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	b.vanishes(cluster.Template, d.ID)
	way.answer(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/hardware/") && away(w, r)
	})
	b.forget(m.ID)
	b.vanishes(cluster.Workflow, w)
	b.stop()
	way.pass()
	b.begin()
	b.vanishes(cluster.Hardware, m.ID)
}

// A Template that somebody has a Workflow of ours use is not ours, and stays when the
// machine goes.
func TestGoneTemplateOfOthers(t *testing.T) {
	b := newBench(t, api, "gone-template")
	b.create(cluster.Template, map[string]any{"apiVersion": objects.Version.String(), "kind": "Template",
		"metadata": map[string]any{"name": "theirs"}, "spec": map[string]any{"data": "version: \"0.1\"\nname: theirs\n"}})
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	b.stop()
	b.edit(cluster.Workflow, w, `{"spec":{"templateRef":"theirs"}}`)
	if _, err := b.registry.Cancel(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	b.forget(m.ID)
	b.begin()
	b.vanishes(cluster.Workflow, w)
	b.vanishes(cluster.Template, d.ID)
	b.vanishes(cluster.Hardware, m.ID)
	if b.object(cluster.Template, "theirs") == nil {
		t.Error("the Template of others was removed")
	}
}

// left is a machine that was deleted and whose Hardware is still there, while no server
// runs.
func (b *bench) left(n int) (machine string) {
	b.Helper()
	m := b.machine(n)
	b.hardware(m.ID, marks(m.ID))
	b.forget(m.ID)
	return m.ID
}

// What is not ours stays, whatever it looks like.
func TestGoneOfOthers(t *testing.T) {
	b := newBench(t, api, "gone-others")
	b.stop()
	gone := b.left(0)
	stay := map[string]map[string]any{
		"m-theirs":           nil,
		"m-adopted":          {objects.ManagedBy: "somebody", objects.LabelMachine: "m-adopted"}, // was ours
		"m-taken":            {objects.LabelMachine: "m-taken"},                                  // the same
		"m-nobody":           {objects.ManagedBy: objects.Manager},
		"m-another-database": marks("m-another-database"), // a machine that was never here
		"a-copy":             marks(gone),
	}
	for name, labels := range stay {
		b.hardware(name, labels)
	}
	for n := range 3 { // what is gone is looked for at each start
		b.begin()
		b.vanishes(cluster.Hardware, gone)
		b.stop()
		gone = b.left(n + 1)
	}
	b.begin()
	b.vanishes(cluster.Hardware, gone)
	for name := range stay {
		if b.object(cluster.Hardware, name) == nil {
			t.Errorf("%s was removed", name)
		}
	}
}

// While the database is away nobody knows what is gone; when it is back it is removed.
func TestGoneStoreAway(t *testing.T) {
	b := newBench(t, api, "gone-away")
	m, stays := b.over(1), b.over(2)
	b.stop()
	b.forget(m.ID)
	b.store.away.Store(true)
	b.begin()
	b.eventually("the database is asked", func() (string, bool) { n := b.store.asked.Load(); return fmt.Sprint(n), n > 2 })
	if b.object(cluster.Hardware, m.ID) == nil || b.object(cluster.Hardware, stays.ID) == nil {
		t.Error("a Hardware was removed while the database was away")
	}
	b.store.away.Store(false)
	b.vanishes(cluster.Hardware, m.ID)
	removed := b.hands.Stats.Removed.Load
	b.eventually("it is counted", func() (string, bool) { return "it is not", removed() > 0 }) // when Kubernetes has answered, after it is gone
	if n := removed(); n != 1 || b.object(cluster.Hardware, stays.ID) == nil {
		t.Errorf("%d objects were removed, or the Hardware of a machine that is there", n)
	}
}

// A node of the database that is behind does not know a machine yet that is being
// installed: what others know counts.
func TestGoneStoreBehind(t *testing.T) {
	b := newBench(t, api, "gone-behind")
	m := b.machine(1)
	d := b.deploy(m.ID)
	w := b.workflowOf(d)
	b.says(d.ID, registry.DeploymentWaiting, "take up")
	b.store.behind.Store(true)
	b.controller(w, actions("RUNNING", "RUNNING", "PENDING"))
	b.eventually("the machine is looked at", func() (string, bool) { n := b.store.asked.Load(); return fmt.Sprint(n), n > 0 })
	b.store.behind.Store(false)
	b.succeed(d, w)
	if b.object(cluster.Hardware, m.ID) == nil || b.object(cluster.Template, d.ID) == nil || b.hands.Stats.Removed.Load() > 0 {
		t.Error("something was removed of a machine that is there")
	}
}

// A Hardware that somebody made his own, which is not known yet as the watch is late,
// stays.
func TestGoneAdopted(t *testing.T) {
	way := newBetween(t)
	b := newBench(t, way.config, "gone-adopted")
	m := b.over(1)
	b.eventually("everything is watched", func() (string, bool) { return fmt.Sprint(way.open()), way.open() == watches })
	way.answer(func(w http.ResponseWriter, r *http.Request) bool { return isWatch(r) && away(w, r) })
	way.closeWatches()
	b.edit(cluster.Hardware, m.ID, `{"metadata":{"labels":{"`+objects.ManagedBy+`":"somebody"}}}`)
	b.forget(m.ID)
	b.eventually("its removal is tried", func() (string, bool) { n := b.hands.Stats.Retries.Load(); return fmt.Sprint(n), n > 2 })
	way.pass()
	b.knows(1)
	if b.object(cluster.Hardware, m.ID) == nil || b.hands.Stats.Removed.Load() > 0 {
		t.Error("it was removed")
	}
}

// Several servers do it at once: each object is removed once, and nobody is kept busy.
func TestGoneSeveral(t *testing.T) {
	b := newBench(t, api, "gone-several")
	b.stop()
	const count, servers = 50, 3
	var gone []string
	for n := range count {
		gone = append(gone, b.left(n))
	}
	var all []*cluster.Provisioner
	for range servers {
		b.begin()
		all = append(all, b.hands)
		t.Cleanup(b.stop)
	}
	for _, machine := range gone {
		b.vanishes(cluster.Hardware, machine)
	}
	removed := func() (sum uint64) {
		for _, hands := range all {
			sum += hands.Stats.Removed.Load()
		}
		return sum
	}
	b.eventually("each is counted", func() (string, bool) { return fmt.Sprint(removed()), removed() >= count })
	for _, hands := range all {
		if retries := hands.Stats.Retries.Load(); removed() != count || retries > 0 {
			t.Errorf("%d were removed, and %d looked at again", removed(), retries)
		}
	}
}
