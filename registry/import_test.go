package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// nic is a hardware address.
func nic(last byte) registry.MAC { return registry.MAC{2, 0, 0, 0, 0, last} }

// imported imports a list, and tells of each entry what became of it, in short.
func imported(t *testing.T, r *registry.Registry, list ...registry.Listed) (told []string) {
	t.Helper()
	items := make([]registry.ImportItem, 0, len(list))
	for _, l := range list {
		items = append(items, registry.ImportItem{Listed: l})
	}
	dry, err := r.Import(registry.WithDryRun(by(t, "ana")), items)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := r.Import(by(t, "ana"), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		told = append(told, tell(s))
		if tell(dry[i]) != tell(s) {
			t.Errorf("entry %d: the dry run says %q, and %q is done", i, tell(dry[i]), tell(s))
		}
	}
	return told
}

func tell(s registry.ImportStep) string {
	if s.Err != nil {
		return "refuse: " + s.Err.Error()
	}
	text := string(s.Action)
	for _, c := range s.Changes {
		text += fmt.Sprintf("; %s %s>%s", c.Field, c.Before, c.After)
	}
	return text
}

func TestImport(t *testing.T) {
	const uuid = "4c4c4544-0042-3510-8052-b4c04f4a3232"
	yes, no := true, false
	for _, c := range []struct {
		name string
		list []registry.Listed
		want []string // the beginnings of what is told; the machine that is stored is SN-1 of Acme
	}{
		{"new ones", []registry.Listed{
			{Name: "rack1-1", MACs: []registry.MAC{nic(7), nic(8), nic(7)}, Owner: new("lab"), Tags: []string{"b", "a", "b"}, Labels: map[string]string{"rack": "a1", "empty": ""}},
			{Name: "rack1-2", Serial: " SN-2 ", Vendor: "Acme"},
			{Name: "rack1-3", UUID: "{4C4C4544004235108052B4C04F4A3232}", OS: new("debian-12"), Retired: &yes},
		}, []string{
			`create; name >rack1-1; macs >02:00:00:00:00:07 02:00:00:00:00:08; owner >lab; tags >a b; label.empty >""; label.rack >"a1"`,
			"create; name >rack1-2; serial >SN-2; vendor >Acme",
			"create; name >rack1-3; uuid >" + uuid + "; assigned_os >debian-12; state >retired",
		}},
		{"one that is known, by anything", []registry.Listed{{Serial: "SN-1", Owner: new("ana")}}, []string{"edit; owner >ana"}},
		{"of whatever the list calls the vendor", []registry.Listed{{Serial: "SN-1", Vendor: "ACME Inc.", Owner: new("ana")}}, []string{"edit; owner >ana"}},
		{"by an address", []registry.Listed{{MACs: []registry.MAC{nic(1), nic(9)}}}, []string{"edit; macs 02:00:00:00:00:01>02:00:00:00:00:01 02:00:00:00:00:09"}},
		{"nothing to say", []registry.Listed{{MACs: []registry.MAC{nic(1)}, Owner: new(""), Tags: []string{}, Labels: map[string]string{}, Retired: &no}}, []string{"unchanged"}},
		{"what it reported stays", []registry.Listed{{Serial: "SN-1", Vendor: "Other", Model: "X"}}, []string{"unchanged"}},
		{"another serial number", []registry.Listed{{MACs: []registry.MAC{nic(1)}, Serial: "SN-2"}}, []string{"refuse: STORED has reported the serial number SN-1, and the list says SN-2"}},
		{"nothing to recognise it by", []registry.Listed{{Name: "rack1-1"}}, []string{"refuse: there is no such machine yet"}},
		{"a serial number that many have", []registry.Listed{{Name: "rack1-1", Serial: "N/A"}}, []string{"refuse: there is no such machine yet"}},
		{"who it is about", []registry.Listed{{Owner: new("ana")}}, []string{"refuse: invalid input: : nothing says which machine"}},
		{"a spreadsheet's number", []registry.Listed{{Serial: "1.23E+15"}}, []string{`refuse: invalid input: /serial: "1.23E+15" is what a spreadsheet makes`}},
		{"a wrong name", []registry.Listed{{Name: "Not A Name", Serial: "7"}}, []string{"refuse: invalid input: /name: want lower-case"}},
		{"twice", []registry.Listed{{Serial: "A1"}, {Serial: "B1"}, {Serial: "A1"}}, []string{"create", "create", "refuse: the serial number A1 is that of entry 1 too"}},
		{"twice, but of two makers", []registry.Listed{{Serial: "A1", Vendor: "X"}, {Serial: "A1", Vendor: "Y"}}, []string{"create", "create"}},
		{"twice, by other means", []registry.Listed{{Serial: "SN-1"}, {MACs: []registry.MAC{nic(1)}}}, []string{"unchanged", "refuse: it is STORED, and so is entry 1"}},
		{"locks", []registry.Listed{{Serial: "SN-1", Lock: &registry.ListedLock{By: "ben", Note: "mine"}}}, []string{"edit; lock >by ben: mine"}},
		{"labels one by one", []registry.Listed{{Serial: "SN-1", SetLabels: map[string]*string{"rack": new("a1"), "gone": nil}}}, []string{`edit; label.rack >"a1"`}},
		{"retire", []registry.Listed{{Serial: "SN-1", Retired: &yes}}, []string{"edit; state ready>retired"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, m := fleet(t, registrytest.Memory())
			got := imported(t, r, c.list...)
			for i, want := range c.want {
				if want = strings.ReplaceAll(want, "STORED", m.Name); !strings.HasPrefix(got[i], want) {
					t.Errorf("entry %d: %q, want %q", i, got[i], want)
				}
			}
			for i, told := range imported(t, r, c.list...) {
				if refused := strings.HasPrefix(c.want[i], "refuse"); !refused && !strings.HasPrefix(told, "unchanged") {
					t.Errorf("entry %d, again: %q", i, told)
				}
			}
		})
	}
}

