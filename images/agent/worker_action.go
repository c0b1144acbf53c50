package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/images/tink"
	"dragonfly/registry"
)

// serve carries out one action and reports on it; done says that the machine
// restarts. It errs only when ctx ends.
func (w *worker) serve(ctx context.Context, step tink.Action) (done bool, err error) {
	key := step.Workflow + " " + step.ID
	if before, again := w.ended[key]; again {
		before.Message = short("this boot carried it out before, and does not do so again: " + before.Message)
		return false, w.close(ctx, before)
	}
	s := tink.Status{Workflow: step.Workflow, Agent: step.Agent, Task: step.Task, Action: step.ID, Name: step.Name, Start: time.Now().UTC()}
	todo, err := w.understand(step)
	if err == nil {
		err = w.tidy(step.Workflow)
	}
	if err != nil {
		w.problem(fmt.Errorf("%s: %w", step.Name, err))
		s = ended(s, tink.Failed, err.Error())
		w.ended[key] = s
		return false, w.close(ctx, s)
	}
	s.State, s.Message = tink.Running, "begun by Dragonfly's agent in the boot "+w.BootID
	if err := w.tell(ctx, s); err != nil {
		w.problem(fmt.Errorf("%s was not begun: %w", step.Name, err))
		return false, ctx.Err()
	}
	if todo.ends {
		return w.leave(ctx, todo, s)
	}
	state, message := w.carryOut(ctx, todo)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	s = ended(s, state, message)
	w.ended[key] = s
	return false, w.close(ctx, s)
}

// close reports how an action ended. That the server does not want to know ends
// nothing here.
func (w *worker) close(ctx context.Context, s tink.Status) error {
	if err := w.tell(ctx, s); err != nil && ctx.Err() == nil {
		w.problem(err)
	}
	return ctx.Err()
}

// ended is s after the action ended.
func ended(s tink.Status, state tink.State, message string) tink.Status {
	s.State, s.Message, s.Stop = state, short(message), time.Now().UTC()
	s.Duration = s.Stop.Sub(s.Start).Round(time.Millisecond).String()
	return s
}

// short is a message as long as a Workflow should hold one.
func short(message string) string {
	if len(message) > 2048 {
		message = message[:2048] + "..."
	}
	return strings.ToValidUTF8(message, "?")
}

// task is an action as it is carried out here.
type task struct {
	tink.Action
	vars map[string]string
	do   action.Action
	name string // of the action
	ends bool   // this boot
}

// waitdaemon reports its success before it runs the image in IMAGE, for those that end
// the boot. Here all that do are reported before.
const waitdaemon = "waitdaemon"

// understand finds what carries an action out here. Volumes and namespaces are those
// of a container, which there is none of.
func (w *worker) understand(step tink.Action) (task, error) {
	t := task{Action: step, vars: map[string]string{}}
	for _, variable := range step.Environment {
		name, value, _ := strings.Cut(variable, "=")
		t.vars[name] = value
	}
	image := step.Image
	if action.Name(image) == waitdaemon {
		image = t.vars["IMAGE"]
	}
	t.name = action.Name(image)
	t.ends = slices.Contains(ending, t.name)
	var known bool
	if t.do, known = w.Action(image); !known {
		return t, fmt.Errorf("nothing of it was carried out: Dragonfly's agent has no action for the image %q; it has %s. HookOS runs any image: boot the machine into that for this template",
			image, strings.Join(action.Names(), ", "))
	}
	if t.name == registry.InstallerAction {
		return t, fmt.Errorf("nothing of it was carried out: an installer says how it ended to Dragonfly alone; deploy it without Tinkerbell")
	}
	if step.Timeout <= 0 {
		return t, fmt.Errorf("nothing of it was carried out: its timeout is %d seconds; want 1 at least", step.Timeout)
	}
	return t, nil
}

// tidy unmounts what the actions of another Workflow have left, and names the disks.
func (w *worker) tidy(workflow string) error {
	if workflow != w.workflow {
		if err := w.Release(); err != nil {
			return err
		}
		w.workflow = workflow
	}
	return w.LinkDisks() // the action before may have made partitions
}

// carryOut runs an action within its time, and says how it ended.
func (w *worker) carryOut(ctx context.Context, t task) (tink.State, string) {
	w.acting.Lock()
	defer w.acting.Unlock()
	w.screen.doing(fmt.Sprintf("%s (%s)", clean(t.Name), clean(t.Workflow)))
	limit := time.Duration(min(t.Timeout, int64(maxAction/time.Second))) * time.Second
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var said lastLines
	begun := time.Now()
	switch err := t.do.Run(within, w.env(t, &said)); {
	case err == nil:
		return tink.Success, "done in " + time.Since(begun).Round(time.Millisecond).String()
	case errors.Is(within.Err(), context.DeadlineExceeded):
		return tink.Timeout, fmt.Sprintf("it was not done within %v: %v", limit, err) + said.text()
	default:
		return tink.Failed, err.Error() + said.text()
	}
}

// maxAction bounds the time of an action, whatever its Workflow says.
const maxAction = 7 * 24 * time.Hour

// env is what an action is given.
func (w *worker) env(t task, said *lastLines) *action.Env {
	return &action.Env{Vars: t.vars, Command: t.Command, Tools: w.Tools, HTTP: w.HTTP, Need: w.Need,
		Log: func(line string) {
			said.add(line)
			w.Log.Debug(clean(line))
		},
		Writing: func(device string) error {
			disk, err := w.Disk(device)
			if err == nil {
				w.Log.Info("about to write", "disk", disk, "workflow", t.Workflow, "action", t.Name)
			}
			return err
		}}
}

// leave ends this boot as an action says, after the server has taken that it
// succeeded. Where it does not, that is reported.
func (w *worker) leave(ctx context.Context, t task, s tink.Status) (done bool, err error) {
	w.acting.Lock()
	defer w.acting.Unlock()
	w.screen.doing(clean(t.Name))
	if err := w.Release(); err != nil {
		return false, w.close(ctx, ended(s, tink.Failed, err.Error()))
	}
	s = ended(s, tink.Success, t.name+" ends this boot now")
	w.ended[t.Workflow+" "+t.ID] = s
	if err := w.tell(ctx, s); err != nil {
		w.problem(fmt.Errorf("%s was not carried out: %w", t.Name, err))
		return false, ctx.Err()
	}
	if t.name == "reboot" {
		return true, w.restart(ctx)
	}
	err = t.do.Run(ctx, w.env(t, &lastLines{}))
	if err == nil {
		err = errors.New("the machine is still running")
	}
	w.problem(fmt.Errorf("%s: %w", t.Name, err))
	return false, w.close(ctx, ended(s, tink.Failed, err.Error()))
}

// lastLines keeps the end of a log for the message of a failure: it goes no further.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *lastLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, clean(line[:min(len(line), 200)]))
	l.lines = l.lines[max(len(l.lines)-5, 0):]
}

func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return ""
	}
	return "; its last words: " + strings.Join(l.lines, " | ")
}
