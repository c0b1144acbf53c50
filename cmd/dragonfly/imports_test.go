package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What a package may import of this module, by the longest prefix that fits; "/..."
// is a folder and all below it:
// cmd -> {ui, tinkerbell, boot, images, registry/*} -> registry. Siblings do not
// import each other; registry/durable is for whoever keeps files, registry/packed for
// whoever keeps machines.
var arrows = map[string][]string{
	"registry":              {},
	"registry/api":          {"registry", "registry/manifest"},
	"registry/auth":         {"registry", "registry/durable"},
	"registry/backup":       {},
	"registry/durable":      {},
	"registry/journal":      {"registry", "registry/durable"},
	"registry/lastknown":    {"registry", "registry/packed"},
	"registry/manifest":     {"registry"},
	"registry/packed":       {"registry"},
	"registry/registrytest": {"registry"},
	"registry/rqlite":       {"registry", "registry/packed", "registry/rqlite/node"},
	"registry/rqlite/node":  {"registry", "registry/rqlite/node/...", "registry/durable"},
	"boot":                  {"registry", "boot/..."},
	"images":                {"registry", "registry/api", "registry/durable", "images/..."},
	"tinkerbell":            {"registry", "tinkerbell/..."},
	"ui":                    {"registry", "ui/..."},
	"cmd/dragonfly":         {"registry/...", "boot/...", "images/...", "tinkerbell/...", "ui"},
	"cmd/dragonfly-agent":   {"registry", "images/agent"},
	"cmd/dragonfly-lab":     {"registry", "registry/api", "registry/rqlite/...", "images", "images/catalogue", "images/store", "boot/boottest", "ui/uitest"},
}

// What only one place may know.
var confined = map[string]string{
	"github.com/rqlite/rqlite/v8": "registry/rqlite/node",
	"github.com/hashicorp/raft":   "registry/rqlite/node",
	"github.com/rqlite/gorqlite":  "registry/rqlite",
	"k8s.io/":                     "tinkerbell",
}

func TestImportArrows(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "dragonfly/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(fields[0], "dragonfly/")
		room, ok := roomOf(from)
		if !ok {
			t.Errorf("%s is in no room of the house", from)
			continue
		}
		checked++
		for _, to := range fields[1:] {
			if own, ours := strings.CutPrefix(to, "dragonfly/"); ours && !allowed(arrows[room], own) {
				t.Errorf("%s must not import %s", from, own)
			}
			for path, home := range confined {
				if strings.HasPrefix(to, path) && from != home && !strings.HasPrefix(from, home+"/") {
					t.Errorf("%s imports %s, which only %s may", from, to, home)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d packages were checked", checked)
	}
}

// roomOf is the longest prefix of path that has a rule.
func roomOf(path string) (room string, ok bool) {
	for prefix := range arrows {
		if (path == prefix || strings.HasPrefix(path, prefix+"/")) && len(prefix) > len(room) {
			room, ok = prefix, true
		}
	}
	return room, ok
}

// allowed reports whether a rule names the package, or with "/..." a folder above.
func allowed(rule []string, path string) bool {
	for _, may := range rule {
		folder, deep := strings.CutSuffix(may, "/...")
		if path == folder || (deep && strings.HasPrefix(path, folder+"/")) {
			return true
		}
	}
	return false
}

// The agent is small and carries no database.
func TestAgentStaysSmall(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "dragonfly/cmd/dragonfly-agent").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(out)) {
		for _, heavy := range []string{"hashicorp/raft", "rqlite", "go-sqlite3", "k8s.io/"} {
			if strings.Contains(path, heavy) {
				t.Errorf("the agent links %s", strings.TrimSpace(path))
			}
		}
	}
}
