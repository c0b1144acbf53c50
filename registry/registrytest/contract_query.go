package registrytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
)

func testEmpty(t *testing.T, s registry.Store) {
	wantEqual(t, "machines", len(find(t, s, registry.Query{})), 0)
	wantEqual(t, "named machines", len(find(t, s, registry.Query{Names: []string{"x"}})), 0)
	events, err := s.Events(t.Context(), 0, 10)
	if len(events) != 0 || err != nil {
		t.Errorf("events: %v, %v", events, err)
	}
	last, err := s.LastEvent(t.Context())
	if last != 0 || err != nil {
		t.Errorf("last event: %d, %v", last, err)
	}
	commit(t, s, registry.Change{Op: "nothing"})
}

func testRoundTrip(t *testing.T, s registry.Store) {
	bare := registry.Machine{ID: "m-bare", Name: "a bare one", State: registry.Ready}
	commit(t, s, registry.Change{Op: "1", Put: []registry.Machine{full(), bare}})
	bare.Version = 1
	want := full()
	want.Version = 1
	wantEqual(t, "machines", find(t, s, registry.Query{}), []registry.Machine{bare, want})

	want.Hardware, want.MACs, want.Reason = registry.Hardware{}, nil, ""
	commit(t, s, registry.Change{Op: "2", Put: []registry.Machine{want}})
	want.Version = 2
	wantEqual(t, "machine after it was emptied", get(t, s, 1), want)
	wantEqual(t, "latest machine", find(t, s, registry.Query{IDs: []string{want.ID, "m-none"}, Latest: true}), []registry.Machine{want})
	if _, err := s.Machines(t.Context(), registry.Query{Filter: registry.Filter{{}}, Latest: true}); err == nil {
		t.Error("a filter of the latest is taken")
	}

	versions, err := s.Versions(t.Context(), []string{want.ID, bare.ID, "m-none"})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "versions", versions, map[string]int64{want.ID: 2, bare.ID: 1})
}

// texts are strings that some layer between here and the disk might change.
var texts = [...]string{
	"Grüße, 世界 🪰 \u00a0\u2028", `<script>alert("&amp;")</script>`, `Robert'); DROP TABLE machines;--`,
	`back\slash "quotes" 'and' ` + "`more`", "tab\tline\nreturn\rbell\a\x01\x1f\x7f", "x'4142'", " X'' ",
	"?1", "null", "true", "12345678901234567890", "0x10", "1e400", "2026-11-23T12:00:00Z", `{"a":[1]}`, "%_*", "random()",
}

func testText(t *testing.T, s registry.Store) {
	for i, text := range texts {
		m := machine(i)
		m.ID, m.Name, m.Reason, m.Hostname, m.State = "m-"+text, text, text, text, registry.State(text)
		m.Hardware.System = registry.System{Vendor: text, Serial: text, UUID: text}
		event := registry.Event{At: noon(), Kind: registry.Kind(text), Machine: text, Message: text}
		commit(t, s, registry.Change{Op: text, Put: []registry.Machine{m}, Events: []registry.Event{event}})
		m.Version, event.Seq = 1, int64(i+1)
		for _, q := range []registry.Query{
			{IDs: []string{m.ID}}, {Names: []string{text}}, {Serial: text}, {UUID: text},
		} {
			wantEqual(t, fmt.Sprintf("machine by %+v", q), find(t, s, q), []registry.Machine{m})
		}
		events, err := s.Events(t.Context(), int64(i), 1)
		wantEqual(t, "error", err, nil)
		wantEqual(t, "events", events, []registry.Event{event})
	}
}

// in is the filter for machines in a state.
func in(state registry.State) registry.Filter {
	return registry.Filter{{Field: registry.FieldState, Values: []string{string(state)}}}
}

