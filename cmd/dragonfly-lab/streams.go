package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// The promises to viewers.
const (
	naiveShare  = 0.2 // of the CPU that a server takes which writes each event to each viewer
	stalledCost = 64  // KiB of a viewer that reads nothing
	stalledMost = 100 // of them
)

// viewers measures what many viewers cost at a steady rate of events: beside what
// the events cost without them, and beside a server that writes to each of them at
// once. Each viewer breaks off once and resumes.
func (b *bench) viewers(ctx context.Context, s *subject) error {
	base, err := b.costOf(ctx, s, nil)
	if err != nil {
		return err
	}
	all := newAudience(b.Clients, s.url+"/api/v1/events", s.client.Token, 0)
	cost, err := b.costOf(ctx, s, all)
	if err != nil {
		return err
	}
	naive, err := b.naive(ctx)
	if err != nil {
		return err
	}
	lost, again, events := all.total(func(v *viewer) int { return v.lost + v.told }), all.total(func(v *viewer) int { return v.again }), all.total(func(v *viewer) int { return v.events })
	if events == 0 {
		return errors.New("no event reached a viewer")
	}
	ours := (cost - base).Seconds() / float64(events)
	name := fmt.Sprintf("%d viewers, %d events/s: ", b.Clients, b.Rate)
	b.add(plain(name+"CPU of the events alone", base.Seconds(), noLimit, "s"),
		plain(name+"CPU of the viewers", (cost-base).Seconds(), noLimit, "s"),
		plain(name+"CPU of a delivery", ours*1e6, noLimit, "µs"),
		plain(name+"CPU of a delivery that is a write of its own", naive*1e6, noLimit, "µs"),
		plain(name+"share of that", ours/naive, naiveShare, ""),
		plain(name+"delivered", float64(events), noLimit, "events"),
		plain(name+"lost", float64(lost), 0, "events"),
		plain(name+"delivered twice", float64(again), 0, "events"))
	return nil
}

// costOf is the CPU of the appliance while events happen and the audience follows.
func (b *bench) costOf(ctx context.Context, s *subject, all audience) (time.Duration, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watching := make(chan error, 1)
	time.AfterFunc(connectTime+b.time(), stop)
	go func() { watching <- all.follow(ctx, connectTime+b.time()) }()
	time.Sleep(connectTime)
	before, err := cpuTime(s.pid())
	if err != nil {
		return 0, err
	}
	if err := b.happen(ctx, s, b.Rate); err != nil {
		return 0, err
	}
	after, err := cpuTime(s.pid())
	return after - before, errors.Join(err, <-watching)
}

// connectTime is for all viewers to connect.
const connectTime = 2 * time.Second

func (b *bench) time() time.Duration { return time.Duration(b.Seconds) * time.Second }

// naive is the CPU, in seconds, of each delivery of a server that encodes and writes
// each event for each viewer, as soon as it happens.
func (b *bench) naive(ctx context.Context) (seconds float64, err error) {
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p, err := start("the naive server", os.Stderr, self, "naive", address, strconv.Itoa(b.Rate))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop(stopGrace)) }()
	ctx, stop := context.WithTimeout(ctx, connectTime+b.time())
	defer stop()
	if err := poll(ctx, func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	}); err != nil {
		return 0, err
	}
	all := newAudience(b.Clients, "http://"+address+"/", "", 0)
	if err := all.follow(ctx, connectTime+b.time()); err != nil {
		return 0, err
	}
	cpu, err := cpuTime(p.cmd.Process.Pid)
	return cpu.Seconds() / float64(max(1, all.total(func(v *viewer) int { return v.events }))), err
}

// naiveCommand is the other server of [bench.naive], as a process of its own.
func naiveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "naive ADDRESS RATE", Hidden: true, Args: cobra.ExactArgs(2),
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			rate, err := strconv.Atoi(args[1])
			if err != nil || rate < 1 {
				return fmt.Errorf("rate %q: want a number above 0", args[1])
			}
			h := &hub{}
			go h.run(cmd.Context(), rate)
			server := &http.Server{Addr: args[0], Handler: h, ReadHeaderTimeout: 10 * time.Second}
			context.AfterFunc(cmd.Context(), func() { server.Close() })
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
}

// hub hands each event to each stream, over a channel each: the way it is done in
// most tutorials.
type hub struct {
	mu      sync.Mutex
	streams map[chan api.Event]bool
}

