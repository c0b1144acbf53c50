package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/go-chi/httprate"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"dragonfly/images/tink"
	"dragonfly/images/tink/listen"
	"dragonfly/registry"
	"dragonfly/ui"
)

func tinkListenFlags(flags *pflag.FlagSet) {
	flags.String("tink-listen", "", "`address` to serve the protocol of Tink server on, such as :42113: a machine that boots HookOS, or the agent image as a worker, gets the deployment of the built-in engine that waits for it. Plain HTTP/2; a worker is known by its address on the network (default: closed)")
}

func checkTinkListen(addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	_, errHost := netip.ParseAddr(host)
	if _, errPort := strconv.ParseUint(port, 10, 16); err != nil || errPort != nil || host != "" && errHost != nil {
		return fmt.Errorf("tink-listen %.80q: want an address and a port, such as 10.0.0.2:42113, or :42113 for every address", addr)
	}
	return nil
}

// listenTink binds the port of Tink server's protocol; nil where it is not to be served.
func listenTink(addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	host, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	return listenTCP(host, port)
}

// What one address may do there: a worker needs one connection, and a handful of calls
// for an action.
const (
	workerConns     = 16
	allWorkerConns  = 2048
	workerCalls     = 600 // a minute
	workerCallsWait = 10 * time.Second
)

// tinkListener is Tink server's protocol as it is served.
type tinkListener struct {
	handler *tink.Handler
	crowd   *crowd
	limit   *httprate.RateLimiter // by peer
	calls   *prometheus.CounterVec
}

func newTinkListener(a *appliance) *tinkListener {
	t := &tinkListener{
		crowd: &crowd{total: allWorkerConns, each: workerConns, by: map[netip.Addr]int{}},
		limit: httprate.NewRateLimiter(workerCalls, time.Minute, httprate.WithResponseHeaders(httprate.ResponseHeaders{})),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dragonfly_tink_calls_total",
			Help: "Calls by Tink server's protocol, by what they were answered."}, []string{"method", "code"}),
	}
	t.handler = &tink.Handler{Service: listen.New(a.registry, a.log), Observe: t.observe}
	return t
}

func (t *tinkListener) observe(method string, code tink.Code) {
	t.calls.WithLabelValues(method, code.String()).Inc()
}

func (t *tinkListener) server() *http.Server {
	s := tink.NewServer(hurried(workerCallsWait, http.HandlerFunc(t.serve)))
	s.ConnState = t.crowd.watch
	s.WriteTimeout = time.Minute
	return s
}

// serve answers those that do not ask too often.
func (t *tinkListener) serve(w http.ResponseWriter, r *http.Request) {
	key, err := peer(r)
	if err == nil && t.limit.OnLimit(w, r, key) {
		t.observe("", tink.ResourceExhausted)
		tink.Refuse(w, &tink.Error{Code: tink.ResourceExhausted, Message: fmt.Sprintf("more than %d calls in a minute from one address; ask again later", workerCalls)})
		return
	}
	t.handler.ServeHTTP(w, r)
}

func (t *tinkListener) metrics() []prometheus.Collector {
	return []prometheus.Collector{t.calls,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_tink_connections",
			Help: "Open connections of workers."}, func() float64 { return float64(t.crowd.Open()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_tink_connections_refused_total",
			Help: "Connections of workers above the bounds."}, func() float64 { return float64(t.crowd.refused.Load()) }),
	}
}

// cardAt is the card at an address, as the kernel's neighbour table has it now: what is
// cached for timelines may be from before the peer came.
func cardAt(addr netip.Addr) registry.MAC { return readNeighbours()[addr.WithZone("")] }

// tinkCheck is how Tink server's protocol is served, for the page of the health.
func (a *appliance) tinkCheck() ui.Check {
	if a.ports.tink == nil {
		return ui.Check{Title: "Machines that boot HookOS", Off: true, Word: "not installed by Dragonfly: Tink server's protocol is not served; start with --tink-listen"}
	}
	c := ui.Check{Title: "Machines that boot HookOS", Good: true, Word: "given their deployments by Tink server's protocol"}
	c = with(c, "Address", a.ports.tink.Addr().String())
	return with(c, "Connections", strconv.Itoa(a.tink.crowd.Open()))
}
