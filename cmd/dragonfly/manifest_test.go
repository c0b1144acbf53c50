package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/manifest"
)

const (
	machineHead = "apiVersion: dragonfly/v1\nkind: Machine\n"
	rulesHead   = "apiVersion: dragonfly/v1\nkind: Rules\n"
)

// fileOf writes a file that a test reads.
func fileOf(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// everyKind is an appliance with rules and machines of all kinds.
func everyKind(t *testing.T) *rig {
	t.Helper()
	r := start(t, testConfig(t))
	rules := fileOf(t, filepath.Join(t.TempDir(), "rules"), "- name: all\n  match: {vendor: Acme}\n  set: {labels: {by: rules}}\n- name: \"7: last\"\n  match: {subnet: 192.0.2.0/24, bmc: false}\n  set: {name_pattern: 'rack-{n:2}', tags: [gpu]}\n")
	r.run(t, "", "rule", "edit", "-f", rules)
	one := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	two := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 2}, "0x1f")
	r.boot(t, registry.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}, "R3")
	r.run(t, "", "machine", "edit", one.Name, "--name", "rack1-7", "--owner", "ana", "--note", "second PSU is out:\n\task ben\n", "--label", "rack=07", "--label", "empty=", "--os", "debian-12")
	r.run(t, "", "machine", "tag", "rack1-7", "gpu", "no")
	r.run(t, "", "machine", "lock", "rack1-7", "--note", "its disk is being copied")
	r.run(t, "", "machine", "retire", two.Name)
	r.get(t, "/boot/02:00:00:00:00:09/auto.ipxe") // only seen on the wire
	expected := machineHead + "name: expected\nserial: EXP-1\nvendor: Dell Inc.\nretired: true\n---\n" + machineHead + "uuid: 4C4C4544-0042-3510-8052-B4C04F4A3232\nowner: ben\n"
	r.run(t, expected, "apply", "-f", "-", "--yes")
	for {
		if r.run(t, "", "machine", "list", "mac:02:00:00:00:00:09", "-o", "name") != "" {
			return r
		}
	}
}

// What is exported from one appliance makes a fresh one the same, and changes
// nothing where it is.
func TestExportAndApplyFromTheCommandLine(t *testing.T) {
	a, b := everyKind(t), start(t, testConfig(t))
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	if out := a.run(t, "", "export", "-o", file); out != "" {
		t.Errorf("beside the file it prints %q", out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\nkind: Machine\n"); n != 6 {
		t.Errorf("%d machines:\n%s", n, text)
	}
	if again := a.run(t, "", "export"); again != string(text) {
		t.Errorf("exported again:\n%s\nwas\n%s", again, text)
	}
	if code, out, errs := b.cli(t, "", "apply", "-f", file, "--dry-run"); code != exitDiffers || !strings.Contains(out, "+ rack1-7  ("+file+":") || !strings.Contains(errs, "6 to create, 1 to edit, 0 unchanged") {
		t.Errorf("dry run: %d %s%s", code, out, errs)
	}
	if out := b.run(t, "", "apply", "-f", file, "--yes"); !strings.Contains(out, "6 created, 1 edited, 0 unchanged") {
		t.Errorf("applied: %s", out)
	}
	if other := b.run(t, "", "export"); other != string(text) {
		t.Errorf("exported from the other:\n%s\nwas\n%s", other, text)
	}
	for name, r := range map[string]*rig{"a": a, "b": b} {
		before := r.run(t, "", "audit", "-o", "json")
		for _, more := range [][]string{{"--yes"}, {"--dry-run"}, {"--exact", "--prune"}} {
			if out := r.run(t, "", append([]string{"apply", "-f", file}, more...)...); out != "7 unchanged\n" {
				t.Errorf("%s, again: %s", name, out)
			}
		}
		if after := r.run(t, "", "audit", "-o", "json"); after != before {
			t.Errorf("%s: something was changed", name)
		}
	}
	// A machine that comes is the one that was expected.
	if m := b.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1"); m.Name != "rack1-7" {
		t.Errorf("it is called %s", m.Name)
	}
}

