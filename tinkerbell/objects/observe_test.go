package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// plainSealer keeps nothing secret.
type plainSealer struct{}

func (plainSealer) Seal(_, secret string) string          { return secret }
func (plainSealer) Open(_, sealed string) (string, error) { return sealed, nil }

// deployed is a registry with a machine that waits for an installation of two actions.
func deployed(t *testing.T) (r *registry.Registry, machine string, d registry.Deployment) {
	t.Helper()
	r, err := registry.New(t.Context(), registrytest.Memory(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.Equip(registry.Tools{Sealer: plainSealer{}, Templates: map[string]string{"image": "image"},
		Catalogue: []registry.OS{{ID: "linux", Template: "image", FirstBoot: registry.FirstBootNone, Images: map[string]registry.OSImage{"amd64": {URL: "http://x/linux.raw"}}}},
		Limits:    registry.DeployLimits{Wait: 30 * time.Minute, Verify: 20 * time.Minute},
		Server:    func(registry.Machine) (string, error) { return "http://10.0.0.2:3000", nil },
		Render: func(string, registry.Machine, map[string]string) (registry.Rendered, error) {
			return registry.Rendered{Actions: []registry.RecipeAction{{Name: "write", Image: "x/image2disk:v1", Timeout: 600}, {Name: "restart", Image: "x/reboot:v1", Timeout: 60}}}, nil
		}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	mac := registry.MAC{2, 0, 0, 0, 0, 1}
	m, _, err := r.Register(t.Context(), registry.Registration{MAC: mac, MACs: []registry.MAC{mac}, Hardware: registry.Hardware{
		CPU: registry.CPU{Arch: "amd64"}, Disks: []registry.Disk{{Name: "sda", Serial: "S1", Model: "ACME", Bytes: 8e9, Contents: registry.Blank}}}})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := r.Deploy(registry.WithActor(t.Context(), registry.Actor{Name: "ana", Role: "operator"}), m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	return r, m.ID, plan.Deployment
}

// look is a look at a Workflow, and how long after the one before.
type look struct {
	After  string         `json:"after"`
	Gone   bool           `json:"gone"`
	Spec   map[string]any `json:"spec"`
	Status any            `json:"status"`
}

func (l look) workflow() *unstructured.Unstructured {
	if l.Gone {
		return nil
	}
	u := &unstructured.Unstructured{}
	text, err := json.Marshal(map[string]any{"apiVersion": Version.String(), "kind": "Workflow", "metadata": map[string]any{"uid": "uid-1"}, "spec": l.Spec, "status": l.Status})
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		panic(err)
	}
	return u
}

// replay has a real registry told of what each look says, and writes down both. It
// looks twice each time: what was told is not told again.
func replay(t *testing.T, life []look) string {
	t.Helper()
	r, machine, d := deployed(t)
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	waiting, note, start := Waiting{}, "", time.Now()
	for _, l := range life {
		after, err := time.ParseDuration(l.After)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		for again := range 2 {
			if d, err = r.Deployment(t.Context(), d.ID); err != nil {
				t.Fatal(err)
			}
			seen := Observe(Sight{Workflow: l.workflow(), Deployment: d, Before: waiting, Now: time.Now(), Timeline: "the kernel was fetched at 10:00:05"})
			waiting = seen.Waiting
			if again == 1 {
				if slices.ContainsFunc(seen.Reports, func(r registry.ActionReport) bool { return r.Progress == nil }) {
					t.Errorf("told twice: %+v", seen.Reports)
				}
				continue
			}
			say("%s ended=%v clear=%v", time.Since(start), seen.Ended, seen.Clear)
			if seen.Note != note {
				say("  note: %s", seen.Note)
			}
			if note = seen.Note; !seen.Again.IsZero() {
				say("  again in %s", time.Until(seen.Again))
			}
			if seen.Failed != "" {
				say("  failed: %s", seen.Failed)
			}
			tell(t, r, machine, d, seen, say)
		}
	}
	if d, err := r.Deployment(t.Context(), d.ID); err != nil || d.State.Ended() != strings.Contains(out.String(), "action failed") {
		t.Errorf("deployment %s, %v", d.State, err)
	} else if say("deployment %s, wrote %v", d.State, d.Wrote); d.Reason != "" {
		say("  %s", d.Reason)
	}
	return out.String()
}

// tell does with what was seen as its documentation says.
func tell(t *testing.T, r *registry.Registry, machine string, d registry.Deployment, seen Seen, say func(string, ...any)) {
	t.Helper()
	if seen.Boot == "" {
		return
	}
	claimed, _, err := r.ClaimByAgent(t.Context(), machine, registry.AgentBoot{ID: seen.Boot})
	if d.BootID != seen.Boot {
		say("  claimed as %s: %v", seen.Boot, err)
	}
	for _, report := range seen.Reports {
		report.Attempt = claimed.Attempt
		stage := ""
		if report.Progress != nil {
			stage = report.Progress.Stage
		}
		say("  %d %s %s%s wrote=%v", report.Action, report.State, report.Message, stage, report.Wrote)
		cancel, errReport := r.Report(t.Context(), machine, report)
		if err := errors.Join(err, errReport); err != nil || cancel != "" {
			t.Errorf("%+v: %q %v", report, cancel, err)
		}
		if report.State == registry.ActionFailed {
			say("  action failed")
		}
	}
}

func TestLives(t *testing.T) {
	paths, err := filepath.Glob("testdata/lives/*.yaml")
	if err != nil || len(paths) < 20 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			var life []look
			if err == nil {
				err = yaml.Unmarshal(text, &life)
			}
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				golden(t, strings.TrimSuffix(path, ".yaml")+".golden", replay(t, life))
			})
		})
	}
}

