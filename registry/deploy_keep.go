package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// keepDeployments writes how far deployments are, and starts those whose turn has
// come.
func (r *Registry) keepDeployments(ctx context.Context) {
	write, look := time.NewTicker(trackEvery), time.NewTicker(sweepEvery)
	defer write.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			r.writeTracks(last)
			return
		case <-write.C:
			r.writeTracks(ctx)
		case <-look.C:
			r.advance(ctx)
		case <-r.batches:
			r.advance(ctx)
		}
	}
}

// wakeBatches has somebody look whose turn it is.
func (r *Registry) wakeBatches() {
	select {
	case r.batches <- struct{}{}:
	default:
	}
}

// advance starts the deployments whose images are there and whose turn it is: of each
// batch as many are under way as its limit says, the oldest first.
func (r *Registry) advance(ctx context.Context) {
	if r.away() {
		return
	}
	pending, err := r.store.Deployments(ctx, DeploymentQuery{States: []DeploymentState{DeploymentPending}, Oldest: true})
	if r.heard(ctx, err) != nil {
		r.log.Warn("look for deployments that wait for their turn", "err", err)
		return
	}
	waiting, room := map[string]ImageSource{}, map[string]int{}
	defer func() { r.await(ctx, waiting) }()
	for _, d := range pending {
		if !r.hasImage(ctx, d) {
			waiting[d.ID] = d.Image
			continue
		}
		if _, known := room[d.Batch]; !known {
			if room[d.Batch], err = r.room(ctx, d); err != nil {
				r.log.Warn("count the deployments of a batch", "batch", d.Batch, "err", err)
				return
			}
		}
		if room[d.Batch] <= 0 {
			continue
		}
		if err := r.start(ctx, d.ID); err != nil {
			r.log.Warn("start a deployment", "deployment", d.ID, "err", err)
			continue
		}
		room[d.Batch]--
	}
}

// room is how many more deployments of a batch may be under way.
func (r *Registry) room(ctx context.Context, d Deployment) (int, error) {
	if d.Limit <= 0 {
		return 1 << 30, nil
	}
	under, err := r.store.Deployments(ctx, DeploymentQuery{Batch: d.Batch, States: []DeploymentState{DeploymentWaiting, DeploymentRunning, DeploymentVerifying}})
	return d.Limit - len(under), r.heard(ctx, err)
}

// start begins a deployment whose turn has come, or fails it where its machine has
// become another.
func (r *Registry) start(ctx context.Context, id string) error {
	_, _, err := r.turn(ctx, id, func(t *turn) (err error) {
		if t.d.State != DeploymentPending {
			return nil
		}
		reason := ""
		if err := t.m.mayTake(t.d.Kind); err != nil {
			reason = err.Error()
		}
		if t.m.Lock != nil {
			reason = t.m.unlocked().Error()
		}
		if t.m.Deployment != t.d.ID {
			reason = "another deployment has taken its place"
		}
		if reason != "" {
			return r.failUnbegun(t, reason)
		}
		if t.d.unplanned() {
			if err := r.planAsked(ctx, t); err != nil || t.d.State.Ended() || t.d.Image != (ImageSource{}) {
				return err
			}
		}
		return r.begin(t)
	})
	return err
}

// failUnbegun fails a deployment that has not begun. Its machine stays what it is.
func (r *Registry) failUnbegun(t *turn, reason string) (err error) {
	t.d, err = t.d.failed(reason+"; nothing was begun", r.now())
	t.tellState(r, t.d.name()+" failed: "+t.d.Reason)
	return err
}

// begin has a deployment wait for its machine.
func (r *Registry) begin(t *turn) (err error) {
	why := "its turn has come"
	if t.d.Image != (ImageSource{}) {
		path, there := r.tools.Image(t.d.Image)
		if !there { // it is fetched again
			return nil
		}
		if t.d, err = r.withImage(t.d, t.m, path); err != nil {
			return r.failUnbegun(t, err.Error())
		}
		why = "its image is there"
	}
	t.d.Was, t.d.WasReason = t.m.State, t.m.Reason
	t.d, err = t.d.step(DeployStart, r.now())
	t.tellState(r, t.d.name()+": "+why+"; waiting for the machine")
	return err
}

// followDeployments takes in what events say of deployments: that something happened
// to one, and that a machine boots from its disk.
func (r *Registry) followDeployments(ctx context.Context, events []Event) error {
	for _, e := range events {
		switch state, is := strings.CutPrefix(string(e.Kind), "deployment."); {
		case is:
			ended := DeploymentState(state).Ended()
			if r.tracks.doubt(e.Machine, ended); ended {
				r.wakeBatches()
			}
		case e.Stage() == StageScript && r.index.bootsNext(e.Machine) == BootDisk:
			if err := errors.Join(r.seenBooting(ctx, e), r.left(ctx, e)); err != nil {
				return err
			}
		}
	}
	return nil
}

// seenBooting ends the deployment of a machine that was sent to its disk, where
// nothing else tells that what was installed has started.
func (r *Registry) seenBooting(ctx context.Context, e Event) error {
	m, err := r.Machine(ctx, e.Machine)
	if errors.Is(err, ErrNotFound) || err == nil && m.Deployment == "" {
		return nil
	}
	if err != nil {
		return err
	}
	return r.verified(ctx, m.Deployment, func(d Deployment) string {
		if d.FirstBoot.PhonesHome() || !e.At.After(d.StateAt) {
			return ""
		}
		return "the machine was seen booting from its disk"
	})
}

