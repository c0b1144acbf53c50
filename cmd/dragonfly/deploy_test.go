package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// rack registers the n-th machine with one disk, and returns its agent.
func (r *rig) rack(t *testing.T, n byte, bytes int64) (*api.Client, api.RegisterReply) {
	t.Helper()
	serial := fmt.Sprint("S", n)
	return r.rackWith(t, n, registry.Disk{Name: "sda", Serial: serial, Model: "ACME", ByID: "/dev/disk/by-id/ata-" + serial, Bytes: bytes, Contents: registry.Blank})
}

// rackWith is rack with a disk that is as it is.
func (r *rig) rackWith(t *testing.T, n byte, disks ...registry.Disk) (*api.Client, api.RegisterReply) {
	t.Helper()
	mac := registry.MAC{0x52, 0x54, 0, 0, 1, n}
	_, script := r.get(t, "/boot/"+mac.String()+"/auto.ipxe?arch=bios")
	agent := &api.Client{Base: r.url, Token: bootToken.FindStringSubmatch(script)[1]}
	reply, err := agent.Register(t.Context(), api.RegisterRequest{MAC: mac, Hardware: registry.Hardware{
		System: registry.System{Serial: fmt.Sprint("SN-", n), Product: "P1"}, CPU: registry.CPU{Arch: "amd64"}, Memory: registry.Memory{Bytes: 8 << 30},
		Disks: disks}})
	if err != nil {
		t.Fatal(err)
	}
	agent.Token = reply.Token
	return agent, reply
}

// seedToken is where a seed is, in a template.
var seedToken = regexp.MustCompile(`/boot/metadata/[A-Za-z0-9_-]+/`)

// Every operating system that comes with this version can be planned, and its
// template renders to something that can be carried out.
func TestShippedOperatingSystems(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	_, m := r.rack(t, 1, 100e9)
	client := r.client()
	oses, err := client.OSes(t.Context())
	if err != nil || len(oses) < 13 {
		t.Fatalf("%d operating systems, %v", len(oses), err)
	}
	var texts strings.Builder
	for _, o := range oses {
		req := registry.DeployRequest{OS: o.ID}
		reply, err := client.Deploy(t.Context(), m.ID, req, true)
		if err != nil || !reply.DryRun || len(reply.Plan.Actions) == 0 {
			t.Errorf("%s: %+v, %v", o.ID, reply.Plan, err)
			continue
		}
		if len(reply.Plan.Problems) > 0 {
			t.Errorf("%s: %v", o.ID, reply.Plan.Problems)
		}
		if o.ID == "debian-12" || o.ID == "debian-12-installer" || o.ID == "fedora-43" || o.ID == "flatcar" || o.ID == "talos" {
			text := strings.NewReplacer(r.url, "http://server", reply.Deployment.ID, "DEPLOYMENT", m.Name, "MACHINE").Replace(seedToken.ReplaceAllString(reply.Plan.Template, "/boot/metadata/TOKEN/"))
			fmt.Fprintf(&texts, "=== %s: %s\n%s", o.ID, strings.Join(reply.Plan.Notes, "; "), text)
		}
	}
	reply, err := client.Deploy(t.Context(), m.ID, registry.DeployRequest{Kind: registry.KindWipe}, true)
	if err != nil {
		t.Fatalf("wipe: %+v, %v", reply.Plan, err)
	}
	fmt.Fprintf(&texts, "=== wipe: %s\n%s", strings.Join(reply.Plan.Notes, "; "), reply.Plan.Template)
	golden(t, "testdata/templates.golden", texts.String())
	if list, _, err := client.Deployments(t.Context(), api.DeploymentSelection{}, "", 10); err != nil || len(list) != 0 {
		t.Errorf("a dry run left %+v, %v", list, err)
	}
}

// office is a rig with an operating system whose image was imported, and a machine.
type office struct {
	*rig
	*api.Client
	agent *api.Client
	m     api.RegisterReply
	mac   string
	key   string // that may sign in
}

