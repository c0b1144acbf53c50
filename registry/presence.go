package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// MaxWait bounds one long poll; a machine is online between two of them.
	MaxWait = 30 * time.Second
	// presenceFlush is how often signs of life are written and absences noticed.
	presenceFlush = 5 * time.Second
	// elsewhereGrace is how much later an absence is noticed by a server that the
	// machine did not talk to last: the one it did says so, where that is there.
	elsewhereGrace = 3 * presenceFlush
)

// presence holds in memory who was seen when and who is polling now.
type presence struct {
	mu      sync.Mutex
	seen    map[string]sign
	dirty   map[string]time.Time // seen since the last flush
	waiters map[string]*waiter
}

// sign is a sign of life.
type sign struct {
	at   time.Time
	here bool // and not to another server, or before this one started
}

type waiter struct {
	polls int
	wake  chan struct{} // closed to make every poll of this machine look again
}

func newPresence() *presence {
	return &presence{seen: map[string]sign{}, dirty: map[string]time.Time{}, waiters: map[string]*waiter{}}
}

// hear takes in a sign of life that is written down already.
func (p *presence) hear(id string, s sign) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.at.After(p.seen[id].at) {
		p.seen[id] = s
	}
}

// forget takes in that the silence of a machine was noticed elsewhere, at a time.
func (p *presence) forget(id string, noticed time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, known := p.seen[id]; known && p.waiters[id] == nil && noticed.Sub(s.at) >= OnlineFor {
		delete(p.seen, id)
	}
}

// beat records a sign of life and reports whether the machine came online by it.
func (p *presence) beat(id string, now, before time.Time) (cameOnline bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, ok := p.seen[id]; ok {
		before = last.at
	}
	p.seen[id], p.dirty[id] = sign{now, true}, now
	return before.IsZero() || now.Sub(before) >= OnlineFor
}

// latest is the later of what is known here and stored.
func (p *presence) latest(id string, stored time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seen := p.seen[id].at; seen.After(stored) {
		return seen
	}
	return stored
}

// alive reports whether an agent runs at a moment: it waits for instructions, or was
// heard not long ago, by this server or another one. While it carries out a deployment
// it does not wait.
func (p *presence) alive(id string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiters[id] != nil || now.Sub(p.seen[id].at) < OnlineFor
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

// take returns the signs of life since the last take.
func (p *presence) take() (dirty map[string]time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirty, p.dirty = p.dirty, map[string]time.Time{}
	return dirty
}

// silent forgets and returns the machines that have gone silent, and their last signs.
func (p *presence) silent(now time.Time) map[string]sign {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := map[string]sign{}
	for id, s := range p.seen {
		patience := OnlineFor
		if !s.here {
			patience += elsewhereGrace
		}
		if p.waiters[id] == nil && now.Sub(s.at) >= patience {
			gone[id] = s
			delete(p.seen, id)
		}
	}
	return gone
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
	r.noteAs(ctx, newOp(), events...)
}

// noteAs is note once for all who use the operation id.
func (r *Registry) noteAs(ctx context.Context, op string, events ...Event) {
	if r.away() {
		return
	}
	if err := r.commit(ctx, Change{Op: op, Events: events}); err != nil {
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
	if dirty := r.presence.take(); len(dirty) > 0 && r.away() {
		r.presence.giveBack(dirty)
	} else {
		r.touch(ctx, dirty)
	}
	if r.tools.Shared && !r.away() {
		r.hearOthers(ctx, now)
	}
	r.noteSilence(ctx, now)
}

// notesAtOnce is how many changes are on their way together where each is one of its
// own; a store makes few of them.
const notesAtOnce = 64

// noteSilence writes down which machines have gone silent. Where several servers may say
// so of a machine, the first one is written.
func (r *Registry) noteSilence(ctx context.Context, now time.Time) {
	var events []Event
	var others errgroup.Group
	others.SetLimit(notesAtOnce)
	for id, last := range r.presence.silent(now) {
		e := Event{At: now, Kind: MachineOffline, Machine: id, Message: "offline: no sign of life for " + OnlineFor.String()}
		if last.here || !r.tools.Shared {
			events = append(events, e)
			continue
		}
		others.Go(func() error {
			r.noteAs(ctx, fmt.Sprintf("offline/%s/%d", id, last.at.UnixMilli()), e)
			return nil
		})
	}
	if len(events) > 0 {
		r.note(ctx, events...)
	}
	_ = others.Wait() // none fails; what was not written is in the log
}

// hearOthers takes in the signs of life that other servers wrote.
func (r *Registry) hearOthers(ctx context.Context, now time.Time) {
	seen, err := r.store.Seen(ctx, now.Add(-OnlineFor))
	if r.heard(ctx, err) != nil {
		r.log.Warn("read the signs of life that other servers wrote", "err", err)
	}
	for id, at := range seen {
		r.presence.hear(id, sign{at: at})
	}
}