func TestApplyCommand(t *testing.T) {
	r := start(t, testConfig(t))
	known := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	fileOf(t, path("fleet/a.yaml"), machineHead+"name: a-1\nserial: A1\ntags: [x, y]\n---\n"+machineHead+"name: a-2\nserial: A2") // no end of line
	fileOf(t, path("fleet/sub/b.json"), `{"apiVersion":"dragonfly/v1","kind":"Machine","name":"b-1","serial":"B1"}`)
	fileOf(t, path("fleet/rules.yml"), rulesHead+"rules: []\n")
	fileOf(t, path("fleet/.git/c.yaml"), "not read")
	fileOf(t, path("fleet/README.md"), "not read")
	fileOf(t, path("twice.yaml"), "# again\n"+machineHead+"name: other\nserial: B1\n")
	fileOf(t, path("edit.yaml"), machineHead+"serial: A1\nname: a-9\ntags: [y, z]\nnote: \"two\\nlines\"\n")
	fileOf(t, path("refused.yaml"), machineHead+"name: nobody\n---\n"+machineHead+"name: a-9\nowner: ana\n")
	fileOf(t, path("only.yaml"), machineHead+"serial: A2\n")
	fileOf(t, path("rules.yaml"), rulesHead+"rules:\n- name: all\n  set: {owner: lab}\n")
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"apply", 2, "want files: -f FILE"},
		{"apply -f " + path("nothing"), 1, "no such file"},
		{"apply -f " + path("fleet/.git/.."), 2, "confirm with --yes"},
		{"apply -f " + path("fleet") + " --dry-run", 7, "+ a-1  (" + path("fleet/a.yaml") + ":1)\n    name: a-1\n    serial: A1\n    tags: x y\n"},
		{"apply -f " + path("fleet") + " --dry-run", 7, "+ b-1  (" + path("fleet/sub/b.json") + ":1)"},
		{"apply -f " + path("fleet") + " --dry-run", 7, "this was a dry run: 3 to create, 1 unchanged"},
		{"apply -f " + path("fleet") + " --dry-run -o name", 7, "a-1\na-2\nb-1\n"},
		{"apply -f " + path("fleet") + " --dry-run -o json", 7, `"file": "` + path("fleet/sub/b.json") + `:1"`},
		{"apply -f " + path("fleet") + " --dry-run -o yaml", 7, "created: 3\n"},
		{"apply -f " + path("fleet") + " --dry-run -o jsn", 2, "did you mean json?"},
		{"apply -f " + path("fleet") + " --yes", 0, "3 created, 1 unchanged\n"},
		{"apply -f " + path("fleet") + " --yes", 0, "4 unchanged\n"},
		{"apply -f " + path("fleet") + " --dry-run", 0, "4 unchanged\n"},
		{"apply -f " + path("fleet") + " -f " + path("twice.yaml") + " --yes", 1, path("twice.yaml") + ":2: the serial number B1 is that of another document too (the first is " + path("fleet/sub/b.json") + ":1)"},
		{"apply -f " + path("fleet/README.md") + " --yes", 1, path("fleet/README.md") + ":1: want fields"},
		{"apply -f " + path("edit.yaml") + " --dry-run", 7, "~ a-9  (" + path("edit.yaml") + ":1)\n    name: a-9 (was a-1)\n    note: \"two\\nlines\"\n    tags: +z -x\n"},
		{"apply -f " + path("edit.yaml") + " --yes", 0, "1 edited, 0 unchanged\n"},
		{"apply -f " + path("only.yaml") + " --exact --dry-run", 0, "1 unchanged\n"},
		{"apply -f " + path("edit.yaml") + " -f " + path("only.yaml") + " --only rules", 1, "there is no document about rules"},
		{"apply -f " + path("edit.yaml") + " --only rule", 2, "did you mean rules?"},
		{"apply -f " + path("refused.yaml") + " --dry-run", 4, "1 of 2 are refused; the first: nobody: 409: there is no such machine yet"},
		{"apply -f " + path("refused.yaml") + " --yes", 4, "1 of 2 are refused; the first: nobody: 409: there is no such machine yet"},
		{"machine list owner:ana -o name", 0, "a-9\n"},
		{"apply -f " + path("rules.yaml") + " --dry-run", 7, "~ rules  (" + path("rules.yaml") + ":1)\n    rule all\n      + {\"set\":{\"owner\":\"lab\"}}\n"},
		{"apply -f " + path("rules.yaml") + " --yes", 0, "1 edited"},
		{"apply -f " + path("rules.yaml") + " --prune --yes", 1, "would delete every machine"},
		{"apply -f " + path("only.yaml") + " --filter serial:A1 --yes", 2, "give --prune too"},
		{"apply -f " + path("only.yaml") + " --prune --filter serial:A1", 2, "confirm with --yes"},
		{"apply -f " + path("only.yaml") + " --prune --filter serial:A1 --dry-run", 7, "- a-9\n    name: none (was a-9)\n    serial: none (was A1)\n"},
		{"apply -f " + path("only.yaml") + " --prune --filter serial:A1 --yes", 0, "1 deleted, 1 unchanged\n"},
		{"machine list -o name", 0, "a-2\nb-1\n"},
		{"machine lock " + known.Name + " --note mine", 0, "is locked"},
		{"apply -f " + path("only.yaml") + " --prune --yes", 4, "the machine is locked by console: mine"},
		{"machine list -o name", 0, "a-2\n"},
		{"export --only machines --filter name:a-2", 0, machineHead + "name: a-2\nserial: A2\n"},
		{"export --only rules", 0, rulesHead + "rules:\n- name: all\n"},
		{"export --only rules -o " + path("nowhere/x"), 1, "no such file"},
		{"export --filter ownr:x", 1, "did you mean owner?"},
		{"export --only machine", 2, "did you mean machines?"},
		{"export -o /dev/null", 0, ""},
	} {
		code, out, errs := r.cli(t, "", strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", strings.ReplaceAll(step.args, dir, ""), code, out, errs, step.code, step.want)
		}
	}
	if code, _, stderr := r.cli(t, "a: [", "apply", "-f", "-", "--yes"); code != 1 || !strings.Contains(stderr, "nothing was changed:\n-:1: this is no YAML") {
		t.Errorf("standard input: %d %s", code, stderr)
	}
}