// mine is an operating system of which the image is a file that was imported.
func mine(first registry.FirstBoot) registry.OS {
	o := registry.OS{ID: "mine-" + string(first), Name: "Mine", Template: "plain-image", FirstBoot: first, User: "me",
		Images: map[string]registry.OSImage{"amd64": {SHA256: sumText(rawDisk())}}}
	if first == registry.FirstBootCloudInit {
		o.Template, o.Values = "cloud-image", map[string]string{"root_partition": "1", "root_fs": "ext4"}
		o.Seed = registry.Seed{Timezone: "Europe/Vienna"}
		o.TagSeeds = map[string]registry.Seed{"gpu": {Packages: []string{"firmware-misc"}}, "other": {Packages: []string{"nothing"}}}
	}
	return o
}

func newOffice(t *testing.T) *office {
	t.Helper()
	r := start(t, testConfig(t))
	t.Cleanup(func() { r.end(t) })
	return officeOf(t, r)
}

func officeOf(t *testing.T, r *rig) *office {
	t.Helper()
	f := &office{rig: r, Client: r.client(), mac: "52:54:00:00:01:01", key: testKey}
	f.agent, f.m = r.rack(t, 1, 100e9)
	raw := rawDisk()
	job, err := f.UploadImage(t.Context(), registry.ImageUpload{SHA256: sumText(raw), Size: int64(len(raw))}, bytes.NewReader(raw))
	for ; err == nil && !job.State.Ended(); job, err = f.ImageJob(t.Context(), job.ID) {
		time.Sleep(time.Millisecond)
	}
	if err != nil || job.State != registry.ImageJobSucceeded {
		t.Fatalf("upload: %+v, %v", job, err)
	}
	for _, first := range []registry.FirstBoot{registry.FirstBootCloudInit, registry.FirstBootNone} {
		if _, err := f.PutOS(t.Context(), mine(first)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKq2vTJ3AaXHS+jTJKWgWqOOf2kBYCOEbGCNbTTRoZJ6 me@example"

// ask deploys an operating system on the machine.
func (f *office) ask(t *testing.T, first registry.FirstBoot) api.Deployment {
	t.Helper()
	req := registry.DeployRequest{OS: mine(first).ID}
	if first == registry.FirstBootCloudInit {
		req.Seed.SSHKeys = []string{f.key}
	}
	reply, err := f.Deploy(t.Context(), f.m.ID, req, false)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Deployment
}

// serves checks what the machine boots now.
func (f *office) serves(t *testing.T, want string) {
	t.Helper()
	if _, script := f.get(t, "/boot/"+f.mac+"/auto.ipxe?arch=bios"); !strings.Contains(script, want) {
		t.Errorf("the script has no %q:\n%s", want, script)
	}
}

// claim takes the deployment up in a boot.
func (f *office) claim(t *testing.T, boot string) api.Work {
	t.Helper()
	next, err := f.agent.Next(t.Context(), 0)
	if err != nil || next.Next != registry.Deploy || next.State != registry.Installing {
		t.Fatalf("next %+v, %v", next, err)
	}
	work, err := f.agent.Claim(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	return work
}

// tell reports an action, and wants what the server says to that.
func (f *office) tell(t *testing.T, report api.ReportRequest, want string) {
	t.Helper()
	if answer, err := f.agent.Report(t.Context(), report); err != nil || string(answer.Do) != want {
		t.Fatalf("report: %+v, %v; want %s", answer, err, want)
	}
}

// carryOut reports that every action succeeded.
func (f *office) carryOut(t *testing.T, work api.Work) {
	t.Helper()
	for action := range work.Actions {
		f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, Action: action, State: registry.ActionRunning, Wrote: true}, "continue")
		f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, Action: action, State: registry.ActionSucceeded, Wrote: true}, "continue")
	}
}

// becomes waits for a state of the deployment.
func (f *office) becomes(t *testing.T, id string, want registry.DeploymentState) (d api.Deployment) {
	t.Helper()
	err := waitFor(t.Context(), func() bool {
		var err error
		d, err = f.Deployment(t.Context(), id)
		return err == nil && d.State == want
	})
	if err != nil {
		t.Fatalf("%+v; want %s", d, want)
	}
	return d
}

