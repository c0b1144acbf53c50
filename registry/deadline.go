package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// sweepEvery is how often deadlines and boots are looked at.
	sweepEvery = 10 * time.Second
	// DeadlineGrace is how long a process watches a machine, at least, before it fails it:
	// one whose deadline passed while nobody was there may be about to report.
	DeadlineGrace = 5 * time.Minute
)

// keepDeadlines fails machines whose deadlines pass, and says on their timelines
// which boots stand still.
func (r *Registry) keepDeadlines(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	watch := stopwatch{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.sweepDeadlines(ctx, watch)
			r.sweepBoots(ctx)
		}
	}
}

// running is how long this process runs. Unlike the time of day it only goes
// forward, and at its pace, whatever is done to the clock.
func (r *Registry) running() time.Duration { return r.now().Sub(r.started) }

// stopwatch measures deadlines, by machine ID. A deadline is a time of day, and
// clocks are set: what is left of it is taken when it is first seen, and measured
// from there. So neither a clock that jumps fails a machine, nor one that another
// server sets.
type stopwatch map[string]measured

type measured struct {
	deadline time.Time     // as it is stored
	until    time.Duration // of [Registry.running]
}

// passed returns the machines whose deadline is over. One that is new here has at
// least [DeadlineGrace] left; and so has every one while hold says that machines
// cannot report.
func (w stopwatch) passed(deadlines map[string]time.Time, now time.Time, running time.Duration, hold bool) (over []string) {
	for id, deadline := range deadlines {
		m, known := w[id]
		if !known || !m.deadline.Equal(deadline) {
			m = measured{deadline, running + max(deadline.Sub(now.Round(0)), DeadlineGrace)}
		}
		if hold {
			m.until = max(m.until, running+DeadlineGrace)
		}
		if w[id] = m; running >= m.until {
			over = append(over, id)
		}
	}
	for id := range w {
		if _, there := deadlines[id]; !there {
			delete(w, id)
		}
	}
	slices.Sort(over)
	return over
}

// sweepDeadlines fails the machines whose deadlines are over.
func (r *Registry) sweepDeadlines(ctx context.Context, watch stopwatch) {
	for _, id := range watch.passed(r.index.deadlines(), r.now(), r.running(), r.away()) {
		switch err := r.expire(ctx, id, watch[id].deadline); {
		case err == nil:
		case isTransition(err):
			r.log.Error("a state that lasts has a deadline", "machine", id, "err", err)
			delete(watch, id) // it is said again in [DeadlineGrace]
		default:
			r.log.Warn("fail a machine whose deadline passed", "machine", id, "err", err)
		}
	}
}

func isTransition(err error) bool {
	_, refused := errors.AsType[*TransitionError](err)
	return refused
}

// expire fails a machine whose deadline passed, if that is still its deadline. Of
// several servers one does it; a lost race is no error.
func (r *Registry) expire(ctx context.Context, id string, deadline time.Time) error {
	m, err := r.Machine(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && !m.Deadline.Equal(deadline) {
		return nil
	}
	if err != nil {
		return err
	}
	timeline, err := r.store.Timeline(ctx, id, 0, 100)
	if r.heard(ctx, err) != nil {
		return err
	}
	if m.Deployment != "" {
		return r.expireDeployment(ctx, m.Deployment, deadline, timeline)
	}
	m, event, err := expired(m, timeline, r.now())
	if err != nil {
		return err
	}
	err = r.commit(ctx, Change{Op: newOp(), Put: []Machine{m}, Events: []Event{event}})
	if _, lost := errors.AsType[*ConflictError](err); lost {
		return nil
	}
	if err == nil {
		r.log.Warn("machine failed", "machine", m.Name, "id", m.ID, "reason", m.Reason)
	}
	return err
}

// expired is m after its deadline passed, and the event that says so. timeline is
// the newest of its events, newest first.
func expired(m Machine, timeline []Event, now time.Time) (Machine, Event, error) {
	next, err := m.State.Step(CauseExpire)
	if err != nil {
		return m, Event{}, err
	}
	m.Reason = fmt.Sprintf("%s until %s and did not end; %s", m.State, clock(m.Deadline), lastSeen(timeline, time.Time{}))
	m.State, m.Deadline, m.Pending = next, time.Time{}, ""
	return m, m.event(MachineFailed, now, m.Reason+": look at its screen; restore makes it ready again"), nil
}

// LastSeen is the newest thing that a machine (by its ID) itself did, for people, and
// whether nothing came after a time.
func (r *Registry) LastSeen(ctx context.Context, id string, since time.Time) (string, error) {
	timeline, err := r.store.Timeline(ctx, id, 0, 100)
	return lastSeen(timeline, since), r.heard(ctx, err)
}

// lastSeen is the newest thing that the machine itself did: a step of a boot rather
// than that it went on or off, and whether nothing came after a time.
func lastSeen(timeline []Event, since time.Time) string {
	for _, kinds := range [][]Kind{{MachineBoot, MachineRegistered}, {MachineTold, MachineOnline, MachineOffline}} {
		at := slices.IndexFunc(timeline, func(e Event) bool { return slices.Contains(kinds, e.Kind) })
		if at < 0 {
			continue
		}
		last := fmt.Sprintf("the last of it was %q at %s", timeline[at].Message, clock(timeline[at].At))
		if !timeline[at].At.After(since) {
			return "it was not seen booting since; " + last
		}
		return last
	}
	return "nothing was seen of it"
}

// clock is a time for people, to the minute, in UTC: a reason is read anywhere.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
