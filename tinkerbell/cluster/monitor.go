package cluster

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	checkEvery = 5 * time.Minute  // while everything is there
	retryEvery = 10 * time.Second // while something is not
)

// Monitor keeps an eye on a cluster.
type Monitor struct {
	cluster *Cluster
	log     *slog.Logger
	health  atomic.Pointer[Health]
	hurry   chan struct{} // holds one: look now
}

// NewMonitor is a monitor that has not looked yet; see [Monitor.Run].
func NewMonitor(c *Cluster, log *slog.Logger) *Monitor {
	m := &Monitor{cluster: c, log: log, hurry: make(chan struct{}, 1)}
	m.health.Store(&Health{})
	return m
}

// Health is how the cluster was found last.
func (m *Monitor) Health() Health { return *m.health.Load() }

// Hurry has it looked at now: something went wrong, or right again.
func (m *Monitor) Hurry() {
	select {
	case m.hurry <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends, and says in the log what has changed.
func (m *Monitor) Run(ctx context.Context) error {
	for {
		h := m.cluster.Check(ctx)
		if ctx.Err() != nil {
			return nil
		}
		before := m.health.Swap(&h)
		m.tell(*before, h)
		wait := checkEvery
		if !h.Good() {
			wait = retryEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-m.hurry:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (m *Monitor) tell(before, now Health) {
	switch {
	case now.Problem == before.Problem && !before.At.IsZero():
	case now.Problem == "":
		m.log.Info("Tinkerbell is reachable", "api", m.cluster.Host, "namespace", m.cluster.Namespace, "kubernetes", now.Version)
	case now.Absent:
		m.log.Info("no Tinkerbell", "api", m.cluster.Host, "err", now.Problem)
	default:
		m.log.Warn("Tinkerbell", "api", m.cluster.Host, "err", now.Problem)
	}
}