// state checks the machine.
func (f *office) state(t *testing.T, want registry.State, reason string) {
	t.Helper()
	if got, err := f.Machine(t.Context(), f.m.ID); err != nil || got.State != want || !strings.Contains(got.Reason, reason) {
		t.Errorf("machine %s %q, %v; want %s %q", got.State, got.Reason, err, want, reason)
	}
}

// post sends a form.
func (f *office) post(t *testing.T, address string, form url.Values) (int, string) {
	t.Helper()
	resp, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := new(bytes.Buffer)
	_, err = body.ReadFrom(resp.Body)
	return resp.StatusCode, fmt.Sprint(body, err)
}

// A machine is deployed over HTTP: asked for, taken up, carried out from the image in
// the store, booted from its disk, which reads its seed and phones home; and then the
// seed is read no more.
func TestDeployOverHTTP(t *testing.T) {
	f := newOffice(t)
	if _, err := f.agent.Claim(t.Context(), "boot-0001"); api.Status(err) != http.StatusConflict {
		t.Errorf("a claim of nothing: %v", err)
	}
	if _, err := f.Edit(t.Context(), f.m.ID, api.PatchRequest{Tags: &[]string{"gpu"}}); err != nil {
		t.Fatal(err)
	}
	d := f.ask(t, registry.FirstBootCloudInit)
	f.serves(t, "deployment pending: start the agent")
	work := f.claim(t, "boot-0001")
	if work.Deployment != d.ID || work.Attempt != 1 || work.Disk.Serial != "S1" || work.Actions[0].Environment["DEST_DISK"] != "/dev/disk/by-id/ata-S1" {
		t.Fatalf("work %+v", work)
	}
	image, _ := strings.CutPrefix(work.Actions[0].Environment["IMG_URL"], f.url)
	if status, packed := f.get(t, image); status != http.StatusOK || len(packed) < 100<<10 {
		t.Errorf("image %s: %d, %d bytes", image, status, len(packed))
	}
	report := api.ReportRequest{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true,
		Progress: &registry.Progress{Stage: "write", Done: 1 << 30, Total: 2 << 30, Rate: 1e8}, Lines: []string{"writing", "half of it"}}
	f.tell(t, report, "continue")
	f.tell(t, report, "continue")
	shown, err := f.Deployment(t.Context(), d.ID)
	if err != nil || shown.State != registry.DeploymentRunning || shown.Progress == nil || shown.Progress.Percent <= 0 || shown.MachineName != f.m.Name || !shown.Wrote {
		t.Errorf("shown %+v, %+v, %v", shown, shown.Progress, err)
	}
	f.carryOut(t, work)
	var log []string
	if err := f.DeploymentLog(t.Context(), d.ID, false, func(line string) error { log = append(log, line); return nil }); err != nil || len(log) != 2 || !strings.HasSuffix(log[1], "Z 1 half of it") {
		t.Errorf("log %q, %v", log, err)
	}
	f.serves(t, "deployed: boot its own disk for the first time")
	f.becomes(t, d.ID, registry.DeploymentVerifying) // that it was sent there is not that it started
	base, _ := strings.CutSuffix(between(work.Actions[1].Environment["CONTENTS"], "url: ", "\n"), "phone-home")
	path, _ := strings.CutPrefix(base, f.url)
	if status, data := f.get(t, path+"user-data"); status != http.StatusOK || !strings.Contains(data, f.key) ||
		!strings.Contains(data, "Europe/Vienna") || !strings.Contains(data, "firmware-misc") || strings.Contains(data, "nothing") {
		t.Errorf("user-data of %q: %d %s", base, status, data)
	}
	if status, data := f.get(t, path+"meta-data"); status != http.StatusOK || !strings.Contains(data, "instance-id: "+d.ID) {
		t.Errorf("meta-data: %d %s", status, data)
	}
	for range 2 {
		if status, body := f.post(t, base+"phone-home", url.Values{"hostname": {f.m.Name}}); status != http.StatusOK {
			t.Fatalf("phone home: %d %s", status, body)
		}
	}
	f.becomes(t, d.ID, registry.DeploymentSucceeded)
	if status, data := f.get(t, path+"user-data"); status != http.StatusGone || !strings.Contains(data, "is succeeded") {
		t.Errorf("user-data after it phoned home: %d %s", status, data)
	}
	f.state(t, registry.Installed, "")
	f.serves(t, "installed: boot its own disk")
	if _, metrics := f.get(t, "/metrics"); !strings.Contains(metrics, `dragonfly_seed_requests_total{outcome="phoned_home"} 2`) {
		t.Error("the metrics do not count that it phoned home")
	}
}

