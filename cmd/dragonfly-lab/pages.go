package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"time"

	"dragonfly/registry"
)

// The promises to whoever waits for an answer.
const (
	pageLimit    = 20 * time.Millisecond
	machineLimit = 2 * time.Millisecond
	bootLimit99  = 2 * time.Millisecond
	pageBytes    = 100 // KiB of a page of the list, before it is compressed
)

// question is something that is asked over and over.
type question struct {
	name  string
	limit time.Duration
	path  func() string
	page  bool // asked by a person
	empty bool // nothing may be found
}

func same(path string) func() string { return func() string { return path } }

func listed(query ...string) func() string {
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return same("/api/v1/machines?" + values.Encode())
}

// partOf is what is searched for as part of a name: it begins after the second
// character and has six, or as many as a short name has.
func partOf(name string) string { return name[min(2, len(name)):min(8, len(name))] }

// any is one of the machines.
func (b *bench) any() registry.Machine { return b.fleet[rand.N(len(b.fleet))] }

func (b *bench) questions() []question {
	found := func(name string, filter func(registry.Machine) string) question {
		return question{name: name, limit: pageLimit, path: func() string { return listed("filter", filter(b.any()))() }}
	}
	byID := func(rest string) func() string {
		return func() string { return "/api/v1/machines/" + b.any().ID + rest }
	}
	return []question{
		{name: "UI: list, first page", limit: pageLimit, path: same("/machines"), page: true},
		{name: "UI: list, any page", limit: pageLimit, path: func() string { return "/machines?after=" + b.any().Name }, page: true},
		{name: "API: list, first page of 100", limit: pageLimit, path: listed()},
		{name: "API: list, newest first", limit: pageLimit, path: listed("sort", "-registered")},
		{name: "API: list, by model", limit: pageLimit, path: listed("sort", "model")},
		{name: "API: filter state:failed", limit: pageLimit, path: listed("filter", "state:failed")},
		{name: "API: filter state:installed, by model", limit: pageLimit, path: listed("filter", "state:installed", "sort", "model")},
		{name: "API: filter vendor:hpe", limit: pageLimit, path: listed("filter", "vendor:hpe")},
		{name: "API: filter tag:gpu state:ready", limit: pageLimit, path: listed("filter", "tag:gpu state:ready")},
		{name: "API: filter tag:gpu -tag:prod, newest", limit: pageLimit, path: listed("filter", "tag:gpu -tag:prod", "sort", "-registered")},
		found("API: filter label.rack", func(m registry.Machine) string { return "label.rack:" + m.Labels["rack"] }),
		found("API: filter owner", func(m registry.Machine) string { return "owner:" + m.Owner }),
		{name: "API: filter model:~poweredge", limit: pageLimit, path: listed("filter", "model:~poweredge")},
		{name: "API: filter model:~nothing", limit: pageLimit, path: listed("filter", "model:~nothing"), empty: true},
		{name: "API: filter host:~.fra2. online:no", limit: pageLimit, path: listed("filter", "host:~.fra2. online:no")},
		{name: "API: filter host:~-000042.", limit: pageLimit, path: listed("filter", "host:~-000042.")},
		{name: "API: filter vendor:~nothing", limit: pageLimit, path: listed("filter", "vendor:~nothing"), empty: true},
		{name: "API: filter label.rack:~nothing", limit: pageLimit, path: listed("filter", "label.rack:~nothing"), empty: true},
		{name: "API: filter -state:installed,ready,failed,retired", limit: pageLimit, path: listed("filter", "-state:installed,ready,failed,retired"), empty: true},
		{name: "API: filter -tag:prod -tag:stage", limit: pageLimit, path: listed("filter", "-tag:prod -tag:stage"), empty: true},
		{name: "API: filter arch:arm64", limit: pageLimit, path: listed("filter", "arch:arm64")},
		found("API: filter mac", func(m registry.Machine) string { return "mac:" + m.BootMAC().String() }),
		found("API: search, part of an address", func(m registry.Machine) string { return m.BootMAC().String()[6:] }),
		found("API: search, part of a name", func(m registry.Machine) string { return partOf(m.Name) }),
		{name: "API: search, many: poweredge", limit: pageLimit, path: listed("filter", "poweredge")},
		{name: "API: search, many and a state", limit: pageLimit, path: listed("filter", "proliant state:failed")},
		{name: "API: filter vendor:hpe poweredge", limit: pageLimit, path: listed("filter", "vendor:hpe poweredge"), empty: true},
		{name: "API: filter state:ready tag:gpu tag:storage", limit: pageLimit, path: listed("filter", "state:ready tag:gpu tag:storage"), empty: true},
		{name: "API: search, two characters: r6", limit: pageLimit, path: listed("filter", "r6")},
		{name: "API: search, two characters: zq", limit: pageLimit, path: listed("filter", "zq"), empty: true},
		{name: "API: search, nothing found", limit: pageLimit, path: listed("filter", "no such text"), empty: true},
		{name: "API: machine by ID", limit: machineLimit, path: byID("")},
		{name: "API: machine by name", limit: machineLimit, path: func() string { return "/api/v1/machines/" + b.any().Name }},
		{name: "API: timeline", limit: pageLimit, path: byID("/timeline")},
		{name: "API: history", limit: pageLimit, path: byID("/history")},
	}
}

