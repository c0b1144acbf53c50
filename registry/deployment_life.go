package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What may happen to a deployment, as pure functions: each takes it as it is and
// returns it as it is then. Whoever calls them writes it, with the machine that
// [Machine.with] makes of it, in one change.

const (
	// maxAttempts is how many boots may take a deployment up: a machine that starts
	// over and over before its disk is written will go on doing so.
	maxAttempts = 5
	// runMargin is what a run may take beyond the timeouts of its actions.
	runMargin = 5 * time.Minute
	maxRun    = 24 * time.Hour
)

// DeployLimits is how long a deployment may stay in a state.
type DeployLimits struct {
	Fetch  time.Duration `json:"fetch,omitempty"` // for its image to come to this server
	Wait   time.Duration `json:"wait"`            // for the machine to boot
	Run    time.Duration `json:"run"`             // all actions together
	Verify time.Duration `json:"verify"`          // for the first boot
}

// of is the limit for a state; 0: none.
func (l DeployLimits) of(s DeploymentState) time.Duration {
	return map[DeploymentState]time.Duration{DeploymentPending: l.Fetch, DeploymentWaiting: l.Wait, DeploymentRunning: l.Run, DeploymentVerifying: l.Verify}[s]
}

// runLimit is how long actions may take together. total is what the template says of
// all of them; 0: nothing.
func runLimit(actions []ActionRun, total time.Duration) time.Duration {
	var sum time.Duration
	for _, a := range actions {
		sum += a.Timeout
	}
	if total > 0 && total < sum {
		sum = total
	}
	return min(sum+runMargin, maxRun)
}

// step moves d on. Its new state has its own deadline.
func (d Deployment) step(cause DeploymentCause, now time.Time) (Deployment, error) {
	next, err := d.State.Step(cause)
	if err != nil {
		return d, err
	}
	again := next == d.State // taken up again by another boot: the deadline stays
	d.State = next
	if again {
		return d, nil
	}
	d.StateAt, d.Deadline, d.Reason = now, time.Time{}, ""
	if limit := d.Limits.of(next); limit > 0 {
		d.Deadline = now.Add(limit)
	}
	if next.Ended() {
		d.EndedAt = now
	}
	return d, nil
}

// failed is d after it failed for a reason.
func (d Deployment) failed(reason string, now time.Time) (Deployment, error) {
	d, err := d.step(DeployFail, now)
	d.Reason = reason
	return d, err
}

// claimed is d after a boot of its machine asked for it. Where refusal is not empty
// that boot must not carry it out; d may have failed by it.
func (d Deployment) claimed(m Machine, boot AgentBoot, now time.Time) (_ Deployment, refusal string, err error) {
	switch {
	case d.State == DeploymentRunning && d.BootID == boot.ID && d.Boot == boot.Token:
		return d, "", nil // after a connection broke, or the server was away
	case d.State == DeploymentRunning && d.Boot == boot.Token && boot.Token != "":
		return d, "one boot of the machine has one ID, and this is another one", nil
	case d.State == DeploymentRunning && d.Wrote:
		refusal = fmt.Sprintf("the machine restarted while %s was being written, since %s: what is on it is incomplete. It is not written again by itself: look at why it restarted, and retry",
			d.Disk.title(), clock(d.WroteAt))
	case d.State == DeploymentRunning && d.Attempt >= maxAttempts:
		refusal = fmt.Sprintf("the machine restarted %d times before its disk was written to; its disk is as it was", d.Attempt)
	case d.Kind.OneShot() && d.State == DeploymentRunning:
		d, err = d.step(DeployEnd, now)
		return d, fmt.Sprintf("the machine has restarted, so the %s is over", d.name()), err
	case d.Kind.ByScript():
		return d, "it is for iPXE, and not for the agent; restart the machine", nil
	case d.State == DeploymentVerifying:
		return d, "everything was carried out; what was installed is to start from the disk", nil
	case d.State != DeploymentWaiting && d.State != DeploymentRunning:
		return d, fmt.Sprintf("deployment %s is %s", d.ID, d.State), nil
	default:
		refusal = d.unfit(m)
	}
	if refusal != "" {
		d, err = d.failed(refusal, now)
		return d, refusal, err
	}
	d, err = d.step(DeployClaim, now)
	return d.begun(boot, now), "", err
}

