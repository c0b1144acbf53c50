package tinkerbell

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// one is a template with one action, and text in the place of that.
func one(action string) string {
	return "version: \"0.1\"\nname: x\ntasks:\n- name: a\n  worker: w\n  actions:\n" + action
}

// The verdicts, and where ours is stricter than Tinkerbell's.
func TestVerdicts(t *testing.T) {
	long := strings.Repeat("n", MaxName)
	var tasks, actions strings.Builder
	for i := range MaxTasks {
		fmt.Fprintf(&tasks, "- {name: t%d, worker: w}\n", i)
	}
	for i := range MaxActions {
		fmt.Fprintf(&actions, "  - {name: a%d, image: alpine}\n", i)
	}
	for name, c := range map[string]struct {
		text     string
		upstream bool   // Tinkerbell accepts it
		want     string // a part of our error; empty where we accept it
	}{
		"as short as can be":       {"name: x\ntasks: [{name: a, worker: w}]", true, ""},
		"JSON":                     {`{"name": "x", "tasks": [{"name": "a", "worker": "w", "actions": [{"name": "a", "image": "alpine", "timeout": 1}]}]}`, true, ""},
		"longest name":             {"name: " + long + "\ntasks: [{name: a, worker: w}]", true, ""},
		"name too long":            {"name: " + long + "n\ntasks: [{name: a, worker: w}]", false, "name has 200 bytes; want 1 to 199"},
		"name in two-byte letters": {"name: " + strings.Repeat("é", 100) + "\ntasks: [{name: a, worker: w}]", false, "name has 200 bytes"},
		"no name":                  {"tasks: [{name: a, worker: w}]", false, "name is missing"},
		"empty name":               {"name: ''\ntasks: [{name: a, worker: w}]", false, "name is missing"},
		"number as a name":         {"name: 0644\ntasks: [{name: 1e3, worker: true}]", true, ""},
		"no tasks":                 {"name: x\ntasks: []", false, "tasks is missing"},
		"no worker":                {"name: x\ntasks: [{name: a}]", false, "worker is missing"},
		"tasks of one name":        {"name: x\ntasks: [{name: a, worker: w}, {name: a, worker: w}]", false, "another task is called"},
		"actions of one name":      {one("  - {name: a, image: alpine}\n  - {name: a, image: alpine}"), false, "another action is called"},
		"one name, two tasks":      {"name: x\ntasks: [{name: a, worker: w, actions: [{name: a, image: b}]}, {name: b, worker: w, actions: [{name: a, image: b}]}]", true, ""},
		"no image":                 {one("  - {name: a}"), false, "image is missing"},
		"image of upper case":      {one("  - {name: a, image: Alpine}"), false, "must be lowercase"},
		"image of 64 hex":          {one("  - {name: a, image: " + strings.Repeat("a", 64) + "}"), false, "64-byte hexadecimal"},
		"image with a digest":      {one("  - {name: a, image: 'r:5000/a/b:v1@sha256:" + strings.Repeat("a", 64) + "'}"), true, ""},
		"quoted seconds":           {one("  - {name: a, image: alpine, timeout: '60'}"), false, "without quotes"},
		"seconds in hex":           {one("  - {name: a, image: alpine, timeout: 0x3c}"), true, ""},
		"whole float":              {one("  - {name: a, image: alpine, timeout: 6e1}"), true, ""},
		"duration":                 {one("  - {name: a, image: alpine, timeout: 60s}"), false, "whole number of seconds"},
		"too many seconds":         {one("  - {name: a, image: alpine, timeout: 99999999999999999999}"), false, "whole number of seconds"},
		"negative seconds":         {one("  - {name: a, image: alpine, timeout: -1}"), true, ""},
		"scalars as variables":     {one("  - {name: a, image: alpine, environment: {A: 0644, B: true, C: 1.50, D: null, E: 2026-01-01, F: yes, 7: ''}}"), true, ""},
		"list as a variable":       {one("  - {name: a, image: alpine, environment: {A: []}}"), false, "the value of a variable is a text"},
		"text as a command":        {one("  - {name: a, image: alpine, command: ls}"), false, "command is the text \"ls\"; want a list"},
		"nulls":                    {one("  - {name: a, image: alpine, command: null, environment: , volumes: ~, namespaces: null, timeout: null}"), true, ""},
		"key twice":                {"name: x\nname: y\ntasks: [{name: a, worker: w}]", false, "a second time; leave one (the first is on line 1)"},
		"alias":                    {"name: x\ntasks: [{name: &n a, worker: *n}]", true, ""},
		"alias of nothing":         {"name: x\ntasks: [{name: a, worker: *n}]", false, "this is no YAML"},
		"merged":                   {"name: x\ntasks: [{<<: {name: a, worker: w}, name: b}]", true, ""},
		"merged, of two":           {"name: x\ntasks: [{<<: [{name: a}, {name: b, worker: w}]}]", true, ""},
		"merged, no mapping":       {"name: x\ntasks: [{<<: 1, name: a, worker: w}]", false, "<< is the text"},
		"tab":                      {"name: x\n\ttasks: []", false, "line 2: this is no YAML"},
		"a list":                   {"[]", false, "a template is a list; want a mapping with"},

		"unknown member":   {"name: x\ntaks: []\ntasks: [{name: a, worker: w}]", true, `"taks" is no member of a template; did you mean tasks?`},
		"other version":    {"version: '1'\nname: x\ntasks: [{name: a, worker: w}]", true, `the only one is "0.1"`},
		"second document":  {"name: x\ntasks: [{name: a, worker: w}]\n---\n", true, "a second document"},
		"half a second":    {one("  - {name: a, image: alpine, timeout: 1.5}"), true, "whole number of seconds"},
		"too many tasks":   {"name: x\ntasks:\n" + tasks.String() + "- {name: t, worker: w}", true, "more than 100 tasks"},
		"too many actions": {one(actions.String() + "  - {name: a, image: alpine}"), true, "more than 1000 actions"},
		"most tasks":       {"name: x\ntasks:\n" + tasks.String(), true, ""},
		"most actions":     {one(actions.String()), true, ""},
		"too large":        {"name: x\ntasks: [{name: a, worker: w}]\n#" + strings.Repeat("a", MaxRendered), true, "want at most 262144"}, // by another check of theirs
	} {
		read, err := Parse([]byte(c.text))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if err == nil {
			compare(t, read, []byte(c.text))
		}
		if theirs := upstream([]byte(c.text)); (theirs == nil) != c.upstream {
			t.Errorf("%s: Tinkerbell says %v", name, theirs)
		}
	}
}