// A long list goes in several requests, and who only reads may not apply it.
func TestApplyOfALongList(t *testing.T) {
	r := start(t, testConfig(t))
	var text strings.Builder
	const n = fewAtOnce + 300
	for i := range n {
		fmt.Fprintf(&text, "%sname: node-%05d\nserial: S-%d\nlabels: {rack: r%d}\n---\n", machineHead, i, i, i/40)
	}
	file := fileOf(t, filepath.Join(t.TempDir(), "fleet.yaml"), text.String())
	var errs strings.Builder
	if code := run(t.Context(), []string{"apply", "-f", file, "--yes", "-o", "json", "--data-dir", r.cfg.DataDir}, &strings.Builder{}, &errs); code != 0 || !strings.Contains(errs.String(), "2300 of 2300 documents") {
		t.Fatalf("%d %s", code, errs.String())
	}
	for i := range registry.MaxImport {
		fmt.Fprintf(&text, "%sname: more-%05d\n---\n", machineHead, i)
	}
	more := fileOf(t, filepath.Join(t.TempDir(), "more.yaml"), text.String())
	if code, _, stderr := r.cli(t, "", "apply", "-f", more, "--prune", "--yes"); code != exitUsage || !strings.Contains(stderr, "at most 10000") {
		t.Errorf("pruned: %d %s", code, stderr)
	}
	docs, err := manifest.ParseAll([]byte(r.run(t, "", "export")))
	if err != nil || len(docs) != n {
		t.Fatalf("%d documents are exported, %v", len(docs), err)
	}
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	secret := strings.TrimSpace(r.run(t, "", "token", "create", "ci", "--owner", "ana", "--role", "viewer"))
	viewer := &api.Client{Base: r.url, Token: secret}
	if _, err := viewer.Apply(t.Context(), []byte(machineHead+"name: x\nserial: X1\n"), api.Apply{}); api.Status(err) != 403 {
		t.Errorf("a viewer applies: %v", err)
	}
	var whole strings.Builder
	if _, err := viewer.Export(t.Context(), api.Export{}, &whole); err != nil || strings.Count(whole.String(), "kind: Machine") != n {
		t.Errorf("a viewer exports: %v", err)
	}
	if _, err := (&api.Client{Base: r.url}).Export(t.Context(), api.Export{}, &whole); api.Status(err) != 401 {
		t.Errorf("nobody exports: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := viewer.Export(gone, api.Export{}, &whole); err == nil {
		t.Error("an export that nobody waits for")
	}
}

// The output of apply has a place for each document.
func TestAppliedAsJSON(t *testing.T) {
	r := start(t, testConfig(t))
	file := fileOf(t, filepath.Join(t.TempDir(), "x.yaml"), machineHead+"name: x\nserial: X1\n")
	var got struct {
		Created int
		Results []struct{ Action, Name, File string }
	}
	if err := json.Unmarshal([]byte(r.run(t, "", "apply", "-f", file, "--yes", "-o", "json")), &got); err != nil || got.Created != 1 || len(got.Results) != 1 || got.Results[0].File != file+":1" || got.Results[0].Action != "create" {
		t.Errorf("%+v, %v", got, err)
	}
}

// The catalogue goes with the rest, where it is not what comes with the version.
func TestExportAndApplyOfTheCatalogue(t *testing.T) {
	a, b := start(t, testConfig(t)), start(t, testConfig(t))
	a.run(t, "", "os", "disable", "debian-12")
	text := a.run(t, "", "export")
	if !strings.HasPrefix(text, "apiVersion: dragonfly/v1\nkind: OperatingSystem\nid: debian-12\n") || strings.Count(text, "kind: ") != 1 {
		t.Fatalf("exported:\n%s", text)
	}
	file := fileOf(t, filepath.Join(t.TempDir(), "oses.yaml"), text)
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"--dry-run --only oses", exitDiffers, "~ debian-12  (" + file + ":1)\n    disabled: true\n1 to edit, 0 unchanged\n"},
		{"--yes --only machines", exitError, "there is no document about machines"},
		{"--yes", 0, "1 edited, 0 unchanged\n"},
		{"--yes", 0, "1 unchanged\n"},
	} {
		if code, out, errs := b.cli(t, "", append([]string{"apply", "-f", file}, strings.Fields(step.args)...)...); code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", step.args, code, out, errs, step.code, step.want)
		}
	}
	if again := b.run(t, "", "export", "--only", "oses"); again != text {
		t.Errorf("exported from the other:\n%s", again)
	}
}