// pages asks every question, one at a time.
func (b *bench) pages(ctx context.Context, s *subject) error {
	first, size, err := s.ask(ctx, question{path: same("/machines"), page: true})
	if err != nil {
		return err
	}
	b.add(plain("UI: list, the first time", first.Seconds(), noLimit, "s"), plain("UI: list, size of a page", float64(size)/1024, pageBytes, "KiB"))
	for _, q := range b.questions() {
		if b.UI && !q.page {
			continue
		}
		if err := b.askAgain(ctx, s, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// warmUp is how often a question is asked before it counts.
const warmUp = 5

func (b *bench) askAgain(ctx context.Context, s *subject, q question) error {
	runtime.GC() // now, and not beside the server, whose time is measured
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var took []time.Duration
	var before time.Duration
	rounds := b.Rounds
	if q.limit <= machineLimit { // one collection of garbage holds up a dozen of these, which is more than are above the p99 of 500
		rounds *= 4
	}
	for i := range rounds + warmUp {
		if i == warmUp {
			cpu, err := cpuTime(s.pid())
			if err != nil {
				return err
			}
			took, before = nil, cpu
		}
		d, _, err := s.ask(ctx, q)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	after, err := cpuTime(s.pid())
	b.add(timed(q.name, took, after-before, q.limit))
	return err
}

// ask asks once, and returns how long that took to the last byte, and how many
// there were.
func (s *subject) ask(ctx context.Context, q question) (time.Duration, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+q.path(), nil)
	if err != nil {
		return 0, 0, err
	}
	client := http.DefaultClient
	if q.page {
		client = s.viewer
		req.Header.Set("Accept-Encoding", "identity")
	} else {
		req.Header.Set("Authorization", "Bearer "+s.client.Token)
	}
	begin := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	took := time.Since(begin)
	if err != nil {
		return took, len(body), err
	}
	if resp.StatusCode != http.StatusOK {
		return took, len(body), fmt.Errorf("GET %s: %s: %.200s", req.URL.Path, resp.Status, body)
	}
	return took, len(body), checkFound(q, body)
}

// checkFound makes sure that a list has what it is to have: an empty answer is
// quick.
func checkFound(q question, body []byte) error {
	var list struct{ Machines *[]json.RawMessage }
	if q.page || json.Unmarshal(body, &list) != nil || list.Machines == nil {
		return nil
	}
	if found := len(*list.Machines); (found == 0) != q.empty {
		return fmt.Errorf("%s: %d machines found", q.path(), found)
	}
	return nil
}

// boots asks for the script of known machines, which is answered from memory.
func (b *bench) boots(ctx context.Context, s *subject) error {
	return b.askAgain(ctx, s, question{name: "boot script of a known machine", limit: bootLimit99, path: b.bootScript})
}

func (b *bench) bootScript() string {
	return "/boot/" + b.any().BootMAC().String() + "/auto.ipxe?arch=uefi-x64"
}
