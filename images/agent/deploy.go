package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

// ending are the actions after which this boot is over, so their success is
// reported before they are carried out.
var ending = []string{"reboot", "poweroff", "kexec"}

// deploy takes up the deployment that waits for this machine and carries it out.
// done says that the machine restarts. What went wrong with the deployment is
// told to the server and is no error.
func (a *agent) deploy(ctx context.Context, client *api.Client) (done bool, err error) {
	a.screen.doing("taking up a deployment")
	var work api.Work
	err = a.retry(ctx, "take up the deployment", func() error {
		work, err = client.Claim(ctx, a.BootID)
		if api.Status(err) == http.StatusConflict { // it was cancelled meanwhile
			a.problem(err)
			work, err = api.Work{}, nil
		}
		return err
	})
	if err != nil || work.Deployment == "" {
		return false, err
	}
	a.Log.Info("deployment", "deployment", work.Deployment, "attempt", work.Attempt, "actions", len(work.Actions))
	return (&job{agent: a, work: work, told: &report{agent: a, client: client, work: work, action: work.ResumeFrom}}).run(ctx)
}

// job is one deployment as this boot carries it out.
type job struct {
	*agent
	work  api.Work
	told  *report
	wrote bool // the server knows that the disk is changed

	unmarked bool // and the log says that there is no room for the mark
}

// run carries out every action that has not succeeded yet. An error is one of the
// connection; everything else has been reported.
func (j *job) run(ctx context.Context) (done bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	j.told.stop = stop
	if j.work.Kind == registry.KindRescue { // where it is cancelled, the machine goes back to its disk
		defer func() { done, err = j.leaveRescue(ctx, err) }()
	}
	j.wrote = j.work.Wrote
	running := make(chan struct{})
	go func() { defer close(running); j.told.follow(ctx) }()
	defer func() { stop(nil); <-running }()

	device, err := j.prepare(ctx)
	if err == nil {
		err = j.Release() // what an attempt before this one left
	}
	if err != nil {
		return false, j.end(ctx, err)
	}
	for i := j.work.ResumeFrom; i < len(j.work.Actions); i++ {
		j.told.begin(i)
		last := slices.Contains(ending, action.Name(j.work.Actions[i].Image))
		if last {
			break
		}
		if err := j.carryOut(ctx, j.work.Actions[i], device); err != nil {
			return false, j.end(ctx, err)
		}
		if err := j.told.send(ctx, registry.ActionSucceeded, ""); err != nil {
			return false, j.end(ctx, err)
		}
	}
	if j.work.Kind == registry.KindRescue {
		return true, nil
	}
	if err := j.Release(); err != nil {
		return false, j.end(ctx, err)
	}
	j.bootable(ctx, device)
	return j.leave(ctx, device)
}

// prepare says before the first action why it may not begin: an action that is not
// known here, or a disk that is not the one that was agreed to. It returns where
// that disk is.
func (j *job) prepare(ctx context.Context) (device string, err error) {
	for i, step := range j.work.Actions {
		name := action.Name(step.Image)
		if (slices.Contains(ending, name) || name == registry.InstallerAction) && i < len(j.work.Actions)-1 {
			return "", fmt.Errorf("%s: it ends this boot, so it must be the last action", step.Name)
		}
		if _, known := j.Action(step.Image); !known {
			return "", fmt.Errorf("%s: the agent has no action for the image %s; it has %s", step.Name, step.Image, strings.Join(action.Names(), ", "))
		}
	}
	if j.work.Disk == (registry.DeploymentDisk{}) {
		return "", nil
	}
	disk, err := j.work.Disk.Find(j.Hardware(ctx).Disks)
	return disk.Name, err
}

