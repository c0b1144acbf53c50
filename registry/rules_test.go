package registry_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/registrytest"
)

// server is a registration with something for every rule to look at.
func server(last byte, serial string) registry.Registration {
	return registry.Registration{MAC: mac(last), MACs: []registry.MAC{mac(last), {2, 0, 0, 0, 0, last}}, Address: netip.MustParseAddr("192.0.2.7"),
		Hardware: registry.Hardware{System: registry.System{Vendor: "Dell Inc.", Product: "PowerEdge R640/S", Serial: serial, UUID: ""}}}
}

func setRules(t *testing.T, r *registry.Registry, rules ...registry.Rule) {
	t.Helper()
	if _, err := r.SetRules(t.Context(), registry.AnyVersion, rules); err != nil {
		t.Fatal(err)
	}
}

func TestRuleMatch(t *testing.T) {
	for _, tt := range []struct {
		match   registry.RuleMatch
		because string // empty where it applies
	}{
		{registry.RuleMatch{}, ""},
		{registry.RuleMatch{Vendor: "dell*", Model: "*R6?0*", Serial: "sn-[0-9]"}, ""},
		{registry.RuleMatch{Vendor: "Dell"}, `its vendor is "Dell Inc."`},
		{registry.RuleMatch{Model: "*/s"}, ""},
		{registry.RuleMatch{Serial: "X*", Vendor: "*"}, `its serial number is "SN-1"`},
		{registry.RuleMatch{MACPrefix: "52:54:00"}, ""},
		{registry.RuleMatch{MACPrefix: "5254"}, ""},
		{registry.RuleMatch{MACPrefix: "52-54-01"}, "no hardware address of it begins with 52-54-01"},
		{registry.RuleMatch{Subnet: "192.0.2.0/24"}, ""},
		{registry.RuleMatch{Subnet: "198.51.100.0/24"}, "it registers from 192.0.2.7"},
		{registry.RuleMatch{Subnet: "2001:db8::/32"}, "it registers from 192.0.2.7"},
		{registry.RuleMatch{BMC: new(false)}, ""},
		{registry.RuleMatch{BMC: new(true)}, "it has no management controller"},
	} {
		r, _ := fleet(t, registrytest.Memory())
		m, _ := mustRegister(t, r, server(7, "SN-1"))
		trial, err := r.TestRules(t.Context(), m.ID, []registry.Rule{{Name: "x", Match: tt.match, Set: registry.RuleSetTo{Owner: "lab"}}})
		if err != nil {
			t.Fatal(err)
		}
		want := registry.RuleVerdict{Rule: "x", Applies: tt.because == "", Because: tt.because}
		if trial.Verdicts[0] != want || (trial.Machine.Owner == "lab") != want.Applies {
			t.Errorf("%+v: %+v, owner %q; want %+v", tt.match, trial.Verdicts[0], trial.Machine.Owner, want)
		}
	}
}

func TestNamePatterns(t *testing.T) {
	long := strings.Repeat("xy", 30)
	for _, tt := range []struct {
		pattern, serial string
		names           []string // of machines that register one after the other
	}{
		{"rack1-{serial}", "ABC 1/2", []string{"rack1-abc-1-2", "rack1-abc-1-2-2", "rack1-abc-1-2-3"}},
		{"node-{n}", "", []string{"node-1", "node-2", "node-3"}},
		{"{n:3}-{vendor}", "", []string{"001-dell-inc", "002-dell-inc"}},
		{"{model}-{n:2}", "", []string{"poweredge-r640-s-01", "poweredge-r640-s-02"}},
		{"db1", "", []string{"db1", "db1-2"}},
		{"a-{mac}", "", []string{"a-525400000064", "a-525400000065"}},
		{"{serial}-{n}", long, []string{long + "-1", long + "-2"}},
		{"{serial}", long + long, []string{(long + long)[:63], (long + long)[:61] + "-2"}},
		{"{n:9}-{serial}", long, []string{"000000001-" + long[:53]}},
	} {
		r, _ := fleet(t, registrytest.Memory())
		setRules(t, r, registry.Rule{Name: "x", Set: registry.RuleSetTo{NamePattern: tt.pattern}})
		for i, want := range tt.names {
			reg := server(byte(100+i), tt.serial)
			reg.Hardware.System.Vendor += strings.Repeat(" ", i) // so that one serial number is not one machine
			if m, _ := mustRegister(t, r, reg); m.Name != want {
				t.Errorf("%s: machine %d is called %q, want %q", tt.pattern, i, m.Name, want)
			}
		}
	}
}