// What the list said before is taken away by what it says is empty.
func TestImportClears(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	imported(t, r, registry.Listed{Serial: "SN-1", Owner: new("ana"), Note: new("x"), OS: new("debian-12"), Tags: []string{"gpu"}, Labels: map[string]string{"rack": "a1", "row": "2"}})
	for _, c := range []struct {
		l    registry.Listed
		want string
	}{
		{registry.Listed{Serial: "SN-1", Note: new("y")}, "edit; note x>y"},
		{registry.Listed{Serial: "SN-1", Labels: map[string]string{"rack": "a2"}}, `edit; label.rack "a1">"a2"; label.row "2">`},
		{registry.Listed{Serial: "SN-1", Owner: new(""), Note: new(""), OS: new(""), Tags: []string{}, Labels: map[string]string{}},
			`edit; owner ana>; note y>; tags gpu>; label.rack "a2">; assigned_os debian-12>`},
	} {
		if got := imported(t, r, c.l); got[0] != c.want {
			t.Errorf("%q, want %q", got[0], c.want)
		}
	}
}

// Names move along a chain in one list, and not round in a circle.
func TestImportRenames(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	imported(t, r, registry.Listed{Name: "a", Serial: "A1"}, registry.Listed{Name: "b", Serial: "B1"}, registry.Listed{Name: "c", Serial: "C1"})
	if got := imported(t, r, registry.Listed{Name: "b", Serial: "A1"}, registry.Listed{Name: "c", Serial: "B1"}, registry.Listed{Name: "d", Serial: "C1"}); !slices.Equal(got,
		[]string{"edit; name a>b", "edit; name b>c", "edit; name c>d"}) {
		t.Errorf("a chain: %q", got)
	}
	for _, list := range [][]registry.Listed{
		{{Name: "c", Serial: "A1"}, {Name: "b", Serial: "B1"}},
		{{Name: "d", Serial: "A1"}},
		{{Name: m.Name, Serial: "NEW"}},
	} {
		if got := imported(t, r, list...); !strings.HasPrefix(got[0], "refuse: ") {
			t.Errorf("%+v: %q", list, got)
		}
	}
}

