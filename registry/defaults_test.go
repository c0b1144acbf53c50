package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

const someHash = "$6$rounds=500000$q0NJxFJV.ImPIIaY$V1GBzsKZ3pjL5lXKhG6TA.pqvdpOioMxfC78HH35WsFeh6uiBJYy96kMRJ1AtKGctVQkwVn0GqdW27uv.h92C."

func ana(hash string) registry.SeedUser { return registry.SeedUser{Name: "ana", PasswordHash: hash} }

// Defaults are kept, sealed, and are the lowest layer of what a deployment is given; the
// hash of a password goes to machines and to nobody else.
func TestDefaults(t *testing.T) {
	store := registrytest.Memory()
	var asked registry.SeedRequest
	tools := testTools()
	tools.Seed = func(_ context.Context, r registry.SeedRequest) (registry.Seeded, error) {
		asked = r
		return registry.Seeded{Parameters: map[string]string{"user_data": fmt.Sprint(r.Defaults)}, Notes: []string{"a note of the seed"}}, nil
	}
	r := openTools(t, store, tools)
	if d, err := r.Defaults(t.Context()); err != nil || d.Version != 0 || !d.Seed.Empty() {
		t.Errorf("before any: %+v, %v", d, err)
	}
	want := registry.Seed{Timezone: "UTC", Packages: []string{"curl"}, Users: []registry.SeedUser{ana(someHash)}}
	d, err := r.SetDefaults(by(t, "cleo"), registry.Unstored, want)
	if err != nil || d.Version != 1 || d.Seed.Users[0].PasswordHash != registry.HashKept || want.Users[0].PasswordHash != someHash {
		t.Fatalf("%+v, %v", d, err)
	}
	if again, err := r.SetDefaults(by(t, "cleo"), 1, d.Seed); err != nil || again.Version != 1 {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	d.Seed.Packages = append(d.Seed.Packages, "htop")
	if d, err = r.SetDefaults(by(t, "cleo"), registry.AnyVersion, d.Seed); err != nil || d.Version != 2 {
		t.Fatalf("another package: %+v, %v", d, err)
	}
	var lost *registry.ConflictError
	if _, err := r.SetDefaults(by(t, "cleo"), 1, registry.Seed{}); !errors.As(err, &lost) || lost.Stored != 2 {
		t.Errorf("a stale version: %v", err)
	}
	g := &rig{Registry: r, store: store}
	g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
	plan, err := r.Deploy(registry.WithDryRun(by(t, "cleo")), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{})
	if err != nil || len(plan.Problems) > 0 || !strings.Contains(strings.Join(plan.Notes, ";"), "a note of the seed") {
		t.Fatalf("%+v, %v", plan, err)
	}
	if asked.Defaults.Users[0].PasswordHash != someHash || len(asked.Defaults.Packages) != 2 {
		t.Errorf("a deployment begins from %+v", asked.Defaults)
	}
	made, err := r.TryDefaults(t.Context(), g.m.Name, "linux", registry.Seed{Users: []registry.SeedUser{ana(registry.HashKept)}})
	if err != nil || strings.Contains(made.Parameters["user_data"], someHash) || !strings.Contains(made.Parameters["user_data"], registry.HashKept) || asked.Defaults.Users[0].PasswordHash != someHash {
		t.Errorf("tried: %+v, %v", made, err)
	}
	entries, err := r.Audit(t.Context(), "defaults", 0, 10)
	if err != nil || len(entries) != 2 || entries[1].Before != nil || entries[0].Actor.Name != "cleo" {
		t.Fatalf("audit: %+v, %v", entries, err)
	}
	for i, word := range []string{registry.HashKept, "changed"} { // the newest first
		if after := string(entries[i].After); strings.Contains(after, "$6$") || !strings.Contains(after, `"password_hash":"`+word+`"`) {
			t.Errorf("audit %d: %s", i, after)
		}
	}
}

func TestWrongDefaults(t *testing.T) {
	tools := testTools()
	tools.CheckDefaults = func(s registry.Seed) error {
		if s.Timezone != "" {
			return &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/timezone", Message: "there is none"}}}
		}
		return nil
	}
	r := openTools(t, registrytest.Memory(), tools)
	fixed := registry.Link{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24")}}
	_, err := r.SetDefaults(by(t, "cleo"), registry.AnyVersion, registry.Seed{Hostname: "elk", FQDN: "elk.example", Timezone: "Nowhere", Users: []registry.SeedUser{ana(registry.HashKept)},
		Network: registry.Network{Ethernets: []registry.Ethernet{{MAC: registry.MAC{2, 0, 0, 0, 0, 1}, Link: fixed}}, Bonds: []registry.Bond{{Name: "bond0"}}, VLANs: []registry.VLAN{{Name: "v", Link: fixed}}}})
	wrong, ok := errors.AsType[*registry.InvalidError](err)
	if !ok {
		t.Fatal(err)
	}
	var at []string
	for _, f := range wrong.Fields {
		at = append(at, f.Pointer)
	}
	if got, want := strings.Join(at, " "), "/users/0/password_hash /hostname /fqdn /network/ethernets/0/mac /network/ethernets/0/addresses /network/bonds /network/vlans/0/addresses /timezone"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if d, err := r.Defaults(t.Context()); err != nil || d.Version != 0 {
		t.Errorf("something was kept: %+v, %v", d, err)
	}
}

func TestApplyDefaults(t *testing.T) {
	r := openTools(t, registrytest.Memory(), testTools())
	for _, c := range []struct {
		seed registry.Seed
		want string
	}{
		{registry.Seed{}, "unchanged"},
		{registry.Seed{Timezone: "UTC", Users: []registry.SeedUser{ana(someHash)}}, `edit; timezone >"UTC"; users >[{"name":"ana","password_hash":"changed"}]`},
		{registry.Seed{Timezone: "UTC", Users: []registry.SeedUser{ana(registry.HashKept)}}, "unchanged"},
		{registry.Seed{Users: []registry.SeedUser{ana(someHash + "x")}}, `edit; timezone "UTC">; users [{"name":"ana","password_hash":"kept"}]>[{"name":"ana","password_hash":"changed"}]`},
		{registry.Seed{Users: []registry.SeedUser{{Name: "ben", PasswordHash: registry.HashKept}}}, "refuse"},
	} {
		done, err := r.Apply(by(t, "cleo"), registry.Wanted{Defaults: &c.seed})
		if err != nil {
			t.Fatal(err)
		}
		told := string(done.Defaults.Action)
		for _, change := range done.Defaults.Changes {
			told += fmt.Sprintf("; %s %s>%s", change.Field, change.Before, change.After)
		}
		if told != c.want {
			t.Errorf("%s\nwant %s", told, c.want)
		}
	}
	dry, err := r.Apply(registry.WithDryRun(by(t, "cleo")), registry.Wanted{Defaults: &registry.Seed{}})
	if err != nil || dry.Defaults.Action != registry.ImportEdit {
		t.Fatalf("%+v, %v", dry.Defaults, err)
	}
	if _, err := r.SetDefaults(by(t, "ben"), registry.AnyVersion, registry.Seed{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(by(t, "cleo"), registry.Wanted{Defaults: &registry.Seed{}, Plan: dry.Plan()}); !errors.Is(err, registry.ErrPlan) {
		t.Errorf("somebody was faster: %v", err)
	}
}