func TestNamePatternIsPassedOver(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	setRules(t, r,
		registry.Rule{Name: "by serial", Set: registry.RuleSetTo{NamePattern: "a-{serial}"}},
		registry.Rule{Name: "by vendor", Set: registry.RuleSetTo{NamePattern: "{vendor}"}},
		registry.Rule{Name: "by number", Set: registry.RuleSetTo{NamePattern: "b-{n}"}},
		registry.Rule{Name: "too late", Set: registry.RuleSetTo{NamePattern: "c-{n}"}})
	reg := server(7, "To be filled by O.E.M.")
	reg.Hardware.System.Vendor = "M 7"
	m, _ := mustRegister(t, r, reg)
	timeline, err := r.Timeline(t.Context(), m.ID, 0, 1)
	if err != nil || m.Name != "b-1" {
		t.Fatalf("called %q, %v", m.Name, err)
	}
	want := `by the rules "by serial", "by vendor", "by number", "too late": named b-1` +
		`; the name of "by serial" is passed over: its name needs {serial}, which the machine does not tell` +
		`; the name of "by vendor" is passed over: it would be called "m-7", which is no name`
	if e := timeline[0]; e.Kind != registry.MachineAssigned || e.Message != want {
		t.Errorf("timeline: %s %s\nwant %s", e.Kind, e.Message, want)
	}
}

func TestRulesAddUp(t *testing.T) {
	r, known := fleet(t, registrytest.Memory())
	setRules(t, r,
		registry.Rule{Name: "first", Match: registry.RuleMatch{Vendor: "Dell*"}, Set: registry.RuleSetTo{Tags: []string{"gpu"}, Labels: map[string]string{"rack": "a1"}, Owner: "lab"}},
		registry.Rule{Name: "other", Match: registry.RuleMatch{Vendor: "HP*"}, Set: registry.RuleSetTo{Tags: []string{"hp"}}},
		registry.Rule{Name: "all", Set: registry.RuleSetTo{Tags: []string{"all", "gpu"}, Labels: map[string]string{"rack": "b2", "room": "7"}, Owner: "ops", OS: "debian-12"}})
	m, created := mustRegister(t, r, server(7, "SN-7"))
	stored, err := r.Machine(t.Context(), m.ID)
	if err != nil || !created || stored.Version != 1 {
		t.Fatalf("created %v, %+v, %v", created, stored, err)
	}
	if !slices.Equal(stored.Tags, []string{"all", "gpu"}) || fmt.Sprint(stored.Labels) != "map[rack:a1 room:7]" || stored.Owner != "lab" || stored.OS != "debian-12" {
		t.Errorf("a new machine: %+v", stored)
	}
	timeline, err := r.Timeline(t.Context(), m.ID, 0, 10)
	want := `by the rules "first", "all": tag gpu, tag all, label rack=a1, label room=7, owner lab, operating system debian-12`
	if err != nil || len(timeline) != 2 || timeline[0].Message != want || timeline[1].Kind != registry.MachineRegistered {
		t.Errorf("timeline: %+v, %v; want %s", timeline, err, want)
	}
	// One that is known keeps what it has.
	again, _ := mustRegister(t, r, registry.Registration{MAC: known.MACs[0], Hardware: known.Hardware})
	if again.Owner != "" || again.OS != "" || again.Tags != nil {
		t.Errorf("a known machine: %+v", again)
	}
}

