package registry_test

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// applied applies what is wanted, and tells of each step what became of it. What a
// dry run told before is what is done.
func applied(t *testing.T, r *registry.Registry, w registry.Wanted) []string {
	t.Helper()
	dry, err := r.Apply(registry.WithDryRun(by(t, "ana")), w)
	if err != nil {
		t.Fatal(err)
	}
	w.Plan = dry.Plan()
	done, err := r.Apply(by(t, "ana"), w)
	if err != nil {
		t.Fatal(err)
	}
	if would, did := tellAll(dry), tellAll(done); !slices.Equal(would, did) {
		t.Errorf("the dry run says %q, and %q is done", would, did)
	}
	return tellAll(done)
}

func tellAll(a registry.Applied) (told []string) {
	if a.Rules != nil {
		told = append(told, "rules: "+tell(registry.ImportStep{Action: a.Rules.Action, Changes: a.Rules.Changes, Err: a.Rules.Err}))
	}
	for _, s := range slices.Concat(a.Machines, a.Deleted) {
		text := tell(s)
		if s.Action == registry.ImportDelete {
			text = "delete " + s.Machine.Name
		}
		told = append(told, text)
	}
	return told
}

// listedOf is what a list says that knows every machine of r.
func listedOf(t *testing.T, r *registry.Registry) (list []registry.Listed) {
	t.Helper()
	err := r.Each(t.Context(), nil, func(machines []registry.Machine) error {
		for _, m := range machines {
			list = append(list, m.Listed())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// kinds is a registry with machines of all kinds.
func kinds(t *testing.T) *registry.Registry {
	t.Helper()
	// Blades that carry the serial number and the UUID of their chassis.
	store, twin := registrytest.Memory(), registry.System{Vendor: "Acme", Serial: "CHASSIS-1", UUID: "5c4c4544-0042-3510-8052-b4c04f4a3232"}
	for i, name := range []string{"blade-1", "blade-2"} {
		m := registry.Machine{ID: "m-" + name, Name: name, State: registry.Ready, MACs: []registry.MAC{nic(byte(20 + i))}, RegisteredAt: time.Now(), Hardware: registry.Hardware{System: twin}}
		if err := store.Commit(t.Context(), registry.Change{Op: m.ID, Put: []registry.Machine{m}}); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := fleet(t, store)
	register := func(last byte, s registry.System) registry.Machine {
		m, _, err := r.Register(t.Context(), registry.Registration{MAC: nic(last), MACs: []registry.MAC{nic(last), nic(last + 100)},
			Hardware: registry.Hardware{System: s, Disks: []registry.Disk{{Name: "sda", Bytes: 1 << 40}}}})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	do := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	edited := register(2, registry.System{Vendor: "Dell Inc. ", Product: "R760", Serial: "7XK2Q54", UUID: "4c4c4544-0042-3510-8052-b4c04f4a3232"})
	_, err := r.Edit(by(t, "ana"), edited.ID, registry.AnyVersion, registry.Patch{Name: new("rack1-7"), Owner: new("ana"), Note: new("two\nlines"),
		Tags: &[]string{"gpu", "lab"}, Labels: map[string]*string{"rack": new("a1"), "empty": new("")}, OS: new("debian-12")})
	do(err)
	_, err = r.Lock(by(t, "ben"), edited.ID, "its disk is being copied")
	do(err)
	_, err = r.Retire(by(t, "ana"), register(3, registry.System{Vendor: "HPE", Serial: "N/A"}).ID, registry.AnyVersion)
	do(err)
	imported(t, r, registry.Listed{Serial: "EXPECTED-1"}, registry.Listed{Name: "expected-2", MACs: []registry.MAC{nic(60)}, Model: "R1", Retired: new(true)})
	return r
}

// What is kept of one appliance makes another one the same: what is kept of that is
// the same again, and it changes nothing where it came from.
func TestWhatIsKeptIsWhole(t *testing.T) {
	a := kinds(t)
	list := listedOf(t, a)
	for i, told := range applied(t, a, registry.Wanted{Machines: list, Exact: true, Prune: true}) {
		if told != "unchanged" {
			t.Errorf("where it came from: %s: %s", list[i].Name, told)
		}
	}
	b, err := registry.New(t.Context(), registrytest.Memory(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i, told := range applied(t, b, registry.Wanted{Machines: list}) {
		if !strings.HasPrefix(told, "create") {
			t.Errorf("a fresh one: %s: %s", list[i].Name, told)
		}
	}
	if again := listedOf(t, b); !reflect.DeepEqual(again, list) {
		t.Errorf("it has\n%+v\nand had\n%+v", again, list)
	}
	for i, told := range applied(t, b, registry.Wanted{Machines: list, Exact: true, Prune: true}) {
		if told != "unchanged" {
			t.Errorf("again: %s: %s", list[i].Name, told)
		}
	}
}

func TestApplyExactly(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	if _, err := r.Edit(by(t, "ben"), m.ID, registry.AnyVersion, registry.Patch{Owner: new("ben"), Note: new("x"), Tags: &[]string{"old"}, Labels: map[string]*string{"row": new("7")}, OS: new("debian-12")}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Lock(by(t, "ben"), m.ID, ""); err != nil {
		t.Fatal(err)
	}
	list := []registry.Listed{{Serial: "SN-1", Owner: new("ana")}}
	if told := applied(t, r, registry.Wanted{Machines: list}); !slices.Equal(told, []string{"edit; owner ben>ana"}) {
		t.Errorf("%q", told)
	}
	if told := applied(t, r, registry.Wanted{Machines: list, Exact: true}); !slices.Equal(told, []string{`edit; note x>; tags old>; label.row "7">; assigned_os debian-12>`}) {
		t.Errorf("exactly: %q", told)
	}
	if now, err := r.Machine(t.Context(), m.ID); err != nil || now.Lock == nil || now.Owner != "ana" {
		t.Errorf("%+v, %v", now, err)
	}
}

func TestPrune(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	imported(t, r, registry.Listed{Name: "a", Serial: "A1", Labels: map[string]string{"rack": "a1"}}, registry.Listed{Name: "b", Serial: "B1", Labels: map[string]string{"rack": "a1"}},
		registry.Listed{Name: "c", Serial: "C1"}, registry.Listed{Name: "d", Serial: "D1"})
	if _, err := r.Lock(by(t, "ben"), "d", "mine"); err != nil {
		t.Fatal(err)
	}
	among, err := registry.ParseFilter("label.rack:a1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		w    registry.Wanted
		want []string
	}{
		{"not asked for", registry.Wanted{Machines: []registry.Listed{{Serial: "A1"}}}, []string{"unchanged"}},
		{"where an entry is refused", registry.Wanted{Machines: []registry.Listed{{Serial: "A1"}, {Name: "nobody"}}, Prune: true, Among: among},
			[]string{"unchanged", "refuse: there is no such machine yet, and nothing to recognise it by when it comes: want macs, a serial or a uuid",
				"refuse: 1 of the entries are refused, and one of them may be about it: nothing is deleted before they are mended"}},
		{"among some", registry.Wanted{Machines: []registry.Listed{{Name: "renamed", Serial: "A1"}}, Prune: true, Among: among}, []string{"edit; name a>renamed", "delete b"}},
		{"again", registry.Wanted{Machines: []registry.Listed{{Serial: "A1"}}, Prune: true, Among: among}, []string{"unchanged"}},
		{"all the others", registry.Wanted{Machines: []registry.Listed{{Serial: "SN-1"}, {Serial: "NEW-1", Name: "new"}}, Prune: true},
			[]string{"unchanged", "create; name >new; serial >NEW-1", "delete c", "refuse: d is not deleted: the machine is locked by ben: mine", "delete renamed"}},
	} {
		if told := applied(t, r, c.w); !slices.Equal(told, c.want) {
			t.Errorf("%s: %q\nwant %q", c.name, told, c.want)
		}
	}
	if r.Count() != 3 {
		t.Errorf("%d machines are left of %s, new and d", r.Count(), m.Name)
	}
	if n := r.Imported(registry.ImportDelete); n != 3 {
		t.Errorf("%d deletions were counted", n)
	}
	audit, err := r.Audit(t.Context(), "", 0, 100)
	deleted := 0
	for _, e := range audit {
		if e.Action == "machine.deleted" && e.Actor.Name == "ana" {
			deleted++
		}
	}
	if err != nil || deleted != 3 {
		t.Errorf("%d deletions are in the audit log, %v", deleted, err)
	}
	if _, err := r.Apply(by(t, "ana"), registry.Wanted{Prune: true}); err == nil || !strings.Contains(err.Error(), "would delete every machine") {
		t.Errorf("nothing named: %v", err)
	}
}

func TestApplyRules(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	rule := func(name, owner string) registry.Rule {
		return registry.Rule{Name: name, Match: registry.RuleMatch{Vendor: "A&B*"}, Set: registry.RuleSetTo{Owner: owner}}
	}
	for _, c := range []struct {
		rules []registry.Rule
		want  string
	}{
		{nil, ""},
		{[]registry.Rule{}, "rules: unchanged"},
		{[]registry.Rule{rule("a", "ana"), rule("b", "ana")}, `rules: edit; rule a >{"match":{"vendor":"A&B*"},"set":{"owner":"ana"}}; rule b >{"match":{"vendor":"A&B*"},"set":{"owner":"ana"}}`},
		{[]registry.Rule{rule("a", "ana"), rule("b", "ana")}, "rules: unchanged"},
		{[]registry.Rule{rule("b", "ana"), rule("a", "ana")}, "rules: edit; order a, b>b, a"},
		{[]registry.Rule{rule("c", "ana"), rule("b", "ben")}, `rules: edit; rule a {"match":{"vendor":"A&B*"},"set":{"owner":"ana"}}>; rule c >{"match":{"vendor":"A&B*"},"set":{"owner":"ana"}}; ` +
			`rule b {"match":{"vendor":"A&B*"},"set":{"owner":"ana"}}>{"match":{"vendor":"A&B*"},"set":{"owner":"ben"}}; order b, c>c, b`},
		{[]registry.Rule{}, `rules: edit; rule c {"match":{"vendor":"A&B*"},"set":{"owner":"ana"}}>; rule b {"match":{"vendor":"A&B*"},"set":{"owner":"ben"}}>`},
	} {
		if told := strings.Join(applied(t, r, registry.Wanted{Rules: c.rules}), ""); told != c.want {
			t.Errorf("%s\nwant %s", told, c.want)
		}
	}
	if set, err := r.Rules(t.Context()); err != nil || set.Version != 4 || len(set.Rules) != 0 {
		t.Errorf("%+v, %v", set, err)
	}
	bad := registry.Wanted{Rules: []registry.Rule{{Name: "x"}}, Machines: []registry.Listed{{Serial: "NEW-1"}}}
	if _, err := r.Apply(by(t, "ana"), bad); err == nil || !strings.Contains(err.Error(), "/rules/0/set") || r.Count() != 1 {
		t.Errorf("a wrong rule: %v, %d machines", err, r.Count())
	}
}

// What was agreed to is done as a whole or not at all, and where somebody is faster
// after that, the machine is refused.
func TestApplyAsAgreed(t *testing.T) {
	store := &racing{Store: registrytest.Memory()}
	r, m := fleet(t, store)
	edit := func(p registry.Patch) {
		t.Helper()
		if _, err := r.Edit(by(t, "ben"), m.ID, registry.AnyVersion, p); err != nil {
			t.Fatal(err)
		}
	}
	agree := func(w registry.Wanted) registry.Wanted {
		t.Helper()
		dry, err := r.Apply(registry.WithDryRun(by(t, "ana")), w)
		if err != nil {
			t.Fatal(err)
		}
		w.Plan = dry.Plan()
		return w
	}
	w := agree(registry.Wanted{Machines: []registry.Listed{{Serial: "SN-1", Owner: new("ana"), Lock: &registry.ListedLock{}}, {Serial: "NEW-1"}}})
	edit(registry.Patch{Owner: new("ben")})
	if _, err := r.Apply(by(t, "ana"), w); !errors.Is(err, registry.ErrPlan) || r.Count() != 1 {
		t.Errorf("somebody else's owner: %v, %d machines", err, r.Count())
	}
	w = agree(registry.Wanted{Machines: w.Machines[:1]})
	edit(registry.Patch{Note: new("another thing")})
	store.before = []func(){func() {
		other, err := registry.New(t.Context(), store.Store, slog.New(slog.DiscardHandler))
		if err == nil {
			_, err = other.Edit(by(t, "cleo"), m.ID, registry.AnyVersion, registry.Patch{Owner: new("cleo")})
		}
		if err != nil {
			t.Error(err)
		}
	}}
	done, err := r.Apply(by(t, "ana"), w)
	if err != nil || done.Machines[0].Err == nil || !strings.Contains(done.Machines[0].Err.Error(), "agreed to") {
		t.Errorf("a lost race: %q, %v", tellAll(done), err)
	}
	rules := registry.Wanted{Rules: []registry.Rule{{Name: "a", Set: registry.RuleSetTo{Owner: "ana"}}}}
	store.before = []func(){func() {
		other, err := registry.New(t.Context(), store.Store, slog.New(slog.DiscardHandler))
		if err == nil {
			_, err = other.SetRules(by(t, "cleo"), registry.AnyVersion, []registry.Rule{{Name: "b", Set: registry.RuleSetTo{Owner: "cleo"}}})
		}
		if err != nil {
			t.Error(err)
		}
	}}
	done, err = r.Apply(by(t, "ana"), rules)
	if _, lost := errors.AsType[*registry.ConflictError](done.Rules.Err); err != nil || !lost {
		t.Errorf("a lost race for the rules: %+v, %v", done.Rules, err)
	}
}

func TestEach(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	var list []registry.Listed
	for i := range 1100 {
		list = append(list, registry.Listed{Name: fmt.Sprintf("node-%04d", i), Serial: fmt.Sprintf("S%d", i), Labels: map[string]string{"odd": fmt.Sprint(i % 2)}})
	}
	imported(t, r, list...)
	odd, err := registry.ParseFilter("label.odd:1")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	calls := 0
	err = r.Each(t.Context(), odd, func(machines []registry.Machine) error {
		if calls++; calls == 1 { // one that is renamed meanwhile is told once
			if _, err := r.Edit(by(t, "ana"), machines[0].ID, registry.AnyVersion, registry.Patch{Name: new("zz")}); err != nil {
				return err
			}
		}
		for _, m := range machines {
			names = append(names, m.Name)
		}
		return nil
	})
	if err != nil || len(names) != 550 || names[0] != "node-0001" || names[549] != "node-1099" || calls < 2 {
		t.Errorf("%d in %d calls, %v; %s is none of them", len(names), calls, err, m.Name)
	}
	stop := errors.New("enough")
	if err := r.Each(t.Context(), nil, func([]registry.Machine) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