func (h *hub) run(ctx context.Context, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := int64(1); ctx.Err() == nil; n++ {
		now := <-tick.C
		e := api.Event{ID: n, At: now, Kind: registry.MachineBoot, Machine: "m-0123456789ab", MAC: registry.MAC{0xb0, 0x7b, 0x25, 1, 2, 3},
			Message: "script: the machine is installed: its own disk"}
		h.mu.Lock()
		for stream := range h.streams {
			select {
			case stream <- e:
			default: // it does not keep up
			}
		}
		h.mu.Unlock()
	}
}

// ServeHTTP is one stream.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events := make(chan api.Event, 64)
	h.mu.Lock()
	if h.streams == nil {
		h.streams = map[chan api.Event]bool{}
	}
	h.streams[events] = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.streams, events)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for out.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			text, err := json.Marshal(e)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, text)
		}
	}
}

// stalled measures what a viewer costs that takes nothing, until it is cut off,
// and whether it has everything once it reads again.
func (b *bench) stalled(ctx context.Context, s *subject) error {
	n := min(stalledMost, b.Clients)
	all := newAudience(n, s.url+"/api/v1/events", s.client.Token, 4096)
	bodies := make([]*http.Response, 0, n)
	defer func() {
		for _, resp := range bodies {
			resp.Body.Close()
		}
	}()
	_, before, err := b.flood(ctx, s, func() (int, error) { return 0, nil })
	if err != nil {
		return err
	}
	streaming, stop := context.WithTimeout(ctx, 2*floodTime)
	defer stop()
	for _, v := range all {
		resp, err := v.open(streaming)
		if err != nil {
			return err
		}
		bodies = append(bodies, resp)
	}
	queued, after, err := b.flood(ctx, s, func() (int, error) { return sendQueue(s.url) })
	if err != nil {
		return err
	}
	for i, v := range all {
		v.read(bodies[i].Body)
	}
	resumed, end := context.WithTimeout(ctx, 3*time.Second)
	defer end()
	if err := all.follow(resumed, time.Second); err != nil {
		return err
	}
	name := "viewers that stall: "
	b.add(plain(name+"most bytes queued for one", float64(queued)/1024, stalledCost, "KiB"),
		plain(name+"memory of the server for each", max(0, after-before)/1024/float64(n), stalledCost, "KiB"),
		plain(name+"lost without being told", float64(all.total(func(v *viewer) int { return v.lost })), 0, "events"),
		plain(name+"read when they came back", float64(all.total(func(v *viewer) int { return v.events })), noLimit, "events"))
	return nil
}

// floodTime is longer than a server waits for a viewer that takes nothing.
const floodTime = 15 * time.Second

// flood makes as many events as there can be for longer than a stalled viewer is
// waited for, and returns the most bytes that were queued in the kernel for one
// viewer, as queue has them, and what the server had in use at its least: between
// two collections of garbage, its memory says little.
func (b *bench) flood(ctx context.Context, s *subject, queue func() (int, error)) (queued int, inUse float64, err error) {
	ctx, stop := context.WithTimeout(ctx, floodTime)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- b.happen(ctx, s, 1000) }()
	for {
		select {
		case err := <-done:
			return queued, inUse, err
		case <-time.After(100 * time.Millisecond):
		}
		now, err := s.inUse(ctx)
		if ctx.Err() != nil {
			return queued, inUse, <-done
		}
		if err != nil {
			return queued, inUse, err
		}
		if inUse == 0 || now < inUse {
			inUse = now
		}
		most, err := queue()
		if err != nil {
			return queued, inUse, err
		}
		queued = max(queued, most)
	}
}

// inUse is the bytes of the server's heap and stacks, by its own account.
func (s *subject) inUse(ctx context.Context) (bytes float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.client.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != "go_memstats_heap_alloc_bytes" && name != "go_memstats_stack_inuse_bytes" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		bytes, found = bytes+n, found+1
	}
	if found != 2 {
		return 0, fmt.Errorf("the metrics have %d of the 2 lines about memory", found)
	}
	return bytes, nil
}

// sendQueue is the most bytes that wait in the kernel to be sent by one connection
// of the server at url (proc_net_tcp: the field before the colon of tx_queue:rx_queue).
func sendQueue(url string) (most int, err error) {
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	local := fmt.Sprintf(":%04X", n)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[1], local) {
			continue
		}
		tx, _, _ := strings.Cut(fields[4], ":")
		waiting, err := strconv.ParseInt(tx, 16, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/net/tcp: %q: %w", fields[4], err)
		}
		most = max(most, int(waiting))
	}
	return most, nil
}
