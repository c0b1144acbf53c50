package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// AgentBoot is a boot of the agent on a machine. Its token is given with the boot
// script and goes on into the machine token, so that whoever kept one of an earlier
// boot cannot pass for this one.
type AgentBoot struct {
	Token string // names the boot in its tokens; empty: nobody knows
	ID    string // what its kernel calls it
}

// BootToken is what the token says that a boot script gives to the agent.
type BootToken struct {
	MAC  MAC    // the machine boots from
	Boot string // the Token of an [AgentBoot]
}

// MachineToken is what the token of an agent says that has registered.
type MachineToken struct {
	ID      string // of the machine
	Boot    string // the Token of an [AgentBoot]
	Renewed string // a fresh token, when this one is past half its life
}

// noBoot is of a machine whose agent has to register again before it is given
// anything to carry out.
const noBoot = "none"

// outlived reports whether another boot of the agent has registered since the one of a
// token. The one that has just installed the machine, and one beside a worker of
// Tinkerbell's, are not outlived by that.
func (m Machine) outlived(boot string) bool {
	return m.AgentBoot != "" && m.AgentBoot != noBoot && workerAddr(m.AgentBoot) == "" && m.AgentBoot != boot
}

// StaleBootError is of an agent whose token is from a boot that is over.
type StaleBootError struct{ Machine string }

func (e *StaleBootError) Error() string {
	return "another boot of " + e.Machine + " has registered since this one, or it was installed: its deployments are not for this one; restart to register again"
}

// ClaimByAgent gives a boot of a machine its deployment to carry out. The first boot
// that asks gets it, and may ask again; another one gets it while nothing has been
// written. It errs with a [*StaleBootError] where another boot has registered since, or
// the machine was installed, with a [*RefusalError] that says why there is nothing to be
// carried out, or [ErrUnavailable].
func (r *Registry) ClaimByAgent(ctx context.Context, machine string, boot AgentBoot) (Deployment, Recipe, error) {
	return r.claim(ctx, machine, func(t *turn) (AgentBoot, error) {
		if t.m.AgentBoot != "" && t.m.AgentBoot != boot.Token {
			return boot, &StaleBootError{t.m.Name}
		}
		return boot, t.d.isOf(EngineBuiltin)
	})
}

// claim gives a boot the deployment of its machine. who says which boot that is, or why
// it may not have it.
func (r *Registry) claim(ctx context.Context, machine string, who func(*turn) (AgentBoot, error)) (d Deployment, recipe Recipe, err error) {
	m, err := r.Machine(ctx, machine)
	if err != nil {
		return d, recipe, err
	}
	if m.Deployment == "" {
		return d, recipe, &RefusalError{"there is no deployment for this machine"}
	}
	if err := r.writable(); err != nil {
		return d, recipe, err
	}
	refusal := ""
	d, m, err = r.turn(ctx, m.Deployment, func(t *turn) (err error) {
		boot, err := who(t)
		if err != nil {
			return err
		}
		before := t.d
		t.d, refusal, err = t.d.claimed(t.m, boot, r.now())
		switch {
		case err != nil:
			return err
		case t.d.State == DeploymentSucceeded && !before.State.Ended():
			t.tellState(r, t.d.name()+" ended: the machine restarted")
		case t.d.State == DeploymentFailed && !before.State.Ended():
			t.tellState(r, fmt.Sprintf("%s failed: %s", t.d.name(), t.d.Reason))
		case refusal == "" && t.d.Attempt != before.Attempt:
			t.d.Actions = r.expect(ctx, t.d)
			t.say(t.m.event(DeploymentClaimed, r.now(), claimMessage(before, t.d)))
		}
		return nil
	})
	if err != nil {
		return d, recipe, err
	}
	if refusal != "" {
		return d, recipe, &RefusalError{refusal}
	}
	r.beat(ctx, m)
	recipe, err = r.open(d)
	return d, recipe, err
}

func claimMessage(before, d Deployment) string {
	if before.Attempt > 0 {
		return fmt.Sprintf("%s: taken up again from the start, since the machine restarted before its disk was written to (attempt %d)", d.name(), d.Attempt)
	}
	if addr := workerAddr(d.Boot); addr != "" {
		return d.name() + ": the worker at " + addr + " took it up, by Tink server's protocol"
	}
	return d.name() + ": the agent took it up"
}

// Seal keeps text from whoever reads the database.
type Sealer interface {
	Seal(name, secret string) string
	Open(name, sealed string) (string, error)
}

// seal is the recipe of a deployment as it is stored.
func (r *Registry) seal(id string, recipe Recipe) (string, error) {
	text, err := json.Marshal(recipe)
	return r.tools.Sealer.Seal("deployment/"+id, string(text)), err
}

