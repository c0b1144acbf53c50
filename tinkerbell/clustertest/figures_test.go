package clustertest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dragonfly/registry"
	registryapi "dragonfly/registry/api"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

// How long it takes from an assignment until the Workflow is there for everybody, one
// after the other.
func TestAssignmentToObjects(t *testing.T) {
	b := newBench(t, api, "assignment")
	watch, err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	b.workflowOf(b.deploy(b.machine(0).ID))
	<-watch.ResultChan()
	var took []time.Duration
	for n := range 100 {
		m := b.machine(n + 1)
		begin := time.Now()
		name := objects.Order{Deployment: b.deploy(m.ID), Attempt: 1}.WorkflowName()
		for e := range watch.ResultChan() {
			if u, ok := e.Object.(interface{ GetName() string }); ok && u.GetName() == name {
				break
			}
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("assignment to Workflow visible: median %s, p99 %s", took[50], took[98])
}

// How long it takes from the change of a Workflow's status until a viewer has the event,
// by HTTP as browsers have it: what happens within 100 ms is sent at once.
func TestStatusToViewer(t *testing.T) {
	b := newBench(t, api, "events")
	events := b.view()
	var took []time.Duration
	for n := range 100 {
		d := b.deploy(b.machine(n).ID)
		w := b.workflowOf(d)
		b.says(d.ID, registry.DeploymentWaiting, "take up")
		begin := time.Now()
		b.controller(w, actions("RUNNING", "RUNNING", "PENDING"))
		for e := range events {
			if e.Machine == d.Machine && e.Kind == registry.DeploymentAction {
				break
			}
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("change of a status to event at a viewer: median %s, p99 %s", took[50], took[98])
}

// noAgents is who gives tokens to agents where there are none.
type noAgents struct{ registryapi.Tokens }

// view is the events that a viewer of the API gets.
func (b *bench) view() <-chan registryapi.Event {
	router := chi.NewRouter()
	registryapi.Mount(router, registryapi.Config{Registry: b.registry, Tokens: noAgents{}, Log: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(router)
	events, client := make(chan registryapi.Event, 10000), &registryapi.Client{Base: server.URL}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- client.Events(ctx, b.registry.Feed().Last(), func(e registryapi.Event) error { events <- e; return nil })
	}()
	b.Cleanup(func() { cancel(); <-done; server.Close() })
	return events
}

// A thousand at once.
func TestThousand(t *testing.T) {
	b := newBench(t, api, "thousand")
	const count = 1000
	var all []registry.Deployment
	machines := make([]string, count)
	for n := range machines {
		machines[n] = b.machine(n).ID
	}
	before := heap()
	begin := time.Now()
	for _, m := range machines {
		all = append(all, b.deploy(m))
	}
	b.eventually("every Workflow is there", func() (string, bool) {
		return "", b.hands.Stats.HandedOver.Load() >= count
	})
	took := time.Since(begin)
	list, err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != count {
		t.Fatal(err, len(list.Items))
	}
	grown := heap() - before
	t.Logf("%d deployments: objects applied in %s; the heap of this process, API server and etcd in it, grew by %d MiB", count, took, grown>>20)
	// What happens to all of them at once is told of each.
	var group sync.WaitGroup
	for _, part := range slices.Collect(slices.Chunk(all, 100)) {
		group.Go(func() {
			for _, d := range part {
				b.controller(objects.Order{Deployment: d, Attempt: 1}.WorkflowName(), actions("SUCCESS", "SUCCESS", "SUCCESS"))
			}
		})
	}
	group.Wait()
	for _, d := range all {
		b.comesTo(d.ID, registry.DeploymentVerifying)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
