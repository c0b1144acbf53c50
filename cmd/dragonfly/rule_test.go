package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestRuleCommands(t *testing.T) {
	r := start(t, testConfig(t))
	known := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const rack = "- name: rack\n  match: {vendor: acme, model: R2}\n  set: {name_pattern: 'rack1-{n:2}', labels: {rack: a1}, os: debian-12}\n"
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"rule list", 0, "NAME"},
		{"rule edit", 2, "want a file"},
		{"rule edit -f /nonexistent", 1, "no such file"},
		{"rule edit -f " + file("rules: 7"), 1, "rules: want a list and not a number"},
		{"rule edit -f " + file("rules: [{name: x, mach: {}}]"), 1, "line 1: rules[0].mach: there is no such field; did you mean match?"},
		{"rule edit -f " + file("- name: x\n  name: y"), 1, "already"},
		{"rule edit -f " + file("rules: [{name: x, set: {auto_deploy: true, owner: lab}}]"), 1, "want os beside it"},
		{"rule edit -f " + file("\t"), 1, "there are none"},
		{"rule edit -f " + file("rules: {"), 1, "this is no YAML"},
		{"rule edit -f " + file(rack), 0, "the rules are at version 1: 1 rule\n"},
		{"rule edit -f " + file("version: 9\nrules:\n"+rack), 4, "is at version 1 and version 9 was read"},
		{"rule edit -f " + file("version: 1\nrules:\n"+rack), 0, "the rules are at version 1"},
		{"rule list", 0, "model: R2, vendor: acme"},
		{"rule list -o yaml", 0, "name_pattern: rack1-{n:2}"},
		{"rule list -o json", 0, `"version": 1`},
		{"rule list -o name", 0, "rack\n"},
		{"rule test " + known.Name, 0, `its model is "R1"`},
		{"rule test " + known.Name + " -f " + file("- name: all\n  set: {owner: lab}\n"), 0, "lab"},
		{"rule test " + known.Name + " -o json", 0, `"applies": false`},
		{"rule test " + known.Name + " -o yaml", 0, "applies: false"},
		{"rule test nobody", 3, "not found"},
		{"machine edit " + known.Name + " --os ubuntu-24.04", 0, "is at version"},
		{"machine list os:ubuntu-24.04 -o name", 0, known.Name},
		{"machine show " + known.Name, 0, "ubuntu-24.04"},
	} {
		code, out, errs := r.cli(t, "", strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", step.args, code, out, errs, step.code, step.want)
		}
	}
	if fresh := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 2}, "R2"); fresh.Name != "rack1-01" {
		t.Errorf("a new machine is called %s", fresh.Name)
	}
	if code, out, errs := r.cli(t, "", "machine", "show", "rack1-01"); code != 0 || !strings.Contains(out, `by the rules "rack": named rack1-01, label rack=a1, operating system debian-12`) {
		t.Errorf("%d %s%s", code, out, errs)
	}
	_, kept, _ := r.cli(t, "", "rule", "list", "-o", "yaml") // what list writes, edit takes
	if code, out, errs := r.cli(t, kept, "rule", "edit", "-f", "-"); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