// Aliases that multiply are not followed for long, and the problems are bounded.
func TestAliasesThatMultiply(t *testing.T) {
	var text strings.Builder
	text.WriteString("name: x\nx1: &e {")
	for i := range 2000 {
		fmt.Fprintf(&text, "V%d: a, ", i)
	}
	text.WriteString("}\nx2: &a [")
	for range 900 {
		text.WriteString("{name: a, image: alpine, environment: *e}, ")
	}
	text.WriteString("]\ntasks: [")
	for range 90 {
		text.WriteString("{name: a, worker: w, actions: *a}, ")
	}
	_, err := Parse([]byte(text.String() + "]"))
	wrong := err.(*InvalidError)
	if !strings.Contains(err.Error(), "aliases multiply") || len(wrong.Problems) > maxProblems+1 {
		t.Errorf("%d problems: %.300s", len(wrong.Problems), err)
	}
}

// YAML of the worst kinds ends soon, as a rendered text and as a file of objects.
func TestYAMLThatIsSlow(t *testing.T) {
	for name, text := range map[string]string{
		"lists": "[", "mappings": "{a: ", "entries": "- ", "keys": "? ", "anchors": "&a ", "tags": "!a ", "quotes": `"`, "comments": "#\n", "entries with comments": "- #a\n",
		"aliases": "- &a [*a]\n", "documents": "---\n", "folded": ">\n ", "merges": "- &a {<<: *a}\n", "tabs": "\t", "colons": ": ", "words": "a ", "lines": "a\n", "members": "a:\n", "entries of lists": "-\n", "directives": "%TAG ! a\n", "zero": "\x00", "percent": `"\x`,
	} {
		full := []byte(strings.Repeat(text, MaxRendered/len(text)))
		var err, documentsErr error
		var found int
		took := cpuTime(t, func() {
			_, err = Parse(full)
			all, failed := Documents(append([]byte("apiVersion: v1\nkind: Template\nspec:\n  data: "), full...))
			found, documentsErr = len(all), failed
		})
		if err == nil || (documentsErr == nil) != (found == 1) || took > 15*time.Second { // under the race detector, on a slow host; what is quadratic takes minutes
			t.Errorf("%s: %.200v; %d documents, %v, after %s", name, err, found, documentsErr, took)
		}
	}
}

