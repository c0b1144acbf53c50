package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// MaxWait bounds one long poll; a machine is online between two of them.
	MaxWait = 30 * time.Second
	// presenceFlush is how often signs of life are written and absences noticed.
	presenceFlush = 5 * time.Second
)

// presence holds in memory who was seen when and who is polling now.
type presence struct {
	mu      sync.Mutex
	seen    map[string]time.Time
	dirty   map[string]time.Time // seen since the last flush
	waiters map[string]*waiter
}

type waiter struct {
	polls int
	wake  chan struct{} // closed to make every poll of this machine look again
}

func newPresence() *presence {
	return &presence{seen: map[string]time.Time{}, dirty: map[string]time.Time{}, waiters: map[string]*waiter{}}
}

// expect takes in a machine that was alive when that was last written down, so that
// its silence is noticed here.
func (p *presence) expect(id string, seen time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seen.After(p.seen[id]) {
		p.seen[id] = seen
	}
}

// beat records a sign of life and reports whether the machine came online by it.
func (p *presence) beat(id string, now, before time.Time) (cameOnline bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, ok := p.seen[id]; ok {
		before = last
	}
	p.seen[id], p.dirty[id] = now, now
	return before.IsZero() || now.Sub(before) >= OnlineFor
}

// latest is the later of what is known here and stored.
func (p *presence) latest(id string, stored time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seen := p.seen[id]; seen.After(stored) {
		return seen
	}
	return stored
}

// polling reports whether an agent waits for instructions at this moment.
func (p *presence) polling(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiters[id] != nil
}

// count is the number of machines that are polling.
func (p *presence) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiters)
}

// enter joins the polls of a machine; leave must be called after.
func (p *presence) enter(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters[id] == nil {
		p.waiters[id] = &waiter{wake: make(chan struct{})}
	}
	p.waiters[id].polls++
}

func (p *presence) leave(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiters[id]; w.polls > 1 {
		w.polls--
		return
	}
	delete(p.waiters, id)
}

// changed is closed when the machine's record changes.
func (p *presence) changed(id string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiters[id].wake
}

func (p *presence) wake(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiters[id]; w != nil {
		close(w.wake)
		w.wake = make(chan struct{})
	}
}

// take returns the signs of life since the last take, and forgets and returns
// the machines that have gone silent.
func (p *presence) take(now time.Time) (dirty map[string]time.Time, gone []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirty, p.dirty = p.dirty, map[string]time.Time{}
	for id, seen := range p.seen {
		if p.waiters[id] == nil && now.Sub(seen) >= OnlineFor {
			gone = append(gone, id)
			delete(p.seen, id)
		}
	}
	return dirty, gone
}

// giveBack returns signs of life that could not be written.
func (p *presence) giveBack(dirty map[string]time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(dirty, p.dirty) // newer ones win
	p.dirty = dirty
}

// Next waits up to wait (at most [MaxWait]) for an instruction and hands it out
// once. With none it returns [Wait], and so it does for a boot, named as the Token of an
// [AgentBoot] is, after which another one has registered. Each call is a sign of life.
func (r *Registry) Next(ctx context.Context, id, boot string, wait time.Duration) (Machine, Instruction, error) {
	r.presence.enter(id)
	defer r.presence.leave(id)
	deadline := time.NewTimer(min(wait, MaxWait))
	defer deadline.Stop()
	for {
		changed := r.presence.changed(id) // before the load, so that no change falls between
		m, err := r.Machine(ctx, id)
		if err != nil {
			return Machine{}, "", err
		}
		r.beat(ctx, m)
		over := m.outlived(boot)
		if m.Pending != "" && !over && !r.away() { // handed out once, which must be written down
			told, what, err := r.hand(ctx, m)
			if _, lost := errors.AsType[*ConflictError](err); lost {
				continue
			}
			return told, what, err
		}
		if what := m.work(); what != "" && !over && !r.away() {
			return m, what, nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			r.beat(ctx, m)
			return m, Wait, nil
		case <-ctx.Done():
			return Machine{}, "", ctx.Err()
		}
	}
}

// work is what the agent of m is to do for the machine's deployment; empty where
// there is nothing. It may be told any number of times.
func (m Machine) work() Instruction {
	_, osie := m.BootNext.OSIE()
	switch {
	case m.Deployment != "" && osie:
		return EnterOSIE
	case m.Deployment != "" && m.BootNext == BootAgent:
		return Deploy
	case m.Deployment != "" && m.BootNext == BootOnce:
		return Reboot
	case m.Deployment != "" && m.BootNext == BootDisk:
		return LocalBoot // it was to restart by itself, and waits here instead
	}
	return ""
}

// hand gives out the pending instruction. It is cleared first: an instruction
// lost on the way is asked for again by the operator, one carried out twice
// would restart a machine for nothing.
func (r *Registry) hand(ctx context.Context, m Machine) (Machine, Instruction, error) {
	what := m.Pending
	m.Pending = ""
	told, err := r.update(ctx, m, m.event(MachineTold, r.now(), "the agent was told to "+string(what)))
	return told, what, err
}

// beat records a sign of life of m.
func (r *Registry) beat(ctx context.Context, m Machine) {
	if r.presence.beat(m.ID, r.now(), m.SeenAt) {
		r.note(ctx, m.event(MachineOnline, r.now(), "online"))
	}
}

// note appends an event that nobody waits for.
func (r *Registry) note(ctx context.Context, events ...Event) {
	if r.away() {
		return
	}
	if err := r.commit(ctx, Change{Op: newOp(), Events: events}); err != nil {
		r.log.Warn("write events", "count", len(events), "err", err)
	}
}

func (r *Registry) keepPresence(ctx context.Context) {
	tick := time.NewTicker(presenceFlush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			r.flushPresence(last)
			return
		case <-tick.C:
			r.flushPresence(ctx)
		}
	}
}

// touchAtOnce is how many signs of life are written together. Other writes wait that long.
const touchAtOnce = 500

// touch writes signs of life.
func (r *Registry) touch(ctx context.Context, dirty map[string]time.Time) {
	for ids := range slices.Chunk(slices.Collect(maps.Keys(dirty)), touchAtOnce) {
		some := make(map[string]time.Time, len(ids))
		for _, id := range ids {
			some[id] = dirty[id]
		}
		if err := r.store.Touch(ctx, some); err != nil {
			r.log.Warn("write signs of life", "count", len(dirty), "err", err)
			r.presence.giveBack(dirty)
			return
		}
		maps.DeleteFunc(dirty, func(id string, _ time.Time) bool { _, written := some[id]; return written })
	}
}

func (r *Registry) flushPresence(ctx context.Context) {
	now := r.now()
	dirty, gone := r.presence.take(now)
	if len(dirty) > 0 && r.away() {
		r.presence.giveBack(dirty)
	} else {
		r.touch(ctx, dirty)
	}
	events := make([]Event, 0, len(gone))
	for _, id := range gone {
		events = append(events, Event{At: now, Kind: MachineOffline, Machine: id, Message: "offline: no sign of life for " + OnlineFor.String()})
	}
	if len(events) > 0 {
		r.note(ctx, events...)
	}
}
