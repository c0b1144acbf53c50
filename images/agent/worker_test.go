package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/images/tink"
	"dragonfly/registry"
)

// workflow is Tink server with one Workflow: an action is handed out until a report
// says that it succeeded.
type workflow struct {
	steps []tink.Action
	lose  map[string]int // reports of a state that are answered by a broken connection, and how many of those are heard all the same
	heard bool           // what is lost was heard
	over  error          // what is said once all is done
	stop  func()         // called then

	at    int
	asked int
	told  []string // "write running: message"
}

func (w *workflow) GetAction(_ context.Context, agent string, _ registry.Hardware) (tink.Action, error) {
	w.asked++
	if w.asked == 1 {
		return tink.Action{}, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	}
	if w.at >= len(w.steps) {
		w.stop()
		return tink.Action{}, w.over
	}
	step := w.steps[w.at]
	step.Agent = agent
	return step, nil
}

func (w *workflow) ReportActionStatus(_ context.Context, s tink.Status) error {
	lost := w.lose[s.State.String()] > 0
	if lost {
		if w.lose[s.State.String()]--; !w.heard {
			return errors.New("the connection broke")
		}
	}
	w.told = append(w.told, fmt.Sprintf("%s %s: %s", s.Name, s.State, s.Message))
	switch {
	case s.State == tink.Success && w.at < len(w.steps) && s.Action == w.steps[w.at].ID:
		w.at++
	case s.State == tink.Failed || s.State == tink.Timeout:
		w.at = len(w.steps)
	}
	if lost {
		return errors.New("the connection broke")
	}
	return nil
}

// steps are actions of a minute each.
func steps(images ...string) (all []tink.Action) {
	for i, image := range images {
		all = append(all, tink.Action{Workflow: "ns/wf", Task: "t", ID: fmt.Sprint("id-", i), Name: image, Image: "quay.io/tinkerbell/actions/" + image + ":latest",
			Timeout: 60, Environment: []string{"DEST_DISK=/dev/sda", "A=b=c"}, Volumes: []string{"/dev:/dev"}})
	}
	return all
}