// begun is d when a boot takes it up from its first action.
func (d Deployment) begun(boot AgentBoot, now time.Time) Deployment {
	d.BootID, d.Boot, d.Action = boot.ID, boot.Token, 0
	d.Attempt++
	if d.StartedAt.IsZero() {
		d.StartedAt = now
	}
	d.Actions = slices.Clone(d.Actions)
	for i, a := range d.Actions {
		d.Actions[i] = ActionRun{Name: a.Name, Image: a.Image, Timeout: a.Timeout, Expected: a.Expected, State: ActionPending}
	}
	return d
}

// unfit is why d must not be carried out on the machine as it is now; empty where it
// may.
func (d Deployment) unfit(m Machine) string {
	if m.Lock != nil {
		return m.unlocked().Error() + "; nothing was written"
	}
	if d.Disk == (DeploymentDisk{}) {
		return ""
	}
	if _, err := d.Disk.Find(m.Hardware.Disks); err != nil {
		return err.Error() + "; nothing was written"
	}
	return ""
}

// ActionReport is what an agent says of an action.
type ActionReport struct {
	Deployment string // ID
	Boot       string // that says so, as its token calls it; see [AgentBoot]
	Attempt    int
	Action     int // index
	State      ActionState
	Message    string
	Wrote      bool // the disk is about to be changed, or was
	Progress   *Progress
	LinesFrom  int // number of the first of Lines
	Lines      []string
}

// reported is d after a report of its agent. Where cancel is not empty the agent has
// to stop, for that reason. A report that was heard before changes nothing.
func (d Deployment) reported(r ActionReport, now time.Time) (_ Deployment, cancel string, err error) {
	switch {
	case r.Attempt != d.Attempt || r.Boot != d.Boot:
		return d, fmt.Sprintf("this is attempt %d, and another boot of the machine has taken it up since", r.Attempt), nil
	case r.Action < 0 || r.Action >= len(d.Actions):
		return d, "", &InvalidError{Fields: []FieldError{{"/action", fmt.Sprintf("there are %d actions", len(d.Actions))}}}
	case r.Action < d.Action && (r.State == ActionRunning || r.State == d.Actions[r.Action].State):
		return d, "", nil // heard before, and the answer got lost
	case d.State != DeploymentRunning:
		return d, cmp.Or(d.Reason, fmt.Sprintf("the deployment is %s", d.State)), nil
	case r.Action != d.Action:
		return d, "", &InvalidError{Fields: []FieldError{{"/action", fmt.Sprintf("action %d is the one that runs, or runs next", d.Action)}}}
	}
	if r.Wrote && !d.Wrote {
		d.Wrote, d.WroteAt = true, now
	}
	d.Actions = slices.Clone(d.Actions)
	a := &d.Actions[r.Action]
	if a.State == ActionPending {
		a.State, a.StartedAt = ActionRunning, now
	}
	if r.State == ActionRunning {
		return d, "", nil
	}
	a.State, a.Message, a.EndedAt = r.State, r.Message, now
	if r.State == ActionFailed {
		d, err = d.failed(fmt.Sprintf("action %q failed: %s; %s", a.Name, cmp.Or(r.Message, "it did not say why"), d.diskNow()), now)
		return d, "", err
	}
	if d.Action++; d.Action < len(d.Actions) {
		return d, "", nil
	}
	d, err = d.finished(now)
	return d, "", err
}

// finished is d after its last action succeeded.
func (d Deployment) finished(now time.Time) (Deployment, error) {
	switch {
	case d.Kind == KindInstall:
		return d.step(DeployFinish, now)
	case d.Kind == KindWipe && !d.Wrote:
		return d.failed("the agent says that every action succeeded, and wrote nothing: "+d.diskNow(), now)
	}
	return d.step(DeployEnd, now)
}

