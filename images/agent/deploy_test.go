package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
	"dragonfly/images/agent/signature"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

// deployServer registers an agent, tells it once to deploy, and then to restart.
type deployServer struct {
	work   api.Work
	answer func(n int, r api.ReportRequest) (api.ReportReply, int) // status 0: the connection breaks

	mu      sync.Mutex
	claims  []string
	polls   int
	reports []string // "0 running wrote", one for each that was taken
	lines   []string
	asked   int

	unmarked error // what the machine's Mark answers
}

func (s *deployServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := httptest.NewRecorder()
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/register"):
		registered(registry.Deploy).write(w)
	case strings.HasSuffix(path, "/next"):
		s.polls++
		told(registry.Reboot, "").write(w)
	case strings.HasSuffix(path, "/claim"):
		var body api.ClaimRequest
		_ = json.NewDecoder(r.Body).Decode(&body)
		s.claims = append(s.claims, body.BootID)
		if s.work.Deployment == "" {
			problem(409, "nothing to take up").write(w)
			break
		}
		reply{status: 200, body: s.work}.write(w)
	case strings.HasSuffix(path, "/report"):
		var body api.ReportRequest
		_ = json.NewDecoder(r.Body).Decode(&body)
		answer, status := s.answer(s.asked, body)
		s.asked++
		if status == 0 {
			return nil, syscall.ECONNREFUSED
		}
		s.take(body)
		reply{status: status, body: answer}.write(w)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (s *deployServer) take(r api.ReportRequest) {
	text := fmt.Sprintf("%d %s", r.Action, r.State)
	if r.Wrote {
		text += " wrote"
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	if len(s.reports) == 0 || s.reports[len(s.reports)-1] != text {
		s.reports = append(s.reports, text)
	}
	s.lines = append(s.lines[:r.LinesFrom], r.Lines...)
}

func goOn(int, api.ReportRequest) (api.ReportReply, int) {
	return api.ReportReply{Do: api.ReportContinue}, 200
}

// deployment is one with these images as actions, of a minute each.
func deployment(images ...string) api.Work {
	work := api.Work{Deployment: "d-1", Kind: registry.KindInstall, Attempt: 1,
		Disk: registry.DeploymentDisk{Name: "sda", Serial: "S1", Bytes: 100}}
	for _, image := range images {
		work.Actions = append(work.Actions, registry.RecipeAction{Name: "do " + image, Image: image, Timeout: 60})
	}
	return work
}

// deploy runs an agent against s until it restarts.
func deploy(t *testing.T, s *deployServer, actions map[string]action.Func) *machine {
	t.Helper()
	if s.answer == nil {
		s.answer = goOn
	}
	m := &machine{unmarked: s.unmarked, disks: []registry.Disk{{Name: "sdb", Serial: "S1", Bytes: 100}, {Name: "sda", Serial: "S2", Bytes: 100}}}
	m.actions = map[string]action.Func{"reboot": nil}
	for name, f := range actions {
		m.actions[name] = func(ctx context.Context, env *action.Env) error {
			m.do(name)
			return f(ctx, env)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if err := Run(t.Context(), m.config(&http.Client{Transport: s}, "http://df")); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return m
}

func write(device string) action.Func {
	return func(ctx context.Context, env *action.Env) error {
		env.Log("about to write " + device)
		if err := env.Writing(device); err != nil {
			return err
		}
		time.Sleep(2500 * time.Millisecond)
		return ctx.Err()
	}
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestDeploy(t *testing.T) {
	s := &deployServer{work: deployment("image", "file", "reboot")}
	m := deploy(t, s, map[string]action.Func{"image": write("/dev/sdb"), "file": write("/dev/sdb1")})
	expect(t, "did", m.did, []string{"image", "mark sdb m-1 d-1", "file", "mark sdb m-1 d-1", "boot entry sdb", "boot disk", "restart"})
	expect(t, "reports", s.reports, []string{"0 running", "0 running wrote", "0 succeeded wrote",
		"1 running wrote", "1 succeeded wrote", "2 succeeded wrote"})
	expect(t, "log", s.lines, []string{"about to write /dev/sdb", "about to write /dev/sdb1"})
	expect(t, "claims", s.claims, []string{"boot-0001"})
}

// The success of an installer is not the agent's to report, nor that it writes.
func TestDeployByInstaller(t *testing.T) {
	s := &deployServer{work: deployment("installer")}
	m := deploy(t, s, map[string]action.Func{"installer": func(context.Context, *action.Env) error { return errors.New("no kernel for this machine") }})
	expect(t, "did", m.did, []string{"installer", "restart"}) // told so, at the next poll
	expect(t, "reports", s.reports, []string{"0 running", "0 failed: no kernel for this machine"})
}

func TestDeployGoesOnWhereItWas(t *testing.T) {
	s := &deployServer{work: deployment("image", "file")}
	s.work.ResumeFrom, s.work.Wrote = 1, true
	m := deploy(t, s, map[string]action.Func{"image": write("/dev/sdb"), "file": write("/dev/sdb1")})
	expect(t, "did", m.did, []string{"file", "mark sdb m-1 d-1", "boot entry sdb", "boot disk", "restart"})
}

func TestDeployRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		work   api.Work
		did    []string
		report string // the last one
	}{
		"an action that is not known": {deployment("image", "frobnicate"), nil, "0 failed: do frobnicate: the agent has no action for the image frobnicate"},
		"an end in the middle":        {deployment("reboot", "image"), nil, "0 failed: do reboot: it ends this boot"},
		"an installer in the middle":  {deployment("installer", "image"), nil, "0 failed: do installer: it ends this boot"},
		"another disk": {func() api.Work { w := deployment("image"); w.Disk.Serial = "S3"; return w }(), nil,
			"0 failed: the disk sda S3 is not in the machine any more"},
		"a write to another disk": {deployment("wrong"), []string{"wrong"}, "0 failed: this deployment may write to sdb alone, and that is on sda"},
		"a write to no disk": {func() api.Work { w := deployment("image"); w.Disk = registry.DeploymentDisk{}; return w }(), []string{"image"},
			"0 failed: no disk was agreed to"},
		"what takes too long": {deployment("slow"), []string{"slow", "mark sdb m-1 d-1"}, "0 failed wrote: it was not done within 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &deployServer{work: test.work}
			m := deploy(t, s, map[string]action.Func{"image": write("/dev/sdb"), "wrong": write("/dev/sda"),
				"slow": func(ctx context.Context, env *action.Env) error {
					_ = env.Writing("/dev/sdb")
					<-ctx.Done()
					return ctx.Err()
				}})
			expect(t, "did", m.did, append(test.did, "restart")) // told so, at the next poll
			if last := s.reports[len(s.reports)-1]; !strings.HasPrefix(last, test.report) {
				t.Errorf("reported %q, want %q", last, test.report)
			}
		})
	}
}

func TestDeployIsCancelled(t *testing.T) {
	for name, at := range map[string]int{"before the first write": 1, "while it writes": 3} {
		t.Run(name, func(t *testing.T) {
			s := &deployServer{work: deployment("image", "file", "reboot")}
			s.answer = func(n int, _ api.ReportRequest) (api.ReportReply, int) {
				if n >= at {
					return api.ReportReply{Do: api.ReportCancel, Reason: "by ana"}, 200
				}
				return api.ReportReply{Do: api.ReportContinue}, 200
			}
			changed := false
			m := deploy(t, s, map[string]action.Func{"file": write("/dev/sdb1"), "image": func(ctx context.Context, env *action.Env) error {
				if err := env.Writing("/dev/sdb"); err != nil {
					return err
				}
				changed = true
				for range 10 {
					env.Progress(action.Progress{Stage: "write", Done: 1})
					time.Sleep(time.Second)
				}
				<-ctx.Done()
				return ctx.Err()
			}})
			if changed != (at > 1) {
				t.Errorf("the disk was changed: %v", changed)
			}
			want := []string{"image", "restart"}
			if changed {
				want = []string{"image", "mark sdb m-1 d-1", "restart"}
			}
			expect(t, "did", m.did, want)
			if slices.ContainsFunc(s.reports, func(r string) bool { return strings.Contains(r, "failed") }) {
				t.Errorf("what was cancelled is reported as failed: %q", s.reports)
			}
			if !strings.Contains(m.text(), "the deployment was stopped: by ana") {
				t.Error("the screen does not say that it was stopped, and by whom")
			}
		})
	}
}

func TestDeployOutlastsTheServer(t *testing.T) {
	s := &deployServer{work: deployment("image", "reboot")}
	s.answer = func(n int, _ api.ReportRequest) (api.ReportReply, int) {
		switch {
		case n%3 == 0:
			return api.ReportReply{}, 0
		case n%3 == 1:
			return api.ReportReply{}, 503
		}
		return api.ReportReply{Do: api.ReportContinue}, 200
	}
	m := deploy(t, s, map[string]action.Func{"image": write("/dev/sdb")})
	expect(t, "did", m.did, []string{"image", "mark sdb m-1 d-1", "boot entry sdb", "boot disk", "restart"})
	if last := s.reports[len(s.reports)-1]; last != "1 succeeded wrote" {
		t.Errorf("the last report is %q", last)
	}
}

// A disk without room for the mark is installed all the same, and said once.
func TestDeployWithoutRoomForTheMark(t *testing.T) {
	s := &deployServer{work: deployment("image", "file"), unmarked: errors.New("it has no partition table")}
	deploy(t, s, map[string]action.Func{"image": write("/dev/sdb"), "file": write("/dev/sdb1")})
	expect(t, "log", s.lines, []string{"about to write /dev/sdb",
		"sdb does not say whom it belongs to; the next deployment to it will be asked about: it has no partition table", "about to write /dev/sdb1"})
}

func TestWipeLeavesNoMark(t *testing.T) {
	s := &deployServer{work: deployment("wipe", "reboot")}
	s.work.Kind = registry.KindWipe
	m := deploy(t, s, map[string]action.Func{"wipe": write("/dev/sdb")})
	expect(t, "did", m.did, []string{"wipe", "boot disk", "restart"})
}

func TestMarkDisk(t *testing.T) {
	device, _ := disktest.Loop(t, 4<<20)
	name := strings.TrimPrefix(device, "/dev/")
	if err := markDisk(name, "m-1", "d-1"); err == nil {
		t.Error("a disk without partitions was marked")
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := partition.Table{Kind: partition.GPT, Sector: 512, Parts: []partition.Partition{{Number: 1, Start: 1 << 20, Size: 1 << 20, Type: partition.LinuxGUID}}}
	if err := table.Write(f, 4<<20); err != nil {
		t.Fatal(err)
	}
	if err := markDisk(name, "m-1", "d-1"); err != nil {
		t.Fatal(err)
	}
	found, err := signature.Probe(f, 4<<20)
	if len(found) != 1 || found[0].Kind != signature.Mark || found[0].Label != "m-1" || found[0].UUID != "d-1" {
		t.Errorf("the disk has %+v, %v", found, err)
	}
}

func TestDeployIsGone(t *testing.T) {
	s := &deployServer{}
	m := deploy(t, s, nil)
	expect(t, "did", m.did, []string{"restart"})
}

// The last lines of an action say why it failed, so they go with its end.
func TestEndHasTheLastLines(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.ReportRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprintf("%s %d+%d", req.State, req.LinesFrom, len(req.Lines)))
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	a := &agent{screen: newScreen(&Console{})}
	a.Log = slog.New(slog.DiscardHandler)
	r := &report{agent: a, client: &api.Client{Base: server.URL}, stop: func(error) {}}
	for range 2*reportLines + 1 {
		r.log("x")
	}
	if err := r.send(t.Context(), registry.ActionFailed, "why"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"running 0+500", "running 500+500", "failed 1000+1"}; !slices.Equal(got, want) {
		t.Errorf("reports %q, want %q", got, want)
	}
}
