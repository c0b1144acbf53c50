package registry

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strings"
)

// An installer that the agent has started speaks for the action it was started by,
// which runs until the installer says how it ended. The machine's disk is written to
// when the installer has said that it will, and not before.

// InstallerAction is the name of the action that starts an installer.
const InstallerAction = "installer"

// InstallerEvent is what an installer says of itself.
type InstallerEvent string

// The events of an installer, in their order.
const (
	InstallerStarted   InstallerEvent = "started"   // it runs, and has a network
	InstallerWriting   InstallerEvent = "writing"   // the disk is written as soon as this was taken
	InstallerInstalled InstallerEvent = "installed" // the machine restarts into what was installed
	InstallerFailed    InstallerEvent = "failed"    // with the reason
)

// InstallerEvents lists every event of an installer.
func InstallerEvents() []InstallerEvent {
	return []InstallerEvent{InstallerStarted, InstallerWriting, InstallerInstalled, InstallerFailed}
}

// TellInstaller takes what the installer of a deployment says of itself, with the
// reason where it failed. The same may come again. It errs with a [*RefusalError] for a
// deployment whose installer does not run (any more), [ErrNotFound] or
// [ErrUnavailable].
func (r *Registry) TellInstaller(ctx context.Context, deployment string, event InstallerEvent, why string) error {
	d, err := r.loadDeployment(ctx, deployment)
	if err != nil {
		return err
	}
	if event == InstallerInstalled && (d.State == DeploymentVerifying || d.State == DeploymentSucceeded) {
		return nil // the answer got lost
	}
	if !d.installing() {
		return &RefusalError{fmt.Sprintf("deployment %s is %s, and no installer of it runs", d.ID, d.State)}
	}
	cancel, err := r.Report(ctx, d.Machine, d.installerReport(event, why))
	if err == nil && cancel != "" {
		err = &RefusalError{cancel}
	}
	return err
}

// installing reports whether an installer carries d out now.
func (d Deployment) installing() bool {
	return d.State == DeploymentRunning && d.Action < len(d.Actions) && d.Actions[d.Action].State == ActionRunning && d.Actions[d.Action].installs()
}

// installs reports whether the action starts an installer.
func (a ActionRun) installs() bool {
	name, _, _ := strings.Cut(path.Base(a.Image), ":")
	return name == InstallerAction
}

// mayInstall notes what keeps an installer from being started.
func (p *DeployPlan) mayInstall() {
	if p.Deployment.Disk.ByID == "" {
		p.problem("/disk", "%s has neither a serial number nor a WWN, so an installer could take another disk for it", p.Deployment.Disk.title())
	}
	if p.Deployment.Engine != EngineBuiltin {
		p.problem("/engine", "an installer tells Dragonfly alone how it ended; want builtin")
	}
}

// installerReport is an event of the installer as a report on its action.
func (d Deployment) installerReport(event InstallerEvent, why string) ActionReport {
	report := ActionReport{Deployment: d.ID, Boot: d.Boot, Attempt: d.Attempt, Action: d.Action, State: ActionRunning}
	switch event {
	case InstallerStarted:
		report.Progress = &Progress{Stage: "the installer runs"}
	case InstallerWriting:
		report.Wrote, report.Progress = true, &Progress{Stage: "installing"}
	case InstallerInstalled:
		report.State = ActionSucceeded
	case InstallerFailed:
		report.State, report.Message = ActionFailed, cmp.Or(why, "the installer did not say why")
	}
	return report
}
