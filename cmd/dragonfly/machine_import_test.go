package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestMachineImport(t *testing.T) {
	r := start(t, testConfig(t))
	known := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	fileOf(t, path("rack.csv"), "\ufeffHost name;MAC;Serial Number;Owner;tags;label.rack\r\na-1;02:00:00:00:00:01;;ana;gpu,no;a 1\r\na-2;02-00-00-00-00-02 020000000003;0071;;;\r\n;;;;;\r\n")
	fileOf(t, path("rack.tsv"), "serial\tnote\n0071\tsecond PSU\n")
	fileOf(t, path("rack.json"), `[{"name":"a-3","mac":"02:00:00:00:00:04"},{"serial":"0071","labels":{"row":"7"}}]`)
	fileOf(t, path("rack.jsonl"), `{"name":"a-3","owner":"ben"}`+"\n"+`{"name":"a-2","owner":"ben"}`+"\n")
	fileOf(t, path("rack.yaml"), "- name: a-4\n  serial: S4\n- name: a-1\n  tags: []\n")
	fileOf(t, path("rules.yaml"), rulesHead+"rules: []\n")
	fileOf(t, path("refused.csv"), "name,owner\nnobody,ana\na-1,cem\n")
	fileOf(t, path("wrong.csv"), "name,mac,Price\nok,02:00:00:00:00:09,7\nRack 9,zz,\n")
	fileOf(t, path("rack.xlsx"), "PK")
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"", 2, "want a file, or - for standard input"},
		{path("nothing.csv"), 1, "no such file"},
		{path("rack.xlsx"), 2, "give --format csv, json or yaml; a spreadsheet is to be saved as CSV"},
		{path("rack.csv") + " --format cvs", 2, "want csv, json or yaml; did you mean csv?"},
		{path("rack.csv"), 2, "confirm with --yes"},
		{path("rack.csv") + " --dry-run", 7, "~ a-1  (" + path("rack.csv") + ":2)\n    name: a-1 (was " + known.Name + ")\n    owner: ana\n    tags: gpu no\n    label.rack: \"a 1\"\n" +
			"+ a-2  (" + path("rack.csv") + ":3)\n    name: a-2\n    macs: 02:00:00:00:00:02 02:00:00:00:00:03\n    serial: 0071\n1 to create, 1 to edit, 0 unchanged\n"},
		{path("rack.csv") + " --dry-run", 7, "this was a dry run: 1 to create, 1 to edit"},
		{path("rack.csv") + " --dry-run -o json", 7, `"file": "` + path("rack.csv") + `:3"`},
		{path("rack.csv") + " --yes -o name", 0, "a-1\na-2\n"},
		{path("rack.csv") + " --dry-run", 0, "2 unchanged\n"},
		{path("rack.tsv") + " --yes", 0, "1 edited, 0 unchanged\n"},
		{path("rack.json") + " --yes", 0, "1 created, 1 edited, 0 unchanged\n"},
		{path("rack.jsonl") + " --yes", 0, "2 edited, 0 unchanged\n"},
		{path("rack.yaml") + " --yes", 0, "1 created, 1 edited, 0 unchanged\n"},
		{path("rules.yaml") + " --yes", 1, path("rules.yaml") + ":1: this is about rules"},
		{path("wrong.csv") + " --yes", 1, "nothing was changed:\n" + path("wrong.csv") + ":1: Price: there is no such column; there are name"},
		{path("wrong.csv") + " --yes", 1, "\n" + path("wrong.csv") + ":3: mac: hardware address \"zz\""},
		{path("refused.csv") + " --yes", 4, "1 of 2 are refused; the first: nobody: 409: there is no such machine yet"},
	} {
		code, out, errs := r.cli(t, "", append([]string{"machine", "import"}, strings.Fields(step.args)...)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", strings.ReplaceAll(step.args, dir, ""), code, out, errs, step.code, step.want)
		}
	}
	if code, out, errs := r.cli(t, "name,owner\na-1,dan\n", "machine", "import", "-", "--format", "csv", "--yes"); code != 0 || !strings.Contains(out, "1 edited") {
		t.Errorf("standard input: %d %s%s", code, out, errs)
	}
	want := machineHead + "name: a-1\nmacs:\n- \"02:00:00:00:00:01\"\n"
	if text := r.run(t, "", "export", "--only", "machines"); !strings.HasPrefix(text, want) || strings.Count(text, "kind: Machine") != 4 ||
		!strings.Contains(text, "owner: dan\nlabels:\n  rack: a 1\n") || !strings.Contains(text, "serial: \"0071\"\nowner: ben\nnote: second PSU\nlabels:\n  row: \"7\"\n") {
		t.Errorf("what is stored:\n%s", text)
	}
	// A machine that comes is the one that the list told of.
	if m := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 3}, "0071"); m.Name != "a-2" {
		t.Errorf("it is called %s", m.Name)
	}
}

// A long list goes in several requests.
func TestMachineImportOfALongList(t *testing.T) {
	r := start(t, testConfig(t))
	var text strings.Builder
	text.WriteString("name,serial\n")
	const n = fewAtOnce + 300
	for i := range n {
		fmt.Fprintf(&text, "node-%d,S-%d\n", i, i)
	}
	if code, out, errs := r.cli(t, text.String(), "machine", "import", "-", "--format", "csv", "--yes"); code != 0 || !strings.Contains(out, "2300 created, 0 unchanged") || !strings.Contains(errs, "2000 of 2300 machines") {
		t.Errorf("%d %.200s%s", code, out, errs)
	}
}