func TestProblem(t *testing.T) {
	for want, p := range map[string]Problem{
		"line 14, task install, action stream: image is missing": {Line: 14, Column: 3, Task: "install", Action: "stream", Message: "image is missing"},
		"line 14, task install: no":                              {Line: 14, Task: "install", Message: "no"},
		"task install: no":                                       {Task: "install", Message: "no"},
		"no":                                                     {Message: "no"},
	} {
		if got := p.String(); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func TestKnown(t *testing.T) {
	for image, want := range map[string]string{
		"quay.io/tinkerbell/actions/image2disk:latest": "image2disk", "image2disk": "image2disk", "image2disk:v1.0.0": "image2disk",
		"registry.local:5000/mirror/cexec@sha256:" + strings.Repeat("a", 64): "cexec", "alpine": "", "my-image2disk": "", "BAD": "", "": "",
	} {
		if got, ok := Known(image); got.Name != want || ok != (want != "") {
			t.Errorf("%s: %s; want %s", image, got.Name, want)
		}
	}
	for _, a := range KnownActions() {
		for _, v := range a.Variables {
			if v.About == "" || v.Name == "" || v.Required && v.Default != "" || v.Default != "" && !v.Kind.allows(v.Default) {
				t.Errorf("%s: %+v", a.Name, v)
			}
		}
	}
}

func TestDocuments(t *testing.T) {
	const file = `# a file
apiVersion: v1
kind: Secret
---
apiVersion: tinkerbell.org/v1alpha1
kind: Template
metadata: {name: one}
spec:
  data: |
      name: x
      {{ range .a }}
---
{"apiVersion": "tinkerbell.org/v1alpha1", "kind": "Template", "metadata": {"name": "two"}, "spec": {"data": "name: y\nid: z"}}
`
	all, err := Documents([]byte(file))
	if err != nil || len(all) != 2 || all[0].Name != "one" || string(all[0].Text) != "name: x\n{{ range .a }}\n" || string(all[1].Text) != "name: y\nid: z" {
		t.Fatalf("%+v, %v", all, err)
	}
	if p := all[0].InFile(Problem{Line: 2, Column: 1, First: 1}); p.Line != 11 || p.Column != 7 || p.First != 10 {
		t.Errorf("%+v; want 11:7, first 10", p)
	}
	if p := all[1].InFile(Problem{Line: 1}); p.Line != 13 || p.Column != 0 || p.First != 0 {
		t.Errorf("%+v; want line 13", p)
	}
	if all, err := Documents([]byte("name: {{ .x }}")); err != nil || len(all) != 1 || all[0].Lines != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for text, want := range map[string]string{"apiVersion: v1\nkind: Pod": "none is a Template", "apiVersion: v1\na: [": "no YAML"} {
		if _, err := Documents([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