// PhoneHome takes a call of what a deployment has installed: it has started. detail
// is what it said of itself, in plain text. It errs with [ErrNotFound] or
// [ErrUnavailable]. A call that comes again, or when the deployment has ended,
// changes nothing.
func (r *Registry) PhoneHome(ctx context.Context, deployment, detail string) error {
	return r.verified(ctx, deployment, func(Deployment) string {
		return strings.TrimSpace("the installed system phoned home " + plainText(detail, maxMessage))
	})
}

// verified ends a deployment whose first boot was seen. how says by what; empty: that
// does not count.
func (r *Registry) verified(ctx context.Context, id string, how func(Deployment) string) error {
	_, _, err := r.turn(ctx, id, func(t *turn) (err error) {
		if t.d.State != DeploymentVerifying {
			return nil
		}
		seen := how(t.d)
		if seen == "" {
			return nil
		}
		t.d, err = t.d.step(DeployVerify, r.now())
		t.tellState(r, fmt.Sprintf("%s succeeded: %s", t.d.name(), seen))
		return err
	})
	return err
}

// expireDeployment ends a deployment whose deadline passed, if that is still its
// deadline. timeline is the newest events of its machine, newest first.
func (r *Registry) expireDeployment(ctx context.Context, id string, deadline time.Time, timeline []Event) error {
	_, _, err := r.turn(ctx, id, func(t *turn) (err error) {
		if !t.d.Deadline.Equal(deadline) {
			return nil
		}
		t.d, err = t.d.expired(lastSeen(timeline, t.d.StateAt), r.now())
		if t.d.State == DeploymentSucceeded {
			t.tellState(r, fmt.Sprintf("%s counts as started: iPXE told of no failure within %s; what it started tells nothing", t.d.name(), minutes(t.d.Limits.Run)))
			return err
		}
		t.tellState(r, t.d.name()+" timed out: "+t.d.Reason)
		return err
	})
	return err
}

// pastRuns is how many runs of an operating system are looked at for how long a new
// one will take.
const pastRuns = 30

// expect is the actions of a deployment with how long each took before: of that
// operating system on such a machine, and else on any. Where nothing is known, or
// the store is away, nothing is expected.
func (r *Registry) expect(ctx context.Context, d Deployment) []ActionRun {
	past, err := r.store.Deployments(ctx, DeploymentQuery{OS: d.OS, States: []DeploymentState{DeploymentSucceeded}, Limit: pastRuns})
	if err != nil {
		r.log.Debug("look at past deployments", "err", err)
		return d.Actions
	}
	alike := slices.DeleteFunc(slices.Clone(past), func(p Deployment) bool { return p.Model != d.Model })
	if len(alike) > 0 {
		past = alike
	}
	actions := slices.Clone(d.Actions)
	for i, a := range actions {
		actions[i].Expected = median(past, a.Name)
	}
	return actions
}

// median is how long an action took, of those runs that had it; 0: none had.
func median(past []Deployment, action string) time.Duration {
	var took []time.Duration
	for _, d := range past {
		for _, a := range d.Actions {
			if a.Name == action && a.State == ActionSucceeded {
				took = append(took, a.EndedAt.Sub(a.StartedAt))
			}
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// Outlook is how far a deployment is as a whole, and how long it will take yet.
type Outlook struct {
	Percent float64       // of all actions
	Left    time.Duration // until the last of them has ended; 0: not known
}

// longestLeft is the most that is foretold: a machine may say that it goes on for ever.
const longestLeft = 1000 * time.Hour

// Outlook looks ahead from how far the running action is, and from how long the
// actions took before.
func (d Deployment) Outlook(now time.Time) Outlook {
	var done, all, left float64
	known := true
	for i, a := range d.Actions {
		weight := cmp.Or(a.Expected.Seconds(), 1)
		all += weight
		switch {
		case a.State == ActionSucceeded:
			done += weight
		case a.State == ActionRunning && i == d.Action:
			part, rest, ok := d.runningAction(a, now)
			done, left = done+weight*part, left+rest
			known = known && ok
		default:
			left += a.Expected.Seconds()
			known = known && a.Expected > 0
		}
	}
	o := Outlook{}
	if all > 0 {
		o.Percent = 100 * done / all
	}
	if known && d.State == DeploymentRunning && left < longestLeft.Seconds() {
		o.Left = time.Duration(left * float64(time.Second)).Round(time.Second)
	}
	return o
}

// runningAction is what part of the running action is done, and how many seconds it
// has left, where that is known.
func (d Deployment) runningAction(a ActionRun, now time.Time) (part, left float64, known bool) {
	p := d.Track.Progress
	if d.Track.Attempt != d.Attempt || d.Track.Action != d.Action {
		p = Progress{}
	}
	if p.Total > 0 {
		part = min(1, float64(p.Done)/float64(p.Total))
	}
	elapsed := now.Sub(a.StartedAt).Seconds()
	switch {
	case p.Total > 0 && p.Rate > 0:
		return part, max(0, float64(p.Total-p.Done)/p.Rate), true
	case a.Expected > 0 && p.Total > 0:
		return part, (1 - part) * a.Expected.Seconds(), true
	case a.Expected > 0:
		return min(0.99, elapsed/a.Expected.Seconds()), max(0, a.Expected.Seconds()-elapsed), true
	}
	return part, 0, false
}
