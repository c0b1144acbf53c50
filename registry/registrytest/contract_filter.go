package registrytest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"dragonfly/registry"
)

// words are values that machines have and filters ask for, in several cases and
// with what means something to SQL, to its full text search and to JSON.
var words = [...]string{"", "a", "ab", "abc", "ABC", "Abcd", "xabcx", "é", "École", "éCOLE", "x'4142'", `"`, `a"b"c`, "a*b", "NEAR(a b)",
	"%", "_", "a b c", "m-000000000001", "192.0.2.1", "2001:db8::7", "52:54:00", "yes", "no", "-", "'; DROP TABLE machines;--", "AND OR NOT"}

func word(r *rand.Rand) string { return words[r.IntN(len(words))] }

// some is up to n words, each once.
func some(r *rand.Rand, n int) (list []string) {
	for range r.IntN(n + 1) {
		list = append(list, word(r))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// anyMachine is the n-th machine, with everything else by chance.
func anyMachine(r *rand.Rand, n int) registry.Machine {
	m := machine(n)
	m.State = registry.States()[r.IntN(len(registry.States()))]
	m.Hostname, m.Owner, m.Note, m.OS, m.Tags = word(r), word(r), word(r), word(r), some(r, 3)
	m.Hardware.System = registry.System{Vendor: word(r), Product: word(r), Serial: word(r), UUID: word(r)}
	m.Hardware.CPU.Arch = word(r)
	for _, key := range some(r, 3) {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[key] = word(r)
	}
	if r.IntN(2) == 0 {
		m.Address = netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(4))})
		m.Hardware.BMC = &registry.BMC{Address: netip.MustParseAddr("2001:db8::7")}
	}
	if r.IntN(3) == 0 {
		m.Lock = &registry.Lock{By: word(r), At: noon()}
	}
	if r.IntN(2) == 0 {
		m.SeenAt = noon().Add(-time.Duration(r.IntN(90_000)) * time.Millisecond)
	}
	m.CreatedAt = noon().Add(time.Duration(r.IntN(3)) * time.Second)
	return m
}

func anyFilter(r *rand.Rand) (f registry.Filter) {
	fields := append(registry.Fields(), registry.FieldAny)
	for range r.IntN(4) {
		t := registry.Term{Field: fields[r.IntN(len(fields))], Part: r.IntN(2) == 0, Not: r.IntN(3) == 0, Values: append(some(r, 2), word(r))}
		switch t.Field {
		case registry.FieldAny:
			t.Part = true
		case registry.FieldLabel:
			t.Key = word(r)
		case registry.FieldState:
			t.Values = append(t.Values, string(registry.Ready), "INSTALLED")
		case registry.FieldMAC:
			t.Values = append(t.Values, mac(3).String())
		}
		f = append(f, t)
	}
	return f
}

// testFilter asks a store and [registry.Filter.Match] the same questions.
func testFilter(t *testing.T, s registry.Store) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []registry.Machine
	for round := range 2 { // the second round changes what the first has stored
		c := registry.Change{Op: fmt.Sprint("round ", round)}
		for i := range 60 {
			m := anyMachine(r, i)
			m.Version = int64(round)
			c.Put = append(c.Put, m)
		}
		commit(t, s, c)
	}
	all = find(t, s, registry.Query{})
	sorts := []registry.SortField{registry.SortName, registry.SortState, registry.SortVendor, registry.SortModel, registry.SortCreated, registry.SortRegistered}
	for range 300 {
		q := registry.Query{Filter: anyFilter(r), Now: noon(), Sort: registry.Sort{Field: sorts[r.IntN(len(sorts))], Desc: r.IntN(2) == 0}}
		var want []registry.Machine
		for _, m := range all {
			if q.Filter.Match(m, q.Now) {
				want = append(want, m)
			}
		}
		slices.SortFunc(want, func(a, b registry.Machine) int { return q.Sort.Compare(q.Sort.Position(a), q.Sort.Position(b)) })
		q.Limit = 7
		var got []registry.Machine
		for {
			page := find(t, s, q)
			got = append(got, page...)
			if len(page) < q.Limit {
				break
			}
			q.After = q.Sort.Position(page[len(page)-1])
		}
		wantEqual(t, fmt.Sprintf("%+v", q), places(q.Sort, got), places(q.Sort, want))
	}
}

