package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// stalledAfter is how long an agent may take to report: it starts, finds its
	// network and reads the hardware, which old servers do slowly.
	stalledAfter = 5 * time.Minute
	// bootsWithin is how old a step may be that is taken up after a start.
	bootsWithin = 30 * time.Minute
)

// boots is the boots that have not come to a registration, by machine ID; a worker of
// Tink server's protocol comes to its deployment instead. It is made of events alone,
// of this and every other server on the same database.
type boots struct {
	mu    sync.Mutex
	by    map[string]boot
	stood int64 // how many stood still, since the start
}

// Stalled counts the boots that stood still since the start, as far as this process
// noticed before any other one on the same database.
func (r *Registry) Stalled() int64 {
	r.boots.mu.Lock()
	defer r.boots.mu.Unlock()
	return r.boots.stood
}

// boot is the step that a machine has not gone beyond.
type boot struct {
	step  Event
	stage Stage
	since time.Duration // of [Registry.running]
}

// Stage is the stage of a boot step; empty for other events.
func (e Event) Stage() Stage {
	stage, _, found := strings.Cut(e.Message, ": ")
	if e.Kind != MachineBoot || !found {
		return ""
	}
	return Stage(stage)
}

// note takes events in. Where a machine repeats a step, the first one counts: one
// that starts over and over stands still, too. A script counts where startsAgent says
// that it starts the agent.
func (b *boots) note(events []Event, now time.Time, running time.Duration, startsAgent func(id string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		switch e.Kind {
		case MachineRegistered, DeploymentClaimed, MachineStalled, MachineRetired, MachineDeleted:
			delete(b.by, e.Machine)
		case MachineBoot:
			stage := e.Stage()
			counts := stage == StageKernel || stage == StageScript && startsAgent(e.Machine)
			before, begun := b.by[e.Machine]
			further := !begun || before.stage == StageScript && stage == StageKernel
			if counts && further && e.Machine != "" && now.Sub(e.At) < bootsWithin {
				b.by[e.Machine] = boot{e, stage, running}
			}
		}
	}
}

// stalled takes out the boots that have stood still for too long.
func (b *boots) stalled(running time.Duration) (found []boot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.by)) {
		if boot := b.by[id]; running-boot.since >= stalledAfter {
			found = append(found, boot)
			delete(b.by, id)
			b.stood++
		}
	}
	return found
}

// giveBack returns boots of which nothing could be said.
func (b *boots) giveBack(found []boot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stood -= int64(len(found))
	for _, boot := range found {
		if _, newer := b.by[boot.step.Machine]; !newer {
			b.by[boot.step.Machine] = boot
		}
	}
}

// hold leaves every boot a minute more: machines could not report.
func (b *boots) hold(running time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, boot := range b.by {
		boot.since = max(boot.since, running-stalledAfter+time.Minute)
		b.by[id] = boot
	}
}

// recallBoots takes up the boots that are under way when this process starts, those
// from the disk too.
// Where the store is away those are not known, and go on without a word.
func (r *Registry) recallBoots(ctx context.Context) error {
	if r.away() {
		return nil
	}
	for after, last := r.feed.Last()-feedMemory, r.feed.Last(); after < last; {
		events, err := r.store.Events(ctx, after, feedBatch)
		if r.heard(ctx, err) != nil && r.away() {
			return nil
		}
		if err != nil || len(events) == 0 {
			return err
		}
		r.boots.note(events, r.now(), r.running(), r.index.startsAgent)
		if err := r.followDeployments(ctx, events); err != nil && !r.away() {
			return err
		}
		after = events[len(events)-1].Seq
	}
	return nil
}

// sweepBoots says on the timelines of machines that their agents do not report.
func (r *Registry) sweepBoots(ctx context.Context) {
	if r.away() {
		r.boots.hold(r.running())
		return
	}
	found := r.boots.stalled(r.running())
	for i, boot := range found {
		// Every server says so, and the first one is written.
		op := fmt.Sprintf("stalled/%s/%d", boot.step.Machine, boot.step.Seq)
		if err := r.commit(ctx, Change{Op: op, Events: []Event{boot.event(r.now())}}); err != nil {
			r.log.Warn("write that a boot stands still", "machine", boot.step.Machine, "err", err)
			r.boots.giveBack(found[i:])
			return
		}
		r.log.Warn("boot stands still", "machine", boot.step.Machine, "mac", boot.step.MAC, "step", boot.stage)
	}
}

// event says that b stands still, and what to do.
func (b boot) event(now time.Time) Event {
	message := "the agent has not reported %s after its kernel was fetched: look at the machine's screen; " +
		"its network port may need a driver that the agent image lacks, get no address, or not reach this server"
	if b.stage == StageScript {
		message = "no kernel was fetched %s after the boot script: look at the machine's screen; " +
			"it may not reach this server by HTTP, or wait for somebody at its keyboard"
	}
	late := max(now.Sub(b.step.At), stalledAfter).Round(time.Minute)
	return Event{At: now, Kind: MachineStalled, Machine: b.step.Machine, MAC: b.step.MAC,
		Message: fmt.Sprintf(message, fmt.Sprintf("%d minutes", int(late.Minutes())))}
}