// carryOut runs one action within its time.
func (j *job) carryOut(ctx context.Context, step registry.RecipeAction, device string) error {
	j.screen.doing(fmt.Sprintf("%s (%d of %d)", clean(step.Name), j.told.action+1, len(j.work.Actions)))
	if err := j.told.send(ctx, registry.ActionRunning, ""); err != nil {
		return err
	}
	if err := j.LinkDisks(); err != nil { // the action before may have made partitions
		return err
	}
	limit := time.Duration(step.Timeout) * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was not done within %v", limit))
	defer cancel()
	todo, _ := j.Action(step.Image) // prepare has asked
	err := todo.Run(ctx, j.env(ctx, step, device))
	j.mark(device)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// env is what an action is given.
func (j *job) env(ctx context.Context, step registry.RecipeAction, device string) *action.Env {
	return &action.Env{
		Vars: step.Environment, Command: step.Command, Tools: j.Tools,
		HTTP: j.HTTP, Need: j.Need, Log: j.told.log, Progress: j.told.progress,
		Writing: func(target string) error { return j.writing(ctx, target, device) },
	}
}

// writing lets an action change the disk of the deployment, and no other one, once
// the server knows of it.
func (j *job) writing(ctx context.Context, target, device string) error {
	if device == "" {
		return errors.New("no disk was agreed to for this deployment")
	}
	whole, err := j.Config.Disk(target)
	if err != nil {
		return err
	}
	if whole != device {
		return fmt.Errorf("this deployment may write to %s alone, and that is on %s", device, whole)
	}
	if j.wrote {
		return nil
	}
	j.told.wrote()
	if err := j.told.send(ctx, registry.ActionRunning, ""); err != nil {
		return err
	}
	j.wrote = true
	return nil
}

// end reports why the deployment does not go on. Where the server knows that
// already, or took it back, there is nothing to report.
func (j *job) end(ctx context.Context, why error) error {
	if taken, ok := errors.AsType[*takenBackError](context.Cause(ctx)); ok {
		j.problem(taken)
		return nil
	}
	if ctx.Err() != nil || errors.Is(why, errRefused) {
		return why
	}
	j.problem(why)
	return j.told.send(ctx, registry.ActionFailed, why.Error())
}

// leave ends this boot as the last action says; after an installation without such
// an action the machine restarts from its disk.
func (j *job) leave(ctx context.Context, device string) (done bool, err error) {
	name := "reboot"
	if at := j.told.action; at < len(j.work.Actions) && slices.Contains(ending, action.Name(j.work.Actions[at].Image)) {
		name = action.Name(j.work.Actions[at].Image)
		if err := j.told.send(ctx, registry.ActionSucceeded, ""); err != nil {
			return false, j.end(ctx, err)
		}
		if name != "reboot" {
			err := j.carryOutLast(ctx, j.work.Actions[at], device)
			return false, j.end(ctx, err)
		}
	} else if j.work.Kind == registry.KindWipe {
		return false, nil
	}
	return true, j.restartFromDisk(ctx)
}

// leaveRescue restarts the machine from its own disk after somebody was let in. Where
// the agent itself is stopped there is nothing to be done.
func (j *job) leaveRescue(ctx context.Context, why error) (done bool, err error) {
	_, taken := errors.AsType[*takenBackError](context.Cause(ctx))
	if why != nil || ctx.Err() != nil && !taken {
		return false, why
	}
	return true, j.restartFromDisk(context.WithoutCancel(ctx))
}

// carryOutLast runs an action that ends this boot; that it returns is a failure.
func (j *job) carryOutLast(ctx context.Context, step registry.RecipeAction, device string) error {
	j.screen.doing(clean(step.Name))
	todo, _ := j.Action(step.Image)
	err := todo.Run(ctx, j.env(ctx, step, device))
	if err == nil {
		err = errors.New("the machine is still running")
	}
	return fmt.Errorf("%s: %w", step.Name, err)
}

// takenBackError says that the server wants no more of a deployment.
type takenBackError struct{ reason string }

func (e *takenBackError) Error() string { return "the deployment was stopped: " + e.reason }