// A machine that was seen before it registered has a record, and perhaps what an
// operator said of it.
func TestOperatorsComeBeforeRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registrytest.Memory())
		setRules(t, r, registry.Rule{Name: "all", Set: registry.RuleSetTo{NamePattern: "node-{n}", Tags: []string{"new"}, Labels: map[string]string{"rack": "a1"}, Owner: "ops", OS: "debian-12"}})
		for _, last := range []byte{1, 2} {
			r.Sight(registry.Sighting{At: time.Now(), MAC: mac(last), Stage: registry.StageDHCP, Detail: "offer"})
		}
		time.Sleep(time.Second)
		seen, ok := r.Lookup(mac(2))
		if !ok {
			t.Fatal("not discovered")
		}
		_, err := r.Edit(by(t, "ana"), seen.ID, registry.AnyVersion, registry.Patch{Name: new("db1"), Owner: new("ana"), OS: new("ubuntu-24.04"),
			Tags: &[]string{"db"}, Labels: map[string]*string{"rack": new("c3")}})
		if err != nil {
			t.Fatal(err)
		}
		untouched, _ := mustRegister(t, r, registration(1, uuidA, "SN-A"))
		edited, _ := mustRegister(t, r, registration(2, uuidB, "SN-B"))
		if untouched.Name != "node-1" || untouched.Owner != "ops" {
			t.Errorf("one that nobody touched: %+v", untouched)
		}
		if edited.Name != "db1" || edited.Owner != "ana" || edited.OS != "ubuntu-24.04" || edited.Labels["rack"] != "c3" || !slices.Equal(edited.Tags, []string{"db", "new"}) {
			t.Errorf("one that an operator edited: %+v", edited)
		}
	})
}

// What a timeline says has bounds, whatever the rules set.
func TestRulesOnTheTimelineHaveBounds(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	set := registry.RuleSetTo{Labels: map[string]string{}}
	for i := range 64 {
		set.Labels[fmt.Sprint("key-", i)] = strings.Repeat("é", 128)
	}
	setRules(t, r, registry.Rule{Name: "x", Set: set})
	m, _ := mustRegister(t, r, server(7, "SN-7"))
	timeline, err := r.Timeline(t.Context(), m.ID, 0, 1)
	if err != nil || len(m.Labels) != 64 || len(timeline[0].Message) > 2000 || !strings.Contains(timeline[0].Message, "... and 44 more") || !utf8.ValidString(timeline[0].Message) {
		t.Errorf("%d labels, %v, %+v", len(m.Labels), err, timeline)
	}
}

