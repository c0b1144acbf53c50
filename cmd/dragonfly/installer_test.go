package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// A machine that Debian's installer sets up: the agent hands over, the installer says
// over HTTP what it does, and what it installed phones home.
func TestInstallerOverHTTP(t *testing.T) {
	f := newOffice(t)
	reply, err := f.Deploy(t.Context(), f.m.ID, registry.DeployRequest{OS: "debian-12-installer", Seed: registry.Seed{SSHKeys: []string{f.key}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	d := reply.Deployment
	work := f.claim(t, "boot-0001")
	given := work.Actions[0].Environment
	if len(work.Actions) != 1 || given["DEST_DISK"] != "/dev/disk/by-id/ata-S1" || !strings.Contains(given["USER_DATA"], testKey) || !strings.Contains(given["PRESEED"], "netcfg/hostname string "+f.m.Name) {
		t.Errorf("the work is %+v", work.Actions)
	}
	f.tell(t, api.ReportRequest{Deployment: d.ID, Attempt: work.Attempt, State: registry.ActionRunning}, "continue")
	says := func(event string, status int, want string) {
		t.Helper()
		if got, text := f.post(t, given["INSTALLER_URL"], url.Values{"event": {event}, "detail": {"as it is"}}); got != status || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", event, got, text)
		}
	}
	says("started", http.StatusOK, "noted")
	says("writing", http.StatusOK, "noted")
	if shown, err := f.Deployment(t.Context(), d.ID); err != nil || !shown.Wrote || shown.State != registry.DeploymentRunning {
		t.Errorf("%+v, %v", shown, err)
	}
	says("installed", http.StatusOK, "noted")
	f.becomes(t, d.ID, registry.DeploymentVerifying)
	f.serves(t, "deployed: boot its own disk for the first time")
	says("writing", http.StatusGone, "no installer of it runs")
	if status, text := f.post(t, strings.TrimSuffix(given["INSTALLER_URL"], "installer")+"phone-home", url.Values{"hostname": {f.m.Name}}); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	f.becomes(t, d.ID, registry.DeploymentSucceeded)
	f.state(t, registry.Installed, "")
	if m, err := f.Machine(t.Context(), f.m.ID); err != nil || m.OS != "debian-12-installer" {
		t.Errorf("installed %+v, %v", m.OS, err)
	}
}

// An installer that fails says why, and goes no further.
func TestInstallerFailsOverHTTP(t *testing.T) {
	f := newOffice(t)
	reply, err := f.Deploy(t.Context(), f.m.ID, registry.DeployRequest{OS: "debian-12-installer"}, false)
	if err != nil {
		t.Fatal(err)
	}
	work := f.claim(t, "boot-0001")
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning}, "continue")
	to := work.Actions[0].Environment["INSTALLER_URL"]
	if status, text := f.post(t, to, url.Values{"event": {"failed"}, "detail": {"Configuring bootstrap-base failed with error code 1"}}); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	d := f.becomes(t, reply.Deployment.ID, registry.DeploymentFailed)
	if !strings.Contains(d.Reason, "Configuring bootstrap-base failed with error code 1; the disk sda ACME S1 is as it was") {
		t.Errorf("its reason: %s", d.Reason)
	}
	if status, _ := f.post(t, to, url.Values{"event": {"writing"}}); status != http.StatusGone {
		t.Errorf("it may write: %d", status)
	}
}

// An entry of one's own adds answers, which come after ours.
func TestInstallerIsToldMore(t *testing.T) {
	f := newOffice(t)
	o, err := f.OS(t.Context(), "debian-12-installer")
	if err != nil {
		t.Fatal(err)
	}
	o.ID, o.Revision, o.Values["preseed"] = "mine", 0, "d-i pkgsel/upgrade select none\ntasksel tasksel/first multiselect\n"
	if _, err := f.PutOS(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Deploy(t.Context(), f.m.ID, registry.DeployRequest{OS: "mine"}, false); err != nil {
		t.Fatal(err)
	}
	answers := f.claim(t, "boot-0001").Actions[0].Environment["PRESEED"]
	if want := "sh /dragonfly/finish\nd-i pkgsel/upgrade select none\ntasksel tasksel/first multiselect\n"; !strings.HasSuffix(answers, want) {
		t.Errorf("%s", answers)
	}
}