// A rule has a machine installed that nobody has asked for anything: its agent gets the
// work with the first instruction after it has registered. The next one, whose disk is
// in use, waits for an operator.
func TestRuleDeploysOverHTTP(t *testing.T) {
	f := newOffice(t)
	os := mine(registry.FirstBootNone).ID
	if code, out, errs := f.cli(t, "- name: metal\n  set: {os: "+os+", auto_deploy: true}\n", "rule", "edit", "-f", "-"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	f.agent, f.m = f.rack(t, 2, 100e9)
	next, err := f.agent.Next(t.Context(), time.Minute)
	if err != nil || next.Next != registry.Deploy {
		t.Fatalf("next %+v, %v", next, err)
	}
	work := f.claim(t, "boot-0001")
	if work.Disk.Serial != "S2" {
		t.Errorf("work %+v", work)
	}
	f.carryOut(t, work)
	f.becomes(t, work.Deployment, registry.DeploymentVerifying)
	_, f.m = f.rackWith(t, 3, registry.Disk{Name: "sda", Serial: "S3", Bytes: 100e9, Contents: registry.Foreign})
	m, err := f.Machine(t.Context(), f.m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := f.becomes(t, m.Deployment, registry.DeploymentFailed); !strings.Contains(d.Reason, "is not blank") || d.By != `rule "metal"` {
		t.Errorf("%+v", d)
	}
	f.state(t, registry.Ready, "")
}

// Of a rule that says how many at once, the others wait: the second machine has its turn
// when the first one's is over.
func TestRuleDeploysInTurnsOverHTTP(t *testing.T) {
	f := newOffice(t)
	os := mine(registry.FirstBootNone).ID
	if code, out, errs := f.cli(t, "- name: metal\n  set: {os: "+os+", auto_deploy: true, concurrency: 1}\n", "rule", "edit", "-f", "-"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	asked := func(n byte) string {
		_, reply := f.rack(t, n, 100e9)
		m, err := f.Machine(t.Context(), reply.ID)
		if err != nil || m.Deployment == "" {
			t.Fatalf("%+v, %v", m, err)
		}
		return m.Deployment
	}
	first := asked(2)
	f.becomes(t, first, registry.DeploymentWaiting)
	second := asked(3)
	if d := f.becomes(t, second, registry.DeploymentPending); d.Concurrency != 1 || d.Batch == "" {
		t.Errorf("%+v", d)
	}
	if code, out, errs := f.cli(t, "", "deployment", "cancel", first, "--yes"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	over, turn := f.becomes(t, first, registry.DeploymentCancelled), f.becomes(t, second, registry.DeploymentWaiting)
	if turn.StateAt.Before(over.EndedAt) {
		t.Errorf("it had its turn at %s, before %s", turn.StateAt, over.EndedAt)
	}
}

// The server is killed while a disk is being written, and again before the installed
// system phones home: the agent's next report goes on, and nothing is written twice.
func TestDeploymentOutlivesKills(t *testing.T) {
	cfg := testConfig(t)
	url := fmt.Sprintf("http://127.0.0.1:%d", cfg.Port)
	again := func(victim *exec.Cmd) *exec.Cmd {
		if err := victim.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = victim.Wait() // it was killed
		return startVictim(t, cfg, url)
	}
	victim := startVictim(t, cfg, url)
	f := officeOf(t, &rig{url: url})
	d := f.ask(t, registry.FirstBootCloudInit)
	work := f.claim(t, "boot-0001")
	report := api.ReportRequest{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true, Lines: []string{"writing"}}
	f.tell(t, report, "continue")
	victim = again(victim)
	f.serves(t, "deployment pending: start the agent")
	f.tell(t, report, "continue")
	if got, err := f.agent.Claim(t.Context(), "boot-0001"); err != nil || got.Attempt != 1 || !got.Wrote {
		t.Errorf("claimed again by the same boot: %+v, %v", got, err)
	}
	f.carryOut(t, work)
	again(victim)
	f.serves(t, "deployed: boot its own disk for the first time")
	home := between(work.Actions[1].Environment["CONTENTS"], "url: ", "\n")
	if status, body := f.post(t, home, nil); status != http.StatusOK {
		t.Fatalf("phone home: %d %s", status, body)
	}
	f.becomes(t, d.ID, registry.DeploymentSucceeded)
	f.state(t, registry.Installed, "")
}

// between is the text between two others.
func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

// A disk is wiped once it was confirmed, and the machine is ready for another use.
func TestWipeOverHTTP(t *testing.T) {
	f := newOffice(t)
	reply, err := f.Deploy(t.Context(), f.m.ID, registry.DeployRequest{Kind: registry.KindWipe}, false)
	if err != nil {
		t.Fatal(err)
	}
	f.carryOut(t, f.claim(t, "boot-0001"))
	f.becomes(t, reply.Deployment.ID, registry.DeploymentSucceeded)
	f.state(t, registry.Ready, "")
}

// What cannot phone home has started when its machine was seen booting from the disk.
func TestSeenBooting(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootNone)
	f.carryOut(t, f.claim(t, "boot-0001"))
	f.becomes(t, d.ID, registry.DeploymentVerifying)
	time.Sleep(2 * time.Millisecond) // sightings are told in whole milliseconds
	f.serves(t, "deployed: boot its own disk for the first time")
	f.becomes(t, d.ID, registry.DeploymentSucceeded)
	f.state(t, registry.Installed, "")
}

// Cancelled before anything was written, a deployment leaves the machine as it was;
// after that, the machine has failed, and the reason says what is on its disk.
func TestCancelOverHTTP(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootNone)
	work := f.claim(t, "boot-0001")
	f.tell(t, api.ReportRequest{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning}, "continue")
	if shown, err := f.CancelDeployment(t.Context(), d.ID); err != nil || !strings.Contains(shown.Reason, "is as it was") {
		t.Fatalf("%+v, %v", shown, err)
	}
	f.tell(t, api.ReportRequest{Deployment: d.ID, Attempt: 1, State: registry.ActionRunning, Wrote: true}, "cancel")
	f.state(t, registry.Ready, "")

	d = f.ask(t, registry.FirstBootNone)
	work = f.claim(t, "boot-0001")
	f.tell(t, api.ReportRequest{Deployment: d.ID, Attempt: work.Attempt, State: registry.ActionRunning, Wrote: true}, "continue")
	if _, err := f.CancelDeployment(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	f.tell(t, api.ReportRequest{Deployment: d.ID, Attempt: work.Attempt, State: registry.ActionSucceeded, Wrote: true}, "cancel")
	f.state(t, registry.Failed, "what is on the disk sda ACME S1 is incomplete")
}

// A machine that starts again while its disk was being written is not written again
// by itself.
func TestSecondBootIsHeld(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootNone)
	f.tell(t, api.ReportRequest{Deployment: d.ID, Attempt: f.claim(t, "boot-0001").Attempt, State: registry.ActionRunning, Wrote: true}, "continue")
	if _, err := f.agent.Claim(t.Context(), "boot-0002"); api.Status(err) != http.StatusConflict || !strings.Contains(err.Error(), "this is another one") {
		t.Errorf("another boot with the token of the first: %v", err)
	}
	f.agent, f.m = f.rack(t, 1, 100e9)
	if _, err := f.agent.Claim(t.Context(), "boot-0002"); api.Status(err) != http.StatusConflict || !strings.Contains(err.Error(), "not written again by itself") {
		t.Errorf("a second boot: %v", err)
	}
	f.becomes(t, d.ID, registry.DeploymentFailed)
	f.state(t, registry.Failed, "the machine restarted while the disk sda ACME S1 was being written")
	if next, err := f.agent.Next(t.Context(), 0); err != nil || next.Next != registry.Wait {
		t.Errorf("next %+v, %v", next, err)
	}
}
