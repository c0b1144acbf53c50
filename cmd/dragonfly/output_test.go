package main

import (
	"bufio"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"dragonfly/registry"
)

// lists are the command lines that list something. One that is called list is among
// them, or the test fails.
var lists = []string{"machine list", "machine list --fields name,state", "user list", "token list", "rule list", "audit", "cluster status", "context list",
	"os list", "image list", "image jobs", "deployment list", "template actions", "template actions cexec"}

// Every list has every form, with something in it and with nothing.
func TestEveryListHasEveryForm(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	everyCommand(rootCommand(), func(cmd *cobra.Command) {
		if line := strings.TrimPrefix(cmd.CommandPath(), "dragonfly "); cmd.Name() == "list" && !strings.Contains(strings.Join(lists, "\n"), line) {
			t.Errorf("%s is not tested", line)
		}
	})
	empty, full := start(t, testConfig(t)), everyKind(t)
	full.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	full.run(t, "", "token", "create", "ci", "--owner", "ana")
	full.run(t, "", "image", "import", fileOf(t, filepath.Join(t.TempDir(), "disk.raw"), string(rawDisk())))
	_, blank := full.rack(t, 8, 8<<30)
	full.run(t, "", "wipe", blank.Name, "--yes")
	for _, list := range lists {
		for _, form := range forms() {
			args := append(strings.Fields(list), "-o", form)
			for name, r := range map[string]*rig{"empty": empty, "full": full} {
				if strings.HasPrefix(list, "context") || strings.HasPrefix(list, "template") {
					r = nil // no appliance is asked
				}
				out := listed(t, r, args)
				if list == "cluster status" {
					name = "empty" // a host that stands alone has no members
				}
				something := name == "full" || r == nil || list == "os list" // some come with the program
				checkForm(t, strings.Join(args, " ")+", "+name, form, out, something)
			}
		}
	}
}

func forms() []string {
	cmd := &cobra.Command{}
	outputFlag(cmd)
	return cmd.Flag("output").Value.(*choice).of
}

func everyCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, below := range cmd.Commands() {
		everyCommand(below, do)
	}
}

// listed is what a list prints, which must succeed.
func listed(t *testing.T, r *rig, args []string) string {
	t.Helper()
	if r != nil {
		return r.run(t, "", args...)
	}
	var out, errs strings.Builder
	if code := run(t.Context(), args, &out, &errs); code != 0 {
		t.Fatalf("%v: %d %s", args, code, errs.String())
	}
	return out.String()
}

// checkForm holds that a text is of that form, and lists something where it should.
func checkForm(t *testing.T, what, form, text string, something bool) {
	t.Helper()
	var value any
	var err error
	lines := strings.Count(text, "\n")
	switch form {
	case "json":
		err = json.Unmarshal([]byte(text), &value)
	case "yaml":
		err = yaml.Unmarshal([]byte(text), &value)
	case "name":
		if lines > 0 != something || strings.Contains(text, "NAME") {
			t.Errorf("%s:\n%s", what, text)
		}
		return
	default:
		if first, _, _ := strings.Cut(text, "\n"); first != strings.ToUpper(first) || lines > 1 != something {
			t.Errorf("%s:\n%s", what, text)
		}
		return
	}
	if rules, ok := value.(map[string]any); ok { // in the form that rule edit takes
		value = rules["rules"]
	}
	if list, ok := value.([]any); err != nil || !ok || len(list) > 0 != something {
		t.Errorf("%s: %v\n%s", what, err, text)
	}
}

func TestEventForms(t *testing.T) {
	r := start(t, testConfig(t))
	m := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	for form, want := range map[string]string{"table": "machine.registered   registered for the first time", "wide": m.ID + "  02:00:00:00:00:01  machine.registered",
		"json": `"machine":"` + m.ID + `"`, "yaml": "---\nat: ", "name": "1\n"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &until{want: want, found: cancel}
		if code := run(ctx, []string{"events", "--after", "0", "-o", form, "--data-dir", r.cfg.DataDir}, out, out); code != 0 {
			t.Errorf("%s: exit code %d: %s", form, code, out.text.String())
		}
	}
}

// What is no list has JSON and YAML too.
func TestObjectForms(t *testing.T) {
	r := start(t, testConfig(t))
	m := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	for _, line := range []string{"journal", "explain 02:00:00:00:00:01", "rule test " + m.Name} {
		for _, form := range []string{"json", "yaml"} {
			var value map[string]any
			if err := yaml.Unmarshal([]byte(r.run(t, "", append(strings.Fields(line), "-o", form)...)), &value); err != nil || len(value) == 0 {
				t.Errorf("%s -o %s: %v, %v", line, form, value, err)
			}
		}
		if out := bufio.NewScanner(strings.NewReader(r.run(t, "", strings.Fields(line)...))); !out.Scan() || strings.HasPrefix(out.Text(), "{") {
			t.Errorf("%s: %s", line, out.Text())
		}
	}
	if out := r.run(t, "", "machine", "show", m.Name, "-o", "wide"); !strings.Contains(out, "1 TiB") {
		t.Errorf("shown wide:\n%s", out)
	}
}