// A deployment that is not under way is not told of anything.
func TestObserveWhatIsOver(t *testing.T) {
	w := look{Status: map[string]any{"state": "FAILED", "currentState": map[string]any{"actionID": "a1"}}}.workflow()
	for _, state := range []registry.DeploymentState{registry.DeploymentPending, registry.DeploymentVerifying, registry.DeploymentSucceeded, registry.DeploymentCancelled} {
		seen := Observe(Sight{Workflow: w, Deployment: registry.Deployment{State: state}})
		if seen.Boot != "" || len(seen.Reports) > 0 || seen.Failed != "" || !seen.Ended || !seen.Clear {
			t.Errorf("%s: %+v", state, seen)
		}
		if seen := Observe(Sight{Deployment: registry.Deployment{State: state}}); len(seen.Reports) > 0 || seen.Failed != "" || !seen.Ended {
			t.Errorf("%s, deleted: %+v", state, seen)
		}
	}
}

// Whatever a Workflow holds, nothing panics, and every report is one that a registry
// takes.
func FuzzObserve(f *testing.F) {
	f.Add(`{"state":"RUNNING","tasks":[{"actions":[{"state":"SUCCESS"},{"state":"FAILED","message":"é"}]}]}`, 1)
	f.Add(`{"state":"","templateRendering":"failed","conditions":[{"type":"TemplateRenderedSuccess","status":"False","message":"x"}]}`, 0)
	f.Add(`{"currentState":{"actionID":"a"},"tasks":[{"actions":[null]}]}`, 2)
	f.Fuzz(func(t *testing.T, status string, action int) {
		var tree any
		if json.Unmarshal([]byte(status), &tree) != nil {
			return
		}
		w := look{Status: tree}.workflow()
		action = max(0, min(action, 1))
		d := registry.Deployment{State: registry.DeploymentRunning, BootID: "uid-1", Action: action, Actions: make([]registry.ActionRun, 2)}
		for _, boot := range []string{"uid-1", "other"} {
			d.BootID = boot
			next := action
			if boot == "other" {
				next = 0
			}
			for _, r := range Observe(Sight{Workflow: w, Deployment: d, Now: time.Now()}).Reports {
				if r.Action != next || r.Action > 1 || len(r.Message) > 1000 {
					t.Fatalf("%s: %+v, next %d", status, r, next)
				}
				if r.State == registry.ActionSucceeded {
					next++
				}
			}
		}
	})
}

func TestEdited(t *testing.T) {
	made, err := Build(order())
	if err != nil {
		t.Fatal(err)
	}
	live := AllowPXE(made.Hardware)
	if got := Edited(made.Hardware, live); len(got) > 0 {
		t.Error(got)
	}
	spec := live.Object["spec"].(map[string]any)
	spec["disks"] = []any{}
	spec["interfaces"].([]any)[1].(map[string]any)["dhcp"].(map[string]any)["uefi"] = false
	spec["interfaces"].([]any)[2] = "x"
	delete(spec, "userData")
	delete(spec, "auto")
	if got := strings.Join(Edited(made.Hardware, live), " "); got != "spec.disks spec.interfaces[1].dhcp.uefi spec.interfaces[2] spec.userData" {
		t.Error(got)
	}
	if got := Edited(made.Template, &unstructured.Unstructured{Object: map[string]any{}}); len(got) != 1 || got[0] != "spec" {
		t.Error(got)
	}
}
