package main

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dragonfly/boot/dhcp"
	"dragonfly/registry"
)

// metrics serves what the parts count, in the Prometheus text format. Nothing is
// counted twice: each number is read from its part when it is asked for.
func (a *appliance) metrics() http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, state := range registry.States() {
		all.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dragonfly_machines", Help: "Machines by state.", ConstLabels: prometheus.Labels{"state": string(state)},
		}, func() float64 { return float64(a.registry.CountIn(state)) }))
	}
	for _, action := range registry.ImportActions() {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "dragonfly_imported_machines_total", Help: "Machines of lists and manifests by what became of them.",
			ConstLabels: prometheus.Labels{"action": string(action)},
		}, func() float64 { return float64(a.registry.Imported(action)) }))
	}
	all.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_agents_waiting",
			Help: "Agents that wait for an instruction now."}, func() float64 { return float64(a.registry.Polling()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_deployments_awaiting_images",
			Help: "Pending deployments whose image is not on this server yet."}, func() float64 { return float64(a.registry.AwaitingImages()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_sightings_dropped_total",
			Help: "Steps of boots that were not kept for a timeline."}, func() float64 { return float64(a.registry.Dropped()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_registrations_refused_total",
			Help: "Registrations of new machines while there were as many as there may be."}, func() float64 { return float64(a.registry.TurnedAway()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_boots_stalled_total",
			Help: "Boots of which no agent reported in time."}, func() float64 { return float64(a.registry.Stalled()) }),
	)
	all.MustRegister(a.deployed, deploymentCounts{a.registry})
	all.MustRegister(a.crowd.metrics()...)
	all.MustRegister(seedMetrics(&a.seeds.Stats)...)
	all.MustRegister(spaceMetrics(a.cfg.DataDir)...)
	all.MustRegister(a.standby.metrics(a.registry)...)
	all.MustRegister(a.db.metrics()...)
	all.MustRegister(a.backups.metric())
	all.MustRegister(imageMetrics(a.images)...)
	for what, count := range map[string]*atomic.Uint64{"script": &a.httpBoots.Scripts, "file": &a.httpBoots.Files, "refused": &a.httpBoots.Refused} {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_http_boots_total",
			Help: "What machines asked for below /boot/.", ConstLabels: prometheus.Labels{"what": what}}, func() float64 { return float64(count.Load()) }))
	}
	if a.kube != nil {
		all.MustRegister(kubeMetrics(a.kube)...)
	}
	if a.cfg.TinkListen != "" {
		all.MustRegister(a.tink.metrics()...)
	}
	for _, b := range a.boot {
		b.register(all)
	}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

// deploymentCounts counts the deployments by state, in the database, when it is asked.
type deploymentCounts struct{ registry *registry.Registry }

var deploymentsDesc = prometheus.NewDesc("dragonfly_deployments", "Deployments by state; none are told while the database is away.", []string{"state"}, nil)

// Describe is [prometheus.Collector.Describe].
func (deploymentCounts) Describe(all chan<- *prometheus.Desc) { all <- deploymentsDesc }

// countWithin bounds the time of a scrape.
const countWithin = 2 * time.Second

// Collect is [prometheus.Collector.Collect].
func (c deploymentCounts) Collect(all chan<- prometheus.Metric) {
	if !c.registry.Outage().Since.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), countWithin)
	defer cancel()
	counts, err := c.registry.CountDeployments(ctx)
	if err != nil {
		return // the next scrape tells
	}
	for state, count := range counts {
		all <- prometheus.MustNewConstMetric(deploymentsDesc, prometheus.GaugeValue, float64(count), string(state))
	}
}

// newDeployed measures how long deployments take.
func newDeployed() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dragonfly_deployment_seconds",
		Help:    "From when an agent took a deployment up to its end, by the state it came to.",
		Buckets: []float64{15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200}}, []string{"state"})
}

// deploymentEnded takes in a deployment that has ended.
func (a *appliance) deploymentEnded(d registry.Deployment) {
	if !d.StartedAt.IsZero() {
		a.deployed.WithLabelValues(string(d.State)).Observe(d.EndedAt.Sub(d.StartedAt).Seconds())
	}
}

