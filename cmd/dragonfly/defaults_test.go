package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

// someDefaults have something for every way of first boot, and something that Talos and
// Ignition cannot take.
const someDefaults = `timezone: UTC
ssh_keys: ["` + testKey + `"]
packages: [htop]
users:
- name: ana
  groups: [adm]
  password_hash: ` + hashOfAna + `
network:
  ethernets:
  - name: lan0
  vlans:
  - {name: lan0.42, id: 42, "on": lan0, dhcp4: true}
user_data: |
  #cloud-config
  locale: de_AT.UTF-8
`

const hashOfAna = "$6$rounds=500000$q0NJxFJV.ImPIIaY$V1GBzsKZ3pjL5lXKhG6TA.pqvdpOioMxfC78HH35WsFeh6uiBJYy96kMRJ1AtKGctVQkwVn0GqdW27uv.h92C."

// The commands keep what every deployment begins from, and every operating system is
// given what its first boot can take of it.
func TestDefaultsFromTheCommandLine(t *testing.T) {
	f := newOffice(t)
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "defaults.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run := func(code int, want string, args ...string) string {
		t.Helper()
		got, out, errs := f.cli(t, "", args...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%s: %d %s%s; want %d with %q", strings.Join(args, " "), got, out, errs, code, want)
		}
		return out
	}
	run(0, "{}", "defaults", "show")
	run(2, "want a file", "defaults", "edit")
	run(1, "did you mean packages?", "defaults", "edit", "-f", file("pakages: [curl]\n"))
	run(1, "there is no time zone", "defaults", "edit", "-f", file("timezone: Europe/Wien\n"))
	run(1, "want https", "defaults", "edit", "-f", file("ssh_keys: [\"http://github.com/ana.keys\"]\n"))
	run(1, "line 2", "defaults", "edit", "-f", file("user_data: |\n  #cloud-config\n  - x\n"))
	run(0, "version 1: 1 SSH key, 1 user, 1 package", "defaults", "edit", "-f", file(someDefaults))
	shown := run(0, "password_hash: kept", "defaults", "show")
	run(0, "version 1:", "defaults", "edit", "-f", file(shown))
	run(0, "version 2:", "defaults", "edit", "-f", file(strings.Replace(shown, "htop", "curl", 1)))
	run(4, "is at version 2", "defaults", "edit", "-f", file(shown))
	oses, err := f.OSes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range oses {
		reply, err := f.Deploy(t.Context(), f.m.ID, registry.DeployRequest{OS: o.ID}, true)
		if err != nil || len(reply.Plan.Problems) > 0 {
			t.Errorf("%s: %v %+v", o.ID, err, reply.Plan.Problems)
			continue
		}
		notes, left := strings.Join(reply.Plan.Notes, "; "), map[registry.FirstBoot]string{registry.FirstBootIgnition: "cannot take: packages, user_data",
			registry.FirstBootTalos: "cannot take: ssh_keys, users, packages, timezone, user_data", registry.FirstBootNone: "cannot take: users, packages, timezone, user_data"}[o.FirstBoot]
		if !strings.Contains(notes, left) || left == "" && strings.Contains(notes, "cannot take") {
			t.Errorf("%s (%s): notes %q, want %q", o.ID, o.FirstBoot, notes, left)
		}
		if o.ID != "debian-12" {
			continue
		}
		for _, want := range []string{"curl", "de_AT.UTF-8", "name: ana", hashOfAna, "lan0.42", strings.ToLower(f.mac), testKey} {
			if !strings.Contains(reply.Plan.Template, want) {
				t.Errorf("%s is given no %q:\n%s", o.ID, want, reply.Plan.Template)
			}
		}
	}
	text := run(0, "kind: Defaults", "export", "--only", "defaults")
	if strings.Contains(text, "$6$") {
		t.Errorf("a hash is exported:\n%s", text)
	}
	run(0, "1 unchanged", "apply", "-f", file(text), "--yes")
	other := start(t, testConfig(t))
	defer other.end(t)
	if code, out, errs := other.cli(t, "", "apply", "-f", file(text), "--yes"); code != 1 || !strings.Contains(out+errs, "no hash of a password") {
		t.Errorf("elsewhere, where the hash is not: %d %s%s", code, out, errs)
	}
	if code, out, errs := other.cli(t, "", "apply", "-f", file(strings.Replace(text, "password_hash: kept", "sudo: true", 1)), "--yes"); code != 0 || !strings.Contains(out, "1 edited") {
		t.Errorf("elsewhere: %d %s%s", code, out, errs)
	}
}