// A machine that was expected is that machine when it registers, whatever it is
// known by, and keeps what the list said.
func TestExpectedMachineRegisters(t *testing.T) {
	hardware := registry.Hardware{System: registry.System{Vendor: "Dell Inc.", Product: "R660", Serial: "SN-7", UUID: "4c4c4544-0042-3510-8052-b4c04f4a3232"}}
	for _, l := range []registry.Listed{
		{Serial: "SN-7"},
		{Serial: "SN-7", Vendor: "DELL"},
		{UUID: "4C4C4544-0042-3510-8052-B4C04F4A3232"},
		{MACs: []registry.MAC{nic(2)}},
		{MACs: []registry.MAC{nic(3)}, Serial: "SN-7", Model: "PowerEdge"},
	} {
		r, _ := fleet(t, registrytest.Memory())
		if _, err := r.SetRules(by(t, "ana"), registry.AnyVersion, []registry.Rule{{Name: "all", Set: registry.RuleSetTo{NamePattern: "node-{n}", Owner: "rules", Tags: []string{"new"}}}}); err != nil {
			t.Fatal(err)
		}
		l.Name, l.Owner, l.Tags, l.Note, l.Labels = "rack1-7", new("lab"), []string{"gpu"}, new("top"), map[string]string{"rack": "a1"}
		if got := imported(t, r, l); !strings.HasPrefix(got[0], "create") {
			t.Fatalf("%+v: %q", l, got)
		}
		expected, err := r.Machine(t.Context(), "rack1-7")
		if err != nil || expected.State != registry.Discovered {
			t.Fatalf("expected: %+v, %v", expected, err)
		}
		m, created, err := r.Register(t.Context(), registry.Registration{MAC: nic(2), MACs: []registry.MAC{nic(2), nic(3)}, Hardware: hardware})
		if err != nil || !created || m.ID != expected.ID || m.Name != "rack1-7" || m.Owner != "lab" || m.Note != "top" || m.State != registry.Ready ||
			!slices.Equal(m.Tags, []string{"gpu", "new"}) || m.Labels["rack"] != "a1" || m.Hardware.System != hardware.System {
			t.Errorf("%+v registers: %v %+v, %v", l, created, m, err)
		}
	}
}

// A machine that was expected without a name is named by the rules.
func TestExpectedMachineIsNamedByRules(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	if _, err := r.SetRules(by(t, "ana"), registry.AnyVersion, []registry.Rule{{Name: "all", Set: registry.RuleSetTo{NamePattern: "node-{n}"}}}); err != nil {
		t.Fatal(err)
	}
	imported(t, r, registry.Listed{Serial: "SN-7"}, registry.Listed{Serial: "SN-8"})
	m, _, err := r.Register(t.Context(), registry.Registration{MAC: nic(2), Hardware: registry.Hardware{System: registry.System{Serial: "SN-7"}}})
	if err != nil || m.Name != "node-1" || r.Count() != 3 {
		t.Errorf("%d machines; %+v, %v", r.Count(), m, err)
	}
}

// What somebody agreed to is done, or nothing: the plan is another one when the
// machine was changed meanwhile in what the list says.
func TestImportAsAgreed(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	item := registry.ImportItem{Listed: registry.Listed{Serial: "SN-1", Owner: new("ana")}}
	dry, err := r.Import(registry.WithDryRun(by(t, "ana")), []registry.ImportItem{item})
	if err != nil {
		t.Fatal(err)
	}
	item.Plan = dry[0].Fingerprint()
	edit := func(p registry.Patch) {
		if _, err := r.Edit(by(t, "ben"), m.ID, registry.AnyVersion, p); err != nil {
			t.Fatal(err)
		}
	}
	edit(registry.Patch{Owner: new("ben")})
	if steps, err := r.Import(by(t, "ana"), []registry.ImportItem{item}); err != nil || steps[0].Err == nil || !strings.Contains(steps[0].Err.Error(), "agreed") {
		t.Errorf("somebody else's owner: %+v, %v", steps, err)
	}
	edit(registry.Patch{Owner: new(""), Note: new("another thing")})
	if steps, err := r.Import(by(t, "ana"), []registry.ImportItem{item}); err != nil || steps[0].Action != registry.ImportEdit || steps[0].Machine.Note != "another thing" {
		t.Errorf("another field: %+v, %v", steps, err)
	}
	if steps, err := r.Import(by(t, "ana"), []registry.ImportItem{item}); err != nil || steps[0].Action != registry.ImportSame {
		t.Errorf("done before: %+v, %v", steps, err)
	}
	audit, err := r.Audit(t.Context(), m.ID, 0, 1)
	if err != nil || len(audit) != 1 || audit[0].Action != "machine.imported" || audit[0].Actor.Name != "ana" || !strings.Contains(string(audit[0].After), `"owner":"ana"`) {
		t.Errorf("audit: %+v, %v", audit, err)
	}
}

// racing is a store in which somebody else writes before each of the first commits.
type racing struct {
	registry.Store
	before []func()
}

func (s *racing) Commit(ctx context.Context, c registry.Change) error {
	if len(s.before) > 0 {
		race := s.before[0]
		s.before = s.before[1:]
		race()
	}
	return s.Store.Commit(ctx, c)
}