func TestARackRegistersAtOnce(t *testing.T) {
	r := open(t, registrytest.Memory())
	setRules(t, r, registry.Rule{Name: "x", Set: registry.RuleSetTo{NamePattern: "node-{n:3}"}})
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			if _, _, err := r.Register(t.Context(), registration(byte(i), fmt.Sprintf("%s%03d", uuidA[:33], i), "")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	machines, err := r.Machines(t.Context(), registry.Query{})
	if err != nil || len(machines) != 200 || machines[0].Name != "node-001" || machines[199].Name != "node-200" {
		t.Errorf("%d machines from %s to %s, %v", len(machines), machines[0].Name, machines[len(machines)-1].Name, err)
	}
}

func TestSetRules(t *testing.T) {
	store := registrytest.Memory()
	a, b := open(t, store), open(t, store)
	rule := registry.Rule{Name: "x", Set: registry.RuleSetTo{Owner: "lab"}}
	if _, err := a.SetRules(t.Context(), 3, []registry.Rule{rule}); err == nil || !strings.Contains(err.Error(), "after version 3 was read") {
		t.Errorf("a version that is not there: %v", err)
	}
	set, err := a.SetRules(by(t, "ana"), registry.Unstored, []registry.Rule{rule})
	if err != nil || set.Version != 1 {
		t.Fatalf("%+v, %v", set, err)
	}
	if again, err := a.SetRules(t.Context(), registry.AnyVersion, []registry.Rule{rule}); err != nil || again.Version != 1 {
		t.Errorf("the same rules: %+v, %v", again, err)
	}
	_, err = b.SetRules(t.Context(), registry.Unstored, nil)
	if lost, ok := errors.AsType[*registry.ConflictError](err); !ok || lost.Read != 0 || lost.Stored != 1 {
		t.Errorf("a lost race: %v", err)
	}
	audit, err := a.Audit(t.Context(), "rules", 0, 10)
	if err != nil || len(audit) != 1 || audit[0].Actor.Name != "ana" || audit[0].Before != nil || !strings.Contains(string(audit[0].After), `"owner":"lab"`) {
		t.Errorf("audit: %+v, %v", audit, err)
	}
	// The other server hears of it.
	for b.Feed().Last() < 1 {
		if _, err := b.Feed().Next(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if m, _ := mustRegister(t, b, registration(1, uuidA, "")); m.Owner != "lab" {
		t.Errorf("the other server applied no rule: %+v", m)
	}
	// So does one that starts later.
	c := open(t, store)
	if m, _ := mustRegister(t, c, registration(2, uuidB, "")); m.Owner != "lab" {
		t.Errorf("a server that starts applied no rule: %+v", m)
	}
}

func TestBadRules(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	sets := registry.RuleSetTo{Owner: "lab"}
	match := func(m registry.RuleMatch) registry.Rule { return registry.Rule{Name: "x", Match: m, Set: sets} }
	name := func(pattern string) registry.Rule {
		return registry.Rule{Name: "x", Set: registry.RuleSetTo{NamePattern: pattern}}
	}
	for _, tt := range []struct {
		rules         []registry.Rule
		pointer, says string
	}{
		{make([]registry.Rule, 257), "/rules", "257 rules; at most 256"},
		{[]registry.Rule{{Set: sets}}, "/rules/0/name", "want a name"},
		{[]registry.Rule{{Name: "x", Set: sets}, {Name: "x", Set: sets}}, "/rules/1/name", "rule 0 has this name"},
		{[]registry.Rule{{Name: "<b>", Set: sets}}, "/rules/0/name", "markup"},
		{[]registry.Rule{{Name: "x"}}, "/rules/0/set", "sets nothing"},
		{[]registry.Rule{match(registry.RuleMatch{Vendor: "[a-"})}, "/rules/0/match/vendor", "a [ without its ]"},
		{[]registry.Rule{match(registry.RuleMatch{Model: "\x1b"})}, "/rules/0/match/model", "control character"},
		{[]registry.Rule{match(registry.RuleMatch{Serial: `\`})}, "/rules/0/match/serial", "at its end"},
		{[]registry.Rule{match(registry.RuleMatch{MACPrefix: "52:5"})}, "/rules/0/match/mac_prefix", "hexadecimal bytes"},
		{[]registry.Rule{match(registry.RuleMatch{MACPrefix: "52:54:00:00:00:00:00"})}, "/rules/0/match/mac_prefix", "one to six"},
		{[]registry.Rule{match(registry.RuleMatch{MACPrefix: "zz"})}, "/rules/0/match/mac_prefix", "hexadecimal"},
		{[]registry.Rule{match(registry.RuleMatch{Subnet: "192.0.2.0"})}, "/rules/0/match/subnet", "want a subnet such as"},
		{[]registry.Rule{match(registry.RuleMatch{Subnet: "192.0.2.7/24"})}, "/rules/0/match/subnet", "did you mean 192.0.2.0/24?"},
		{[]registry.Rule{name("a-{seral}")}, "/rules/0/set/name_pattern", "did you mean {serial}?"},
		{[]registry.Rule{name("a-{colourful}")}, "/rules/0/set/name_pattern", "there are {serial} {mac}"},
		{[]registry.Rule{name("a-{n")}, "/rules/0/set/name_pattern", "a { without its }"},
		{[]registry.Rule{name("a-}{n}")}, "/rules/0/set/name_pattern", "a } without its {"},
		{[]registry.Rule{name("a}")}, "/rules/0/set/name_pattern", "a } without its {"},
		{[]registry.Rule{name("{n}-{n}")}, "/rules/0/set/name_pattern", "more than one {n}"},
		{[]registry.Rule{name("{n:99}")}, "/rules/0/set/name_pattern", "at most 9"},
		{[]registry.Rule{name("{mac:3}")}, "/rules/0/set/name_pattern", "want {n:3}"},
		{[]registry.Rule{name("Rack {n}")}, "/rules/0/set/name_pattern", "lower-case"},
		{[]registry.Rule{name("m-{n}")}, "/rules/0/set/name_pattern", `not "m-" at the start`},
		{[]registry.Rule{name("m")}, "/rules/0/set/name_pattern", `not "m-" at the start`},
		{[]registry.Rule{name(strings.Repeat("a", 64))}, "/rules/0/set/name_pattern", "at most 63"},
		{[]registry.Rule{{Name: "x", Set: registry.RuleSetTo{Tags: []string{"ok", "two words"}}}}, "/rules/0/set/tags/1", "a tag has"},
		{[]registry.Rule{{Name: "x", Set: registry.RuleSetTo{Labels: map[string]string{"a b": ""}}}}, "/rules/0/set/labels/a b", "a key has"},
		{[]registry.Rule{{Name: "x", Set: registry.RuleSetTo{OS: "Debian 12"}}}, "/rules/0/set/os", "such as debian-12"},
		{[]registry.Rule{{Name: "x", Set: registry.RuleSetTo{Owner: "<"}}}, "/rules/0/set/owner", "markup"},
		{[]registry.Rule{{Name: "x", Set: registry.RuleSetTo{Owner: "lab", AutoDeploy: true}}}, "/rules/0/set/auto_deploy", "want os beside it"},
		{[]registry.Rule{{Name: "x", Set: registry.RuleSetTo{OS: "linux", AutoDeploy: true, Concurrency: -1}}}, "/rules/0/set/concurrency", "want 1 to 10000"},
	} {
		_, err := r.SetRules(t.Context(), registry.AnyVersion, tt.rules)
		invalid, ok := errors.AsType[*registry.InvalidError](err)
		if !ok || invalid.Fields[0].Pointer != tt.pointer || !strings.Contains(invalid.Fields[0].Message, tt.says) {
			t.Errorf("%s %s: %v", tt.pointer, tt.says, err)
		}
	}
	if set, err := r.Rules(t.Context()); err != nil || set.Version != 0 {
		t.Errorf("refused rules were stored: %+v, %v", set, err)
	}
	_, err := registry.New(t.Context(), registrytest.Broken(registry.ErrUnavailable), slog.New(slog.DiscardHandler))
	if !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a start without rules: %v", err)
	}
}

func TestRulesApplyWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		setRules(t, h.Registry, registry.Rule{Name: "x", Set: registry.RuleSetTo{NamePattern: "node-{n}", Owner: "lab"}})
		time.Sleep(time.Second)
		store.off.Store(true)
		first, _ := mustRegister(t, h.Registry, named(1, "a"))
		second, _ := mustRegister(t, h.Registry, named(2, "b"))
		if _, err := h.SetRules(t.Context(), registry.AnyVersion, nil); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("the rules were changed while the database is away: %v", err)
		}
		if set, err := h.Rules(t.Context()); err != nil || set.Version != 1 {
			t.Errorf("rules while away: %+v, %v", set, err)
		}
		h.stop()
		if err := h.start(t, store); err != nil { // without the database, too
			t.Fatal(err)
		}
		third, _ := mustRegister(t, h.Registry, named(3, "c"))
		store.off.Store(false)
		h.settled(t)
		for i, foreseen := range []registry.Machine{first, second, third} {
			m, err := h.Machine(t.Context(), foreseen.ID)
			if want := fmt.Sprintf("node-%d", i+1); err != nil || foreseen.Name != want || m.Name != want || m.Owner != "lab" || !foreseen.Journaled {
				t.Errorf("foreseen as %s, stored as %s of %q; want %s, %v", foreseen.Name, m.Name, m.Owner, want, err)
			}
		}
		if n := countOf(t, store, registry.MachineAssigned); n != 3 {
			t.Errorf("%d timelines name the rule, want 3", n)
		}
	})
}
