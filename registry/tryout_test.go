package registry_test

import (
	"errors"
	"fmt"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// Rules are tried on every machine there is, and change none; one that is disabled
// applies to none.
func TestTryRules(t *testing.T) {
	r := open(t, registrytest.Memory())
	a, _ := mustRegister(t, r, registration(1, "", "S1"))
	mustRegister(t, r, registration(2, "", "S2"))
	rules := []registry.Rule{{Name: "one", Match: registry.RuleMatch{Serial: "S1"}, Set: registry.RuleSetTo{Tags: []string{"gpu"}, Owner: "lab"}},
		{Name: "all", Set: registry.RuleSetTo{NamePattern: "node-{serial}"}}, {Name: "off", Disabled: true, Set: registry.RuleSetTo{Owner: "eve"}}}
	got, err := r.TryRules(t.Context(), rules, "one")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("[{%s %s [one all] [{name %[2]s node-s1} {owner  lab} {tag  gpu}]}]", a.ID, a.Name)
	if fmt.Sprint(got.Trials) != want || got.Looked != 2 || got.More || got.Applies["all"] != 2 || got.Applies["one"] != 1 || got.Applies["off"] != 0 {
		t.Errorf("%+v, want %s", got, want)
	}
	if got, err = r.TryRules(t.Context(), rules, ""); err != nil || len(got.Trials) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if m, err := r.Machine(t.Context(), a.ID); err != nil || m.Name != a.Name || len(m.Tags) != 0 || m.Version != a.Version {
		t.Errorf("%+v, %v", m, err)
	}
	invalid, ok := errors.AsType[*registry.InvalidError](func() error { _, err := r.TryRules(t.Context(), []registry.Rule{{}}, ""); return err }())
	if !ok || len(invalid.Fields) == 0 {
		t.Errorf("a rule without anything: %v", invalid)
	}
}
