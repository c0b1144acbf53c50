package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func TestDeployCommands(t *testing.T) {
	r := newOffice(t)
	agent, m := r.agent, r.m
	_, small := r.rack(t, 2, 1e9)
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	mine := "id: mine\nname: Mine\nimages: {amd64: {sha256: " + sumText(rawDisk()) + "}}\ntemplate: plain-image\nfirst_boot: none\n"
	run := func(code int, want string, args ...string) string {
		t.Helper()
		got, out, errs := r.cli(t, "", args...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%s: %d %s%s; want %d with %q", strings.Join(args, " "), got, out, errs, code, want)
		}
		return out
	}
	run(0, "debian-12", "os", "list")
	run(0, "ubuntu-26.04\n", "os", "list", "-o", "name")
	run(3, "did you mean debian-12?", "os", "show", "debian-21")
	run(2, "want a file", "os", "add")
	run(1, "line 2: field nmae not found", "os", "add", "-f", file("id: x\nnmae: y\n"))
	run(0, "mine is at revision 1", "os", "add", "-f", file(mine))
	run(4, "is in the catalogue already", "os", "add", "-f", file(mine))
	run(3, "there is no other in the catalogue", "os", "edit", "-f", file(strings.Replace(mine, "id: mine", "id: other", 1)))
	run(0, "mine is at revision 2", "os", "edit", "-f", file(run(0, "template: plain-image", "os", "show", "mine")))
	run(0, "mine is not deployed any more", "os", "disable", "mine")
	run(1, "mine is disabled in the catalogue", "deploy", m.Name, "--os", "mine", "--dry-run")
	run(0, "mine may be deployed", "os", "enable", "mine")
	run(4, "disable it instead", "os", "delete", "debian-12", "--yes")
	run(2, "confirm with --yes", "os", "delete", "mine")

	run(2, "want either the names or IDs of machines, or --filter", "deploy", "--os", "mine")
	run(1, "it is missing, and none is assigned to the machine", "deploy", m.Name, "--dry-run")
	run(1, "no disk fits", "deploy", small.Name, "--os", "debian-12", "--dry-run")
	run(1, "disk rule", "deploy", m.Name, "--os", "mine", "--disk", "sda:1", "--dry-run")
	run(2, "want KEY=VALUE", "deploy", m.Name, "--os", "mine", "--set", "x")
	run(1, "no such file", "deploy", m.Name, "--os", "mine", "--ssh-key", "/nonexistent")
	run(2, "there is none in", "deploy", m.Name, "--os", "mine", "--ssh-key", file("# none\n"))
	private := file("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----\n")
	for _, command := range []string{"deploy", "rescue"} {
		run(2, private+": this is a private key: keep it, and give the .pub beside it", command, m.Name, "--ssh-key", private)
	}
	run(2, "ssh key: this is a private key", "rescue", m.Name, "--ssh-key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE")
	run(3, "not found", "deploy", "nobody", "--os", "mine", "--yes")
	run(0, "/boot/images/", "deploy", m.Name, "--os", "mine", "--dry-run")
	run(0, "DEST_DISK: \"/dev/disk/by-id/ata-S1\"", "template", "render", "--machine", m.Name, "--os", "mine")
	run(2, "want either a file with a template, or --os", "template", "render", "--machine", m.Name)
	run(3, "not found", "template", "render", "--machine", "nobody", "--os", "mine")
	run(1, "did you mean mine?", "template", "render", "--machine", m.Name, "--os", "nine")
	run(2, "confirm with --yes", "deploy", m.Name, "--os", "mine")
	run(0, "", "deployment", "list", "-o", "name")

	out := run(0, m.Name+" waiting", "deploy", m.Name, "--os", "mine", "--yes")
	id, _, _ := strings.Cut(out, " ")
	run(4, "is waiting on it; cancel that first", "deploy", m.Name, "--os", "mine", "--yes")
	run(0, "waiting", "deployment", "show", id)
	run(0, id+"\n", "deployment", "list", "--machine", m.Name, "--state", "waiting,running", "-o", "name")
	run(1, "state", "deployment", "list", "--state", "melted")
	run(2, "want at least 1", "deployment", "list", "--limit", "0")
	run(2, "confirm with --yes", "deployment", "cancel", id)
	if _, err := agent.Claim(t.Context(), "boot-0001"); err != nil {
		t.Fatal(err)
	}
	report := api.ReportRequest{Deployment: id, Attempt: 1, State: registry.ActionFailed, Message: "no route to host", Lines: []string{"fetching"}}
	if _, err := agent.Report(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	run(1, `failed: action "write image" failed: no route to host; the disk sda ACME S1 is as it was`, "deployment", "wait", id)
	run(0, "Z 1 fetching", "deployment", "log", id)
	run(3, "not found", "deployment", "log", "d-none")
	run(0, "", "deployment", "log", id, "--follow")
	again := run(0, m.Name+" waiting", "deployment", "retry", id, "--yes")
	id, _, _ = strings.Cut(again, " ")
	run(0, "cancelled by console; the disk sda ACME S1 is as it was", "deployment", "cancel", id, "--yes")
	run(4, "may not cancel", "deployment", "cancel", id, "--yes")
	run(0, "wipe", "wipe", small.Name, "--dry-run")
	run(0, m.Name+" pending", "deploy", "--filter", "state:ready,failed", "--os", "mine", "--yes", "--concurrency", "1")
	run(0, "mine is gone", "os", "delete", "mine", "--yes")
	if _, body := r.get(t, "/metrics"); !strings.Contains(body, `dragonfly_deployments{state="cancelled"} 1`) || !strings.Contains(body, `dragonfly_deployment_seconds_count{state="failed"} 1`) {
		t.Errorf("the metrics do not count deployments")
	}
}
