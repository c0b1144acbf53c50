package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// completed is the names that the shell is offered for the last of args.
func completed(t *testing.T, args ...string) []string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"__complete"}, args...), &out, &errs); code != 0 {
		t.Fatalf("%v: exit %d, %s", args, code, errs.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	names := []string{}
	for _, line := range lines[:len(lines)-1] { // the last one is for the shell
		name, _, _ := strings.Cut(line, "\t")
		names = append(names, name)
	}
	return names
}

func TestCompletion(t *testing.T) {
	usual := completeWithin
	t.Cleanup(func() { completeWithin = usual })
	completeWithin = time.Minute // a busy host answers late
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	r := start(t, testConfig(t))
	defer r.end(t)
	for i, name := range []string{"rack1-7", "rack1-8", "otter"} {
		reply := r.boot(t, registry.MAC{2, 0, 0, 0, 0, byte(i)}, name)
		if _, err := r.client().Edit(t.Context(), reply.ID, api.PatchRequest{Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	r.run(t, "", "memtest", "otter", "--yes")
	t.Setenv("DRAGONFLY_SERVER", r.url)
	deployment := strings.TrimSpace(r.run(t, "", "deployment", "list", "-o", "name"))
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	t.Setenv("DRAGONFLY_TOKEN", strings.TrimSpace(r.run(t, "", "token", "create", "ci", "--owner", "ana", "--role", "admin")))
	token := strings.TrimSpace(r.run(t, "", "token", "list", "-o", "name"))
	image := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(t, "", "image", "import", image)
	image = strings.TrimSpace(r.run(t, "", "image", "list", "-o", "name"))[:12]
	for line, want := range map[string]string{
		"machine show ":                       "otter rack1-7 rack1-8",
		"machine show rack":                   "rack1-7 rack1-8",
		"machine show ack1":                   "",
		"machine show otter ":                 "", // it takes one
		"machine lock otter rack1-7 ":         "rack1-8",
		"machine tag otter ":                  "",
		"machine merge otter ":                "rack1-7 rack1-8",
		"deploy --os debian-12 ":              "otter rack1-7 rack1-8",
		"deploy otter --os debian-12-i":       "debian-12-installer",
		"machine edit otter --os debian-12-i": "debian-12-installer",
		"os show debian-12-i":                 "debian-12-installer",
		"rule test o":                         "otter",
		"template render --machine o":         "otter",
		"deployment show ":                    deployment,
		"deployment cancel ":                  deployment,
		"deployment retry ":                   "", // it is under way
		"user role ana ":                      "viewer operator admin",
		"user create ana --role o":            "operator",
		"user passwd ":                        "ana",
		"user create ":                        "", // a new one
		"token revoke ":                       token,
		"image verify ":                       image,
		"image delete " + image[:3]:           image,
		"image cancel ":                       "", // the import is done
		"deployment list --state f":           "failed",
		"machine list ":                       "",
		"journal -o ":                         "table json yaml",
		"machine show rack1-7 --context ":     "local",
		"context use ":                        "local",
		"machine show a,b":                    "",
	} {
		if got := strings.Join(completed(t, strings.Split(line, " ")...), " "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// A server that cannot be asked is no reason to wait, or to print errors into what is
// being typed.
func TestCompletionWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // it never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, args := range [][]string{
		{"machine", "show", "--server", "http://" + l.Addr().String(), ""},
		{"machine", "show", "--server", "http://127.0.0.1:1", ""},
		{"machine", "show", "--data-dir", t.TempDir(), ""},
		{"machine", "show", "--server", "nonsense", ""},
		{"machine", "show", "--context", "nobody", ""},
	} {
		begin := time.Now()
		if got := completed(t, args...); len(got) > 0 {
			t.Errorf("%v: %v", args, got)
		}
		if took := time.Since(begin); took > completeWithin+time.Minute { // a busy host is given more
			t.Errorf("%v took %v", args, took)
		}
	}
}

func TestCompletionScript(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, &out, &errs); code != 0 || !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: exit %d, %s", shell, code, errs.String())
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &out, &out); code != 0 || !strings.Contains(out.String(), "\n  completion ") {
		t.Errorf("help: exit %d, %s", code, out.String())
	}
}