// open is the recipe of a deployment.
func (r *Registry) open(d Deployment) (recipe Recipe, err error) {
	text, err := r.tools.Sealer.Open("deployment/"+d.ID, d.Sealed)
	if err == nil {
		err = json.Unmarshal([]byte(text), &recipe)
	}
	if err != nil {
		err = fmt.Errorf("open the recipe of deployment %s: %w", d.ID, err)
	}
	return recipe, err
}

// Report takes what the agent of a machine says of an action, and tells it whether to
// stop, and why. What is acknowledged is stored, but for how far the action is: that
// is kept in memory, and written in batches. The same report may come any number of
// times. It errs with [*InvalidError], [*RefusalError] for a deployment that is not the
// machine's, or [ErrUnavailable], after which the agent tries again.
func (r *Registry) Report(ctx context.Context, machine string, report ActionReport) (cancel string, err error) {
	report = report.clean()
	if r.index.version(machine) > 0 { // a token outlives a machine that is deleted
		r.presence.beat(machine, r.now(), r.now())
	}
	if report.onlyProgress() && r.tracks.note(machine, report, r.now()) {
		return "", nil
	}
	if err := r.writable(); err != nil {
		return "", err
	}
	d, _, err := r.turn(ctx, report.Deployment, func(t *turn) (err error) {
		if t.m.ID != machine {
			return &RefusalError{"deployment " + t.d.ID + " is not this machine's"}
		}
		before := t.d
		if t.d, cancel, err = t.d.reported(report, r.now()); err != nil {
			return err
		}
		if report.Attempt == t.d.Attempt && report.Boot == t.d.Boot { // the last words, too, of one that was cancelled
			t.lines = report.lines(r)
		}
		if cancel == "" {
			r.tell(t, before)
		}
		return nil
	})
	if err == nil && cancel == "" && d.State == DeploymentRunning {
		r.tracks.follow(d, report, r.now())
	}
	return cancel, err
}

// onlyProgress reports whether nothing of the report has to be stored before it is
// acknowledged.
func (a ActionReport) onlyProgress() bool {
	return a.State == ActionRunning && a.Progress != nil && len(a.Lines) == 0
}

// maxLine is how much of a line of the log is kept, and maxMessage of a message, in
// bytes.
const (
	maxLine    = 1000
	maxMessage = 4096
)

// clean is the report with plain text.
func (a ActionReport) clean() ActionReport {
	a.Message = plainText(a.Message, maxMessage)
	lines := a.Lines
	a.Lines = make([]string, len(lines))
	for i, line := range lines {
		a.Lines[i] = plainText(line, maxLine)
	}
	if a.Progress != nil {
		p := *a.Progress
		p.Stage, p.Rate = plainText(p.Stage, 64), min(p.Rate, maxBytes)
		a.Progress = &p
	}
	return a
}

// plainText is a line of text without what would change how others are shown, cut at
// so many bytes. Tabs and ends of lines become spaces.
func plainText(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case c == '\t' || c == '\n' || c == '\r':
			return ' '
		case c == utf8.RuneError || isHidden(c):
			return -1
		}
		return c
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.TrimRight(text, " ")
}

// lines are those of the log, as they are stored.
func (a ActionReport) lines(r *Registry) []DeploymentLine {
	lines := make([]DeploymentLine, 0, len(a.Lines))
	for i, text := range a.Lines {
		lines = append(lines, DeploymentLine{Deployment: a.Deployment, LinePosition: LinePosition{Attempt: a.Attempt, N: a.LinesFrom + i},
			At: r.now(), Action: a.Action, Text: text})
	}
	return lines
}

// tell says on the timeline what a report has changed.
func (r *Registry) tell(t *turn, before Deployment) {
	d, at := t.d, r.now()
	if d.Wrote && !before.Wrote {
		t.say(t.m.event(DeploymentWriting, at, fmt.Sprintf("%s is being written; it was %s", d.Disk.title(), cmp.Or(d.Disk.Found, "not known what was on it"))))
	}
	for i, a := range d.Actions {
		switch was := before.Actions[i].State; {
		case a.State == was:
		case a.State == ActionSucceeded && i+1 < len(d.Actions):
			t.say(t.m.event(DeploymentAction, at, fmt.Sprintf("action %d of %d, %q, succeeded in %s", i+1, len(d.Actions), a.Name, took(a))))
		case a.State == ActionRunning:
			t.say(t.m.event(DeploymentAction, at, fmt.Sprintf("action %d of %d, %q, began", i+1, len(d.Actions), a.Name)))
		}
	}
	switch {
	case d.State == before.State:
	case d.State == DeploymentVerifying:
		t.tellState(r, d.name()+": every action succeeded; waiting for the first boot of what was installed")
	case d.State == DeploymentSucceeded:
		t.tellState(r, d.name()+" succeeded")
	default:
		t.tellState(r, d.name()+" failed: "+d.Reason)
	}
}

func took(a ActionRun) string {
	return a.EndedAt.Sub(a.StartedAt).Round(100 * 1000 * 1000).String()
}