// testTally asks a store and [registry.TallyBy.Of] the same questions.
func testTally(t *testing.T, s registry.Store) {
	r := rand.New(rand.NewPCG(3, 4))
	c := registry.Change{Op: "1"}
	for i := range 60 {
		c.Put = append(c.Put, anyMachine(r, i))
	}
	commit(t, s, c)
	all := find(t, s, registry.Query{})
	for i := range 300 {
		fields := append(registry.TallyFields(), registry.FieldAny)
		by := registry.TallyBy{Field: fields[i%len(fields)], Limit: r.IntN(3) * 4}
		if r.IntN(2) == 0 {
			by.Key = word(r)
		}
		if r.IntN(3) == 0 && by.Field != registry.FieldAny {
			by.Part = word(r)
		}
		q := registry.Query{Filter: anyFilter(r), Now: noon()}
		var matching []registry.Machine
		for _, m := range all {
			if q.Filter.Match(m, q.Now) {
				matching = append(matching, m)
			}
		}
		got, err := s.Tally(t.Context(), q, by)
		if err != nil {
			t.Fatalf("%+v: %v", by, err)
		}
		wantEqual(t, fmt.Sprintf("%+v of %+v", by, q.Filter), got, by.Of(matching, q.Now))
	}
	if found, err := s.Tally(t.Context(), registry.Query{}, registry.TallyBy{Field: registry.FieldMAC}); err == nil {
		t.Errorf("counted by a field that machines do not share: %v", found)
	}
}

// places is where the machines stand.
func places(s registry.Sort, machines []registry.Machine) []registry.Position {
	list := make([]registry.Position, 0, len(machines))
	for _, m := range machines {
		list = append(list, s.Position(m))
	}
	return list
}

func testUnknownField(t *testing.T, s registry.Store) {
	for _, q := range []registry.Query{
		{Filter: registry.Filter{{Field: "no such", Values: []string{"x"}}}},
		{Sort: registry.Sort{Field: "no such"}},
	} {
		if found, err := s.Machines(t.Context(), q); err == nil {
			t.Errorf("%+v: found %d and no error", q, len(found))
		}
	}
}

func testBrief(t *testing.T, s registry.Store) {
	commit(t, s, registry.Change{Op: "1", Put: []registry.Machine{full()}})
	want := full()
	want.Version, want.Hardware = 1, want.Hardware.Brief()
	wantEqual(t, "brief machine", find(t, s, registry.Query{Brief: true}), []registry.Machine{want})
	wantEqual(t, "bare machine", find(t, s, registry.Query{Bare: true}), []registry.Machine{want.Bare()})
}

func testRecords(t *testing.T, s registry.Store) {
	create(t, s, 1, 2)
	for i := range 60 {
		m := machine(1)
		m.Hardware.Memory.Bytes = int64(i)
		commit(t, s, registry.Change{Op: fmt.Sprint("history ", i),
			History: []registry.HardwareRecord{{Machine: m.ID, At: noon().Add(time.Duration(i) * time.Second), Hardware: m.Hardware}},
			Events:  []registry.Event{{At: noon(), Machine: m.ID, Kind: registry.MachineBoot, Message: fmt.Sprint(i)}, {At: noon(), Machine: machine(2).ID}},
			Audit: []registry.AuditEntry{{At: noon(), Actor: registry.Actor{Name: "ana", Role: "admin", From: "192.0.2.1"},
				Action: "machine.edit", Object: m.ID, Before: []byte(`{"name":"a"}`), After: []byte(`{"name":"x'4142'"}`)}, {At: noon(), Object: "other"}}})
	}
	history, err := s.History(t.Context(), machine(1).ID, 100)
	if err != nil || len(history) != 50 || history[0].Hardware.Memory.Bytes != 59 || history[49].Hardware.Memory.Bytes != 10 ||
		!history[0].At.Equal(noon().Add(59*time.Second)) {
		t.Errorf("history: %d records, first and last %+v, %v", len(history), history[:min(1, len(history))], err)
	}
	timeline, err := s.Timeline(t.Context(), machine(1).ID, 0, 2)
	if err != nil || len(timeline) != 2 || timeline[0].Message != "59" || timeline[1].Message != "58" {
		t.Fatalf("timeline: %+v, %v", timeline, err)
	}
	timeline, err = s.Timeline(t.Context(), machine(1).ID, timeline[1].Seq, 1)
	if err != nil || len(timeline) != 1 || timeline[0].Message != "57" {
		t.Errorf("timeline, older: %+v, %v", timeline, err)
	}
	audit, err := s.Audit(t.Context(), machine(1).ID, 0, 1)
	want := []registry.AuditEntry{{Seq: 119, At: noon(), Actor: registry.Actor{Name: "ana", Role: "admin", From: "192.0.2.1"},
		Action: "machine.edit", Object: machine(1).ID, Before: []byte(`{"name":"a"}`), After: []byte(`{"name":"x'4142'"}`)}}
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "audit", audit, want)
	all, err := s.Audit(t.Context(), "", 3, 10)
	if err != nil || len(all) != 2 || all[0].Object != "other" || all[0].Before != nil || all[1].Seq != 1 {
		t.Errorf("audit of all: %+v, %v", all, err)
	}
}