// diskNow says what became of the disk.
func (d Deployment) diskNow() string {
	switch {
	case d.Disk == (DeploymentDisk{}) && !d.Wrote:
		return "no disk was written to"
	case !d.Wrote:
		return d.Disk.title() + " is as it was"
	case d.State == DeploymentVerifying:
		return d.Disk.title() + " was written to the end"
	}
	return "what is on " + d.Disk.title() + " is incomplete"
}

// title names the disk for people.
func (c DeploymentDisk) title() string {
	if c == (DeploymentDisk{}) {
		return "the disk"
	}
	return "the disk " + strings.Join(strings.Fields(cmp.Or(c.Name, c.ByID)+" "+c.Model+" "+c.Serial), " ")
}

// cancelled is d after somebody cancelled it.
func (d Deployment) cancelled(by string, now time.Time) (Deployment, error) {
	state := d.diskNow()
	d, err := d.step(DeployCancel, now)
	d.Reason = "cancelled"
	if by != "" {
		d.Reason += " by " + by
	}
	d.Reason += "; " + state
	return d, err
}

// expired is d after its deadline passed. seen is the last that was seen of its
// machine, or of its image. Of what iPXE was given, no word is good news.
func (d Deployment) expired(seen string, now time.Time) (Deployment, error) {
	if d.HandedOut() {
		return d.step(DeployEnd, now)
	}
	what := map[DeploymentState]string{
		DeploymentPending:   "its image was not fetched within %s",
		DeploymentWaiting:   "no agent took it up within %s: the machine did not boot from the network, or not as far as the agent",
		DeploymentRunning:   "it was not carried out within %s",
		DeploymentVerifying: "what was installed did not start within %s",
	}[d.State]
	if d.Kind.ByScript() {
		what = "the machine did not boot from the network within %s"
	}
	limit, state := d.Limits.of(d.State).Round(time.Minute), d.diskNow()
	if d.State == DeploymentRunning && d.Action < len(d.Actions) {
		what += fmt.Sprintf("; action %q was running", d.Actions[d.Action].Name)
	}
	if d.State == DeploymentWaiting && d.Reason != "" {
		seen = d.Reason + "; " + seen
	}
	d, err := d.step(DeployExpire, now)
	d.Reason = fmt.Sprintf(what, minutes(limit)) + "; " + seen + "; " + state
	return d, err
}

func minutes(d time.Duration) string { return fmt.Sprintf("%d minutes", int(d.Minutes())) }

// with is m as its deployment leaves it.
func (m Machine) with(d Deployment) (Machine, error) {
	m.Deployment, m.Deadline, m.BootNext, m.Pending = d.ID, d.Deadline, "", ""
	if d.Kind.OneShot() {
		return m.withBoot(d), nil
	}
	var err error
	switch d.State {
	case DeploymentWaiting, DeploymentRunning:
		if m.BootNext = d.boots(); m.State != Installing {
			m.State, err = m.State.Step(CauseDeploy)
			m.Reason = ""
		}
	case DeploymentVerifying:
		// What is installed now belongs to somebody: no token of a boot before it takes up
		// what comes after it.
		m.BootNext, m.AgentBoot = BootDisk, noBoot
	case DeploymentSucceeded:
		cause := CauseWipe
		if d.Kind == KindInstall {
			cause = CauseInstall
		}
		m.State, err = m.State.Step(cause)
		m.OS = d.OS
	case DeploymentCancelled:
		if !d.Wrote {
			m.State, err = m.State.StepTo(CauseCancel, d.Was)
			m.Reason = d.WasReason
			break
		}
		m.State, err = m.State.Step(CauseFail)
		m.Reason = d.Reason
	default:
		m.State, err = m.State.Step(CauseFail)
		m.Reason = d.Reason
	}
	return m, err
}