func TestImportRaces(t *testing.T) {
	store := &racing{Store: registrytest.Memory()}
	r, m := fleet(t, store)
	other, err := registry.New(t.Context(), store.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(p registry.Patch) func() {
		return func() {
			if _, err := other.Edit(by(t, "ben"), m.ID, registry.AnyVersion, p); err != nil {
				t.Error(err)
			}
		}
	}
	store.before = []func(){edit(registry.Patch{Note: new("1")}), edit(registry.Patch{Note: new("2")})}
	steps, err := r.Import(by(t, "ana"), []registry.ImportItem{{Listed: registry.Listed{Serial: "SN-1", Owner: new("ana")}}})
	if err != nil || tell(steps[0]) != "edit; owner >ana" || steps[0].Machine.Note != "2" || steps[0].Machine.Version != m.Version+3 {
		t.Errorf("lost two races: %+v, %v", steps, err)
	}
	store.before = []func(){edit(registry.Patch{Name: new("rack1-1")})}
	steps, err = r.Import(by(t, "ana"), []registry.ImportItem{{Listed: registry.Listed{Name: "rack1-1", Serial: "SN-9"}}})
	if err != nil || tell(steps[0]) != "refuse: rack1-1 has reported the serial number SN-1, and the list says SN-9" {
		t.Errorf("the name was taken: %q, %v", tell(steps[0]), err)
	}
	store.before = []func(){edit(registry.Patch{Owner: new("cleo")})}
	steps, err = r.Import(by(t, "ana"), []registry.ImportItem{{Listed: registry.Listed{Serial: "SN-1", Owner: new("cleo")}}})
	if err != nil || tell(steps[0]) != "unchanged" {
		t.Errorf("somebody else did the same: %q, %v", tell(steps[0]), err)
	}
}

// Records of addresses that were only seen on the wire become part of the machine
// that the list says they belong to.
func TestImportAbsorbsWhatWasSeen(t *testing.T) {
	store := registrytest.Memory()
	for i, last := range []byte{21, 22, 23} {
		seen := registry.Machine{ID: fmt.Sprintf("m-seen%d", i), State: registry.Discovered, MACs: []registry.MAC{nic(last)}, Name: registry.Name(nic(last).String(), 0)}
		if i == 2 {
			seen.Owner = "ben"
		}
		if err := store.Commit(t.Context(), registry.Change{Op: seen.ID, Put: []registry.Machine{seen}}); err != nil {
			t.Fatal(err)
		}
	}
	r, m := fleet(t, store)
	if got := imported(t, r, registry.Listed{Serial: "SN-1", MACs: []registry.MAC{nic(21), nic(22)}}); !strings.HasPrefix(got[0], "edit; macs ") || !strings.Contains(got[0], "; record ") {
		t.Errorf("%q", got)
	}
	if entry, _ := r.Lookup(nic(22)); r.Count() != 2 || entry.ID != m.ID {
		t.Errorf("%d machines, %+v", r.Count(), entry)
	}
	if got := imported(t, r, registry.Listed{Serial: "SN-1", MACs: []registry.MAC{nic(23)}}); !strings.HasPrefix(got[0], "refuse: what it says is true of ") {
		t.Errorf("an address that somebody owns: %q", got)
	}
}

// Machines that are expected leave room for those that are seen for the first time.
func TestExpectedMachinesAreNoStrangers(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	var list []registry.Listed
	for i := range 1200 {
		list = append(list, registry.Listed{Name: fmt.Sprintf("node-%d", i), MACs: []registry.MAC{{6, 0, 0, 0, byte(i >> 8), byte(i)}}})
	}
	imported(t, r, list...)
	if r.CountIn(registry.Discovered) != 1200 {
		t.Fatalf("%d are expected", r.CountIn(registry.Discovered))
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() { stop(); <-done }()
	r.Sight(registry.Sighting{At: time.Now(), MAC: nic(77), Stage: registry.StageDHCP})
	for after := int64(0); ; {
		if _, known := r.Lookup(nic(77)); known {
			return
		}
		events, err := r.Feed().Next(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		after = events[len(events)-1].Seq
	}
}

func TestImportRefusals(t *testing.T) {
	r, _ := fleet(t, registrytest.Memory())
	if _, err := r.Import(t.Context(), make([]registry.ImportItem, registry.MaxImport+1)); err == nil || !strings.Contains(err.Error(), "at most 10000") {
		t.Errorf("too many: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Import(gone, []registry.ImportItem{{Listed: registry.Listed{Serial: "x"}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits for it: %v", err)
	}
	if steps, err := r.Import(t.Context(), nil); err != nil || len(steps) != 0 {
		t.Errorf("nothing: %v, %v", steps, err)
	}
}