// workAt runs a worker until its Workflow is over, or it restarts.
func workAt(t *testing.T, w *workflow, actions map[string]action.Func) *machine {
	t.Helper()
	m := &machine{actions: map[string]action.Func{"quay.io/tinkerbell/actions/reboot:latest": nil}}
	for name, f := range actions {
		m.actions["quay.io/tinkerbell/actions/"+name+":latest"] = func(ctx context.Context, env *action.Env) error {
			m.do(name)
			return f(ctx, env)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.stop = cancel
		if w.over == nil {
			w.over = &tink.Error{Code: tink.NotFound}
		}
		cfg := m.config(nil, "")
		cfg.Boot = Boot{Tink: tink.Server{Authority: "tink:1"}, Worker: mac.String()}
		a := &agent{Config: cfg, screen: newScreen(cfg.Console)}
		err := (&worker{agent: a, server: w, ended: map[string]tink.Status{}}).run(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	return m
}

func quick(_ context.Context, env *action.Env) error {
	if env.Vars["DEST_DISK"] != "/dev/sda" || env.Vars["A"] != "b=c" {
		return fmt.Errorf("the variables are %v", env.Vars)
	}
	env.Log("writing")
	if err := env.Writing("/dev/sda1"); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	return nil
}

const begun = "begun by Dragonfly's agent in the boot boot-0001"

func TestWorker(t *testing.T) {
	w := &workflow{steps: steps("image2disk", "writefile", "reboot")}
	m := workAt(t, w, map[string]action.Func{"image2disk": quick, "writefile": quick})
	expect(t, "did", m.did, []string{"image2disk", "writefile", "restart"})
	expect(t, "told", w.told, []string{"image2disk running: " + begun, "image2disk done: done in 2s", "writefile running: " + begun, "writefile done: done in 2s",
		"reboot running: " + begun, "reboot done: reboot ends this boot now"})
	if !strings.Contains(m.text(), "connection refused") {
		t.Error("nobody is told that Tink server did not answer")
	}
}

// What ends the boot is told before, with waitdaemon around it or not; where it does
// not end it, that is told.
func TestWorkerEndsTheBoot(t *testing.T) {
	w := &workflow{steps: steps("waitdaemon")}
	w.steps[0].Environment = []string{"IMAGE=quay.io/tinkerbell/actions/kexec:latest", "WAIT_SECONDS=5"}
	m := workAt(t, w, map[string]action.Func{"kexec": func(context.Context, *action.Env) error { return errors.New("no kernel") }})
	expect(t, "did", m.did, []string{"kexec"})
	expect(t, "told", w.told, []string{"waitdaemon running: " + begun, "waitdaemon done: kexec ends this boot now", "waitdaemon failed: no kernel"})
}

func TestWorkerFails(t *testing.T) {
	broken := func(_ context.Context, env *action.Env) error {
		for i := range 7 {
			env.Log(fmt.Sprint("line ", i))
		}
		return errors.New("the disk is full")
	}
	slow := func(ctx context.Context, _ *action.Env) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, test := range map[string]struct {
		step tink.Action
		did  []string
		told []string
	}{
		"an action that is not known": {steps("slurp")[0], nil, []string{"slurp failed: nothing of it was carried out: Dragonfly's agent has no action for the image \"quay.io/tinkerbell/actions/slurp:latest\"; it has"}},
		"no timeout": {func() tink.Action { s := steps("broken")[0]; s.Timeout = 0; return s }(), nil,
			[]string{"broken failed: nothing of it was carried out: its timeout is 0 seconds"}},
		"an error": {steps("broken")[0], []string{"broken"}, []string{"broken running: ", "broken failed: the disk is full; its last words: line 2 | line 3 | line 4 | line 5 | line 6"}},
		"too slow": {steps("slow")[0], []string{"slow"}, []string{"slow running: ", "slow timed out: it was not done within 1m0s: context deadline exceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &workflow{steps: []tink.Action{test.step}, over: &tink.Error{Code: tink.FailedPrecondition}}
			m := workAt(t, w, map[string]action.Func{"broken": broken, "slow": slow})
			expect(t, "did", m.did, test.did)
			if len(w.told) != len(test.told) {
				t.Fatalf("told %q", w.told)
			}
			for i, want := range test.told {
				if !strings.HasPrefix(w.told[i], want) {
					t.Errorf("told %q, want %q", w.told[i], want)
				}
			}
		})
	}
}

// A report that is lost is sent again until it is taken, and its action runs once.
func TestWorkerReportsAtLeastOnce(t *testing.T) {
	for _, heard := range []bool{false, true} {
		w := &workflow{steps: steps("image2disk"), heard: heard, lose: map[string]int{"running": 3, "done": 3}}
		m := workAt(t, w, map[string]action.Func{"image2disk": quick})
		expect(t, "did", m.did, []string{"image2disk"})
		if last := w.told[len(w.told)-1]; last != "image2disk done: done in 2s" {
			t.Errorf("told %q last", last)
		}
	}
}

// forgetful is Tink server that lost what was reported: it hands an action out again.
type forgetful struct {
	*workflow
	forgot bool
}

func (f *forgetful) ReportActionStatus(ctx context.Context, s tink.Status) error {
	if s.State == tink.Success && !f.forgot {
		f.forgot = true
		f.told = append(f.told, "forgotten")
		return nil
	}
	return f.workflow.ReportActionStatus(ctx, s)
}

func TestWorkerCarriesNothingOutTwice(t *testing.T) {
	f := &forgetful{workflow: &workflow{steps: steps("image2disk")}}
	ran := 0
	m := &machine{actions: map[string]action.Func{f.steps[0].Image: func(context.Context, *action.Env) error { ran++; return nil }}}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f.stop, f.over = cancel, &tink.Error{Code: tink.NotFound}
		cfg := m.config(nil, "")
		cfg.Boot = Boot{Tink: tink.Server{Authority: "tink:1"}, Worker: "w"}
		w := &worker{agent: &agent{Config: cfg, screen: newScreen(cfg.Console)}, server: f, ended: map[string]tink.Status{}}
		if err := w.run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	if ran != 1 {
		t.Errorf("the action ran %d times", ran)
	}
	expect(t, "told", f.told, []string{"image2disk running: " + begun, "forgotten",
		"image2disk done: this boot carried it out before, and does not do so again: done in 0s"})
}

// What the server does not want to hear of is not begun.
func TestWorkerAsksFirst(t *testing.T) {
	w := &workflow{steps: steps("image2disk")}
	refusing := &refuser{workflow: w}
	m := &machine{}
	m.actions = map[string]action.Func{w.steps[0].Image: func(context.Context, *action.Env) error { m.do("image2disk"); return nil }}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cfg := m.config(nil, "")
		a := &agent{Config: cfg, screen: newScreen(cfg.Console)}
		_ = (&worker{agent: a, server: refusing, ended: map[string]tink.Status{}}).run(ctx)
	})
	if len(m.did) != 0 || refusing.n < 10 || refusing.n > 61 {
		t.Errorf("did %q after %d refusals", m.did, refusing.n)
	}
}

type refuser struct {
	*workflow
	n int
}

func (r *refuser) ReportActionStatus(context.Context, tink.Status) error {
	r.n++
	return &tink.Error{Code: tink.NotFound, Message: "action not found"}
}

// A machine that could not be restarted takes actions again.
func TestFailedRestartLetsActionsGoOn(t *testing.T) {
	for _, what := range []registry.Instruction{registry.Reboot, registry.LocalBoot} {
		failed := errors.New("no")
		a := &agent{screen: newScreen(&Console{})}
		a.Log, a.BootDisk, a.Restart = slog.New(slog.DiscardHandler), func() error { return nil }, func() error { return failed }
		if done, err := a.act(t.Context(), what); !done || !errors.Is(err, failed) {
			t.Errorf("%s: %v, %v", what, done, err)
		}
		if !a.acting.TryLock() {
			t.Errorf("%s: no action may begin any more", what)
		}
	}
}