func testQuery(t *testing.T, s registry.Store) {
	create(t, s, 1, 6)
	ready := get(t, s, 2)
	ready.State = registry.Ready
	commit(t, s, registry.Change{Op: "ready", Put: []registry.Machine{ready}})
	id := func(n int) string { return machine(n).ID }
	for _, c := range []struct {
		q    registry.Query
		want string
	}{
		{registry.Query{}, "001 002 003 004 005 006"},
		{registry.Query{IDs: []string{id(5), id(2), "m-none"}}, "002 005"},
		{registry.Query{Names: []string{"name-003", "name-001", "NAME-002"}}, "001 003"},
		{registry.Query{MACs: []registry.MAC{mac(6), mac(1), mac(99)}}, "001 006"},
		{registry.Query{UUID: "uuid-4"}, "004"},
		{registry.Query{UUID: "UUID-4"}, ""},
		{registry.Query{Serial: "serial-3"}, "003"},
		{registry.Query{IDs: []string{id(1)}, Names: []string{"name-002"}, MACs: []registry.MAC{mac(3)}, UUID: "uuid-4", Serial: "serial-5"}, "001 002 003 004 005"},
		{registry.Query{IDs: []string{id(1)}, MACs: []registry.MAC{mac(1)}, UUID: "uuid-1"}, "001"},
		{registry.Query{Filter: in(registry.Ready)}, "002"},
		{registry.Query{Filter: in(registry.Ready), IDs: []string{id(1), id(2)}}, "002"},
		{registry.Query{Filter: in(registry.Retired), Serial: "serial-1"}, ""},
		{registry.Query{After: registry.Position{Key: "name-004"}}, "005 006"},
		{registry.Query{After: registry.Position{Key: "name-0"}}, "001 002 003 004 005 006"},
		{registry.Query{After: registry.Position{Key: "name-003"}, IDs: []string{id(1), id(5)}, Limit: 1}, "005"},
		{registry.Query{Filter: in(registry.Discovered), After: registry.Position{Key: "name-001"}, Limit: 2}, "003 004"},
		{registry.Query{IDs: []string{}, Names: []string{}, MACs: []registry.MAC{}, Limit: 1}, "001"},
	} {
		wantEqual(t, fmt.Sprintf("%+v", c.q), names(t, s, c.q), c.want)
	}
}

func testPaging(t *testing.T, s registry.Store) {
	c := registry.Change{Op: "create"}
	for i, name := range []string{"b", "a", "B", "é", "a b", "aa", "Z", "~"} {
		m := machine(i)
		m.Name = name
		c.Put = append(c.Put, m)
	}
	commit(t, s, c)
	var seen []string
	for q := (registry.Query{Limit: 3}); ; {
		page := find(t, s, q)
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			seen = append(seen, m.Name)
		}
		q.After = q.Sort.Position(page[len(page)-1])
	}
	wantEqual(t, "names, by their bytes", seen, []string{"B", "Z", "a", "a b", "aa", "b", "~", "é"})
}

func testMany(t *testing.T, s registry.Store) {
	const count = 1203
	create(t, s, 1, count)
	for limit, want := range map[int]int{0: count, 1: 1, 500: 500, 501: 501, count: count, 5000: count} {
		found := find(t, s, registry.Query{Limit: limit})
		wantEqual(t, fmt.Sprintf("machines with limit %d", limit), len(found), want)
	}
	inOrder := slices.IsSortedFunc(find(t, s, registry.Query{}), func(a, b registry.Machine) int {
		return strings.Compare(a.Name, b.Name)
	})
	wantEqual(t, "in order", inOrder, true)
}

func testEnded(t *testing.T, s registry.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Machines(ctx, registry.Query{}); err == nil {
		t.Error("Machines ignores its context")
	}
	if err := s.Commit(ctx, registry.Change{Op: "1"}); err == nil {
		t.Error("Commit ignores its context")
	}
	if _, err := s.Events(ctx, 0, 1); err == nil {
		t.Error("Events ignores its context")
	}
}