// register adds what one interface's boot services count.
func (b *bootServer) register(all *prometheus.Registry) {
	for _, outcome := range dhcp.Outcomes() {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "dragonfly_dhcp_packets_total", Help: "DHCP packets by what became of them.",
			ConstLabels: prometheus.Labels{"interface": b.on, "outcome": outcome.String()},
		}, func() float64 { return float64(b.dhcp.Stats.Count(outcome)) }))
	}
	b.registerNeighbours(all)
	if b.ndp != nil {
		b.registerNDP(all)
	}
	for outcome, count := range b.transfers() {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "dragonfly_tftp_transfers_total",
			Help:        "TFTP transfers by what became of them; those evicted made room for another before their client acknowledged anything.",
			ConstLabels: prometheus.Labels{"interface": b.on, "outcome": outcome},
		}, func() float64 { return float64(count.Load()) }))
	}
}

// transfers are the transfers of files by what became of them.
func (b *bootServer) transfers() map[string]*atomic.Uint64 {
	return map[string]*atomic.Uint64{"sent": &b.tftp.Stats.Sent, "probed": &b.tftp.Stats.Probed,
		"refused": &b.tftp.Stats.Refused, "evicted": &b.tftp.Stats.Evicted, "failed": &b.tftp.Stats.Failed}
}

// registerNeighbours adds the other DHCP servers of a network, by what they do.
func (b *bootServer) registerNeighbours(all *prometheus.Registry) {
	for does, is := range map[string]func(dhcp.Neighbour) bool{
		"addresses": func(n dhcp.Neighbour) bool { return n.Gives },
		"boots":     func(n dhcp.Neighbour) bool { return n.Boots },
	} {
		all.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "dragonfly_dhcp_other_servers", Help: "Other DHCP servers heard of in the last hour, by what they do: give out addresses, answer network boots.",
			ConstLabels: prometheus.Labels{"interface": b.on, "does": does},
		}, func() float64 {
			now := time.Now()
			servers, _ := b.dhcp.Watch.Neighbours(now)
			return float64(len(slices.DeleteFunc(servers, func(n dhcp.Neighbour) bool { return !n.Fresh(now) || !is(n) })))
		}))
	}
}

func (b *bootServer) registerNDP(all *prometheus.Registry) {
	for outcome, count := range map[string]*atomic.Uint64{"answered": &b.ndp.Stats.Answered, "ignored": &b.ndp.Stats.Ignored, "failed": &b.ndp.Stats.Failed} {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "dragonfly_router_solicitations_total", Help: "IPv6 router solicitations by what became of them.",
			ConstLabels: prometheus.Labels{"interface": b.on, "outcome": outcome},
		}, func() float64 { return float64(count.Load()) }))
	}
}

// metrics is what the bound on connections counts.
func (c *crowd) metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_http_connections",
			Help: "Open HTTP connections."}, func() float64 { return float64(c.Open()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_http_connections_refused_total",
			Help: "HTTP connections above the bounds."}, func() float64 { return float64(c.refused.Load()) }),
	}
}

// metrics is what the journal counts, and whether the database is away.
func (s *standby) metrics(reg *registry.Registry) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func(registry.JournalStats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.journal.Stats())) })
	}
	return []prometheus.Collector{
		gauge("dragonfly_database_away_seconds", "How long the database has been away; 0 while it answers.", func() float64 {
			if o := reg.Outage(); !o.Since.IsZero() {
				return time.Since(o.Since).Seconds()
			}
			return 0
		}),
		gauge("dragonfly_journal_records", "Records that wait for the database.", func() float64 { return float64(s.journal.Stats().Records) }),
		gauge("dragonfly_journal_bytes", "Size of the journal.", func() float64 { return float64(s.journal.Stats().Bytes) }),
		gauge("dragonfly_journal_dead_letters", "Records that could not be applied.", func() float64 { return float64(s.journal.Stats().Dead) }),
		gauge("dragonfly_journal_oldest_seconds", "Age of the oldest record that waits.", func() float64 {
			if oldest := s.journal.Stats().Oldest; !oldest.IsZero() {
				return time.Since(oldest).Seconds()
			}
			return 0
		}),
		counter("dragonfly_journal_appended_total", "Records that were kept.", func(s registry.JournalStats) int64 { return s.Appended }),
		counter("dragonfly_journal_applied_total", "Records that were applied or buried.", func(s registry.JournalStats) int64 { return s.Settled }),
		counter("dragonfly_journal_refused_total", "Records that were refused.", func(s registry.JournalStats) int64 { return s.Refused }),
	}
}
