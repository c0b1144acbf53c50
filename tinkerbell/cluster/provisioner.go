package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/util/workqueue"

	"dragonfly/registry"
	"dragonfly/tinkerbell/objects"
)

// Provisioner hands the deployments that are for Tinkerbell over to it, and tells the
// registry what becomes of them. What it knows is in the registry and in the cluster:
// it may be started anew at any time, and there may be several of them.
//
// Its unit of work is a machine: whatever happens to its deployment or its objects has
// it looked at, by one worker at a time.
type Provisioner struct {
	cluster  *Cluster
	registry *registry.Registry
	monitor  *Monitor
	log      *slog.Logger
	networks func() []netip.Prefix

	seen  *informers
	queue workqueue.TypedRateLimitingInterface[string] // IDs of machines

	mu      sync.Mutex
	handed  map[string]bool            // deployments whose Workflow was there
	settled map[string]bool            // deployments that have ended, and left nothing behind
	waiting map[string]objects.Waiting // what Workflows wait for, by deployment

	Stats Stats
	Now   func() time.Time // the clock by which it is told how long something waits
}

const (
	workers   = 4
	lookEvery = time.Minute            // at everything that is under way, whatever was missed
	retryFrom = 200 * time.Millisecond // and twice as long after each failure
	retryTo   = 15 * time.Second
	within    = 20 * time.Second // for a machine
)

// NewProvisioner is a provisioner that has not begun; see [Provisioner.Run]. networks
// are those this server is on.
func NewProvisioner(m *Monitor, r *registry.Registry, networks func() []netip.Prefix, log *slog.Logger) (*Provisioner, error) {
	p := &Provisioner{cluster: m.cluster, registry: r, monitor: m, log: log, networks: networks,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryFrom, retryTo)),
		Now:   time.Now, handed: map[string]bool{}, settled: map[string]bool{}, waiting: map[string]objects.Waiting{}}
	var err error
	p.seen, err = newInformers(m.cluster, p.queue.Add, p.lost)
	return p, err
}

// lost is told of a watch that broke. The informer begins another one by itself.
func (p *Provisioner) lost(err error) {
	p.Stats.WatchErrors.Add(1)
	p.log.Debug("watch of Tinkerbell", "err", Plain(err))
	p.monitor.Hurry()
}

// Run works until ctx ends.
func (p *Provisioner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { p.seen.run(ctx); return nil })
	group.Go(func() error { p.follow(ctx); return nil })
	group.Go(func() error { p.lookAround(ctx); return nil })
	group.Go(func() error { p.lookForGone(ctx); return nil })
	for range workers {
		group.Go(func() error { p.work(ctx); return nil })
	}
	group.Go(func() error { <-ctx.Done(); p.queue.ShutDown(); return nil })
	return group.Wait()
}

// follow has the machines looked at that something happened to the deployments of.
func (p *Provisioner) follow(ctx context.Context) {
	feed := p.registry.Feed()
	for at := feed.Last(); ctx.Err() == nil; {
		events, err := feed.Next(ctx, at)
		if errors.Is(err, registry.ErrRewound) {
			at = feed.Last()
			continue // what is under way now is found by looking around
		}
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		for _, e := range events {
			at = e.Seq
			if e.Kind == registry.MachineDeleted || e.Kind != registry.DeploymentAction && strings.HasPrefix(string(e.Kind), "deployment.") {
				p.queue.Add(e.Machine)
			}
		}
	}
}

// lookAround has every machine looked at that Tinkerbell has work for.
func (p *Provisioner) lookAround(ctx context.Context) {
	for ctx.Err() == nil {
		under, err := p.registry.Deployments(ctx, registry.DeploymentQuery{States: []registry.DeploymentState{
			registry.DeploymentWaiting, registry.DeploymentRunning, registry.DeploymentVerifying}})
		for _, d := range under {
			if d.Engine == registry.EngineTinkerbell {
				p.queue.Add(d.Machine)
			}
		}
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		pause(ctx, lookEvery)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// work looks at one machine after the other.
func (p *Provisioner) work(ctx context.Context) {
	for {
		machine, over := p.queue.Get()
		if over {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, within)
		err := p.look(bounded, machine)
		cancel()
		if p.queue.Done(machine); err == nil || ctx.Err() != nil {
			p.queue.Forget(machine)
			continue
		}
		p.Stats.Retries.Add(1)
		p.log.Debug("hand over to Tinkerbell", "machine", machine, "err", err)
		p.queue.AddRateLimited(machine)
	}
}

// look brings the objects of a machine to what its deployment needs, and the deployment
// to what the objects say. An error is worth another try.
func (p *Provisioner) look(ctx context.Context, machine string) error {
	m, err := p.registry.Machine(ctx, machine)
	if errors.Is(err, registry.ErrNotFound) {
		return p.abandon(ctx, machine)
	}
	if err != nil || m.Deployment == "" {
		return err
	}
	d, err := p.registry.Deployment(ctx, m.Deployment)
	if err != nil {
		return err
	}
	if err := p.settleEarlier(ctx, d); err != nil {
		return p.hold(ctx, d, err)
	}
	if d.Engine != registry.EngineTinkerbell || d.State == registry.DeploymentPending {
		return nil
	}
	if why := p.away(); why != "" {
		return p.hold(ctx, d, errors.New(why))
	}
	if d.State.Ended() {
		return p.settle(ctx, d, true)
	}
	err = p.carry(ctx, m, d)
	if final, is := errors.AsType[*refused](err); is {
		return p.registry.Fail(ctx, d.ID, final.Error())
	}
	if err != nil {
		return p.hold(ctx, d, err)
	}
	return nil
}

// away is why nothing can be said of the cluster; empty while it is watched.
func (p *Provisioner) away() string {
	if p.seen.synced() {
		return ""
	}
	if h := p.monitor.Health(); h.Problem != "" {
		return h.Problem
	}
	return "its objects are being read"
}

// hold says what a deployment waits for, and gives the error back, for another try.
func (p *Provisioner) hold(ctx context.Context, d registry.Deployment, err error) error {
	if d.State == registry.DeploymentWaiting && d.Engine == registry.EngineTinkerbell {
		note := fmt.Sprintf("waiting for Tinkerbell: %s, retrying", strings.TrimSuffix(Plain(err), "."))
		if wrong := p.registry.Hold(context.WithoutCancel(ctx), d.ID, note); wrong != nil {
			return wrong
		}
	}
	p.monitor.Hurry()
	return err
}