// The record of what a machine has now is the newest; what is written without one
// does not change what was recorded.
func testHistoryOfPut(t *testing.T, s registry.Store) {
	m := machine(1)
	put := func(version, memory, minute int64, recorded bool) {
		m.Version, m.Hardware.Memory.Bytes = version, memory
		c := registry.Change{Op: fmt.Sprint("put ", version), Put: []registry.Machine{m}}
		if recorded {
			c.History = []registry.HardwareRecord{{Machine: m.ID, At: noon().Add(time.Duration(minute) * time.Minute), Hardware: m.Hardware}}
		}
		commit(t, s, c)
	}
	want := func(what string, memories ...int64) {
		t.Helper()
		history, err := s.History(t.Context(), m.ID, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, r := range history {
			got = append(got, r.Hardware.Memory.Bytes)
		}
		wantEqual(t, what, got, memories)
	}
	put(0, 1, 0, true)
	put(1, 1, 1, false)
	want("after the same hardware", 1)
	put(2, 2, 2, false)
	put(3, 3, 3, true)
	want("after hardware that was not recorded, and one that was", 3, 1)
	put(4, 3, 4, true)
	want("after the same hardware was recorded again", 3, 3, 1)
	commit(t, s, registry.Change{Op: "loose", History: []registry.HardwareRecord{{Machine: m.ID, At: noon().Add(5 * time.Minute), Hardware: registry.Hardware{Memory: registry.Memory{Bytes: 5}}}}})
	want("after a record alone", 5, 3, 3, 1)
	put(5, 6, 6, true)
	want("after that", 6, 5, 3, 3, 1)
	commit(t, s, registry.Change{Op: "delete", Delete: []registry.Machine{{ID: m.ID, Version: 6}}})
	want("after the machine was deleted")
}

func testRules(t *testing.T, s registry.Store) {
	rules := registry.RuleSet{Rules: []registry.Rule{{Name: "gpu", Match: registry.RuleMatch{Vendor: "Acme", BMC: new(true)},
		Set: registry.RuleSetTo{Tags: []string{"gpu"}, Labels: map[string]string{"rack": "x'4142'"}}}}}
	if got, err := s.Rules(t.Context()); err != nil || got.Version != 0 || got.Rules != nil {
		t.Errorf("rules before any: %+v, %v", got, err)
	}
	commit(t, s, registry.Change{Op: "1", Rules: &rules})
	want := rules
	want.Version = 1
	got, err := s.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "rules", got, want)
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "2", Rules: &rules}), "rules")
	commit(t, s, registry.Change{Op: "3", Rules: &registry.RuleSet{Version: 1}})
	if got, err := s.Rules(t.Context()); err != nil || got.Version != 2 || len(got.Rules) != 0 {
		t.Errorf("rules after all were taken out: %+v, %v", got, err)
	}
}

func testDefaults(t *testing.T, s registry.Store) {
	if got, err := s.Defaults(t.Context()); err != nil || got != (registry.SealedDefaults{}) {
		t.Errorf("defaults before any: %+v, %v", got, err)
	}
	sealed := registry.SealedDefaults{Sealed: "v1:x'41'\"\\ü"}
	commit(t, s, registry.Change{Op: "1", Defaults: &sealed, Rules: &registry.RuleSet{}})
	want := registry.SealedDefaults{Version: 1, Sealed: sealed.Sealed}
	if got, err := s.Defaults(t.Context()); err != nil || got != want {
		t.Errorf("defaults %+v, %v", got, err)
	}
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "2", Defaults: &sealed}), "defaults")
	commit(t, s, registry.Change{Op: "3", Defaults: &registry.SealedDefaults{Version: 1, Sealed: "other"}})
	if got, err := s.Defaults(t.Context()); err != nil || got.Version != 2 || got.Sealed != "other" {
		t.Errorf("defaults after they were replaced: %+v, %v", got, err)
	}
}

func testRulesRace(t *testing.T, s registry.Store) {
	errs := race(func(i int) error {
		rules := registry.RuleSet{Rules: []registry.Rule{{Name: fmt.Sprintf("racer-%d", i)}}}
		return s.Commit(t.Context(), registry.Change{Op: fmt.Sprint("race ", i), Rules: &rules})
	})
	won := -1
	for i, err := range errs {
		if err == nil && won < 0 {
			won = i
			continue
		}
		wantConflict(t, err, "rules")
	}
	got, err := s.Rules(t.Context())
	if err != nil || got.Version != 1 || len(got.Rules) != 1 || got.Rules[0].Name != fmt.Sprintf("racer-%d", won) {
		t.Errorf("rules %+v, %v; racer %d won", got, err, won)
	}
}
