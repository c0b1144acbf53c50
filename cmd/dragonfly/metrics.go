package main

import (
	"net/http"
	"sync/atomic"

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
	all.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_agents_waiting",
			Help: "Agents that wait for an instruction now."}, func() float64 { return float64(a.registry.Polling()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_sightings_dropped_total",
			Help: "Steps of boots that were not kept for a timeline."}, func() float64 { return float64(a.registry.Dropped()) }),
	)
	for _, b := range a.boot {
		b.register(all)
	}
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

// register adds what one interface's boot services count.
func (b *bootServer) register(all *prometheus.Registry) {
	for _, outcome := range dhcp.Outcomes() {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "dragonfly_dhcp_packets_total", Help: "DHCP packets by what became of them.",
			ConstLabels: prometheus.Labels{"interface": b.on, "outcome": outcome.String()},
		}, func() float64 { return float64(b.dhcp.Stats.Count(outcome)) }))
	}
	for outcome, count := range map[string]*atomic.Uint64{"sent": &b.tftp.Stats.Sent, "probed": &b.tftp.Stats.Probed,
		"refused": &b.tftp.Stats.Refused, "failed": &b.tftp.Stats.Failed} {
		all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "dragonfly_tftp_transfers_total", Help: "TFTP transfers by what became of them.",
			ConstLabels: prometheus.Labels{"interface": b.on, "outcome": outcome},
		}, func() float64 { return float64(count.Load()) }))
	}
}
