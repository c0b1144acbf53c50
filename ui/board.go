package ui

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
)

const (
	chunk      = 500  // machines asked for at once
	backlog    = 2000 // events read at the start, so that a restart does not blank the last column
	maxEvents  = 5000 // events taken in one step
	maxMessage = 200  // characters kept of an event's message
)

// fact is what the board knows of a machine.
type fact struct {
	name   string
	state  registry.State
	seen   time.Time
	online bool
	last   note
	turns  int // how often its row changed
}

// note is the last thing that happened to a machine.
type note struct {
	at   time.Time
	text string
}

// board keeps what every page needs of every machine: some hundred bytes each.
// It follows the feed when asked to, by step.
type board struct {
	source Machines
	feed   Feed
	busy   chan struct{} // held by the one that steps

	mu     sync.RWMutex
	facts  map[string]fact
	names  []string // sorted; nil when out of date
	seq    int64    // the last event taken
	loaded bool
}

func newBoard(source Machines, feed Feed) *board {
	return &board{source: source, feed: feed, busy: make(chan struct{}, 1), facts: map[string]fact{}}
}

// delta is what a step changed.
type delta struct {
	machines []registry.Machine // ordered by name
	list     bool               // machines appeared, vanished or changed their place
}

func (d delta) empty() bool { return !d.list && len(d.machines) == 0 }

// step takes the events that are there and reads the machines they are about.
// Nothing is taken when a read fails.
func (b *board) step(ctx context.Context, now time.Time) (delta, error) {
	select {
	case b.busy <- struct{}{}:
		defer func() { <-b.busy }()
	case <-ctx.Done():
		return delta{}, ctx.Err()
	}
	events, seq, err := b.events(ctx)
	if err != nil {
		return delta{}, err
	}
	if !b.isLoaded() || slices.ContainsFunc(events, func(e registry.Event) bool { return e.Kind == registry.MachineMerged }) {
		// The event of a merge does not say which record is gone.
		all, err := b.all(ctx)
		if err != nil {
			return delta{}, err
		}
		return b.replace(all, events, seq, now), nil
	}
	ids := b.touched(events, now)
	machines, err := b.byID(ctx, ids)
	if err != nil {
		return delta{}, err
	}
	return b.apply(ids, machines, events, seq, now), nil
}

// events returns what happened since the last step, without waiting.
func (b *board) events(ctx context.Context) (events []registry.Event, seq int64, err error) {
	last := b.feed.Last()
	b.mu.RLock()
	seq = b.seq
	b.mu.RUnlock()
	if !b.isLoaded() {
		seq = max(seq, last-backlog)
	}
	for seq < last && len(events) < maxEvents {
		more, err := b.feed.Next(ctx, seq)
		if err != nil {
			return nil, 0, err
		}
		if len(more) == 0 {
			break
		}
		events = append(events, more...)
		seq = more[len(more)-1].Seq
	}
	return events, seq, nil
}

// touched names the machines of the events, and those that count as online but
// have not been heard of for so long that it must be looked up.
func (b *board) touched(events []registry.Event, now time.Time) []string {
	ids := map[string]bool{}
	for _, e := range events {
		if e.Machine != "" {
			ids[e.Machine] = true
		}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for id, f := range b.facts {
		if f.online && now.Sub(f.seen) >= registry.OnlineFor {
			ids[id] = true
		}
	}
	return slices.Collect(maps.Keys(ids))
}

func (b *board) all(ctx context.Context) (all []registry.Machine, err error) {
	for after := (registry.Position{}); ; {
		page, err := b.source.Machines(ctx, registry.Query{After: after, Limit: chunk})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < chunk {
			return all, nil
		}
		after.Name = page[len(page)-1].Name
	}
}

func (b *board) byID(ctx context.Context, ids []string) (found []registry.Machine, err error) {
	for part := range slices.Chunk(ids, chunk) {
		machines, err := b.source.Machines(ctx, registry.Query{IDs: part})
		if err != nil {
			return nil, err
		}
		found = append(found, machines...)
	}
	slices.SortFunc(found, func(a, b registry.Machine) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// replace starts anew from all machines, keeping what was noted of them.
func (b *board) replace(all []registry.Machine, events []registry.Event, seq int64, now time.Time) delta {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.facts
	b.facts = make(map[string]fact, len(all))
	for _, m := range all {
		b.facts[m.ID] = before[m.ID].with(m, now)
	}
	b.names, b.seq, b.loaded = nil, seq, true
	b.note(events)
	return delta{list: true}
}

// apply takes over what was read of the machines with these ids. One that is
// only looked up again counts as changed when it went offline.
func (b *board) apply(ids []string, found []registry.Machine, events []registry.Event, seq int64, now time.Time) delta {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq = seq
	noted := b.note(events)
	var d delta
	gone := map[string]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	for _, m := range found {
		delete(gone, m.ID)
		before, known := b.facts[m.ID]
		after := before.with(m, now)
		d.list = d.list || !known || before.name != m.Name
		if noted[m.ID] || before.online != after.online || !known {
			after.turns++
			d.machines = append(d.machines, m)
		}
		b.facts[m.ID] = after
	}
	for id := range gone {
		_, known := b.facts[id]
		d.list = d.list || known
		delete(b.facts, id)
	}
	if d.list {
		b.names = nil
	}
	b.note(events) // for those that were new
	return d
}

// with is f after m was read.
func (f fact) with(m registry.Machine, now time.Time) fact {
	f.name, f.state, f.seen, f.online = m.Name, m.State, m.SeenAt, m.Online(now)
	return f
}

// note keeps the last event of each machine and returns which machines had one.
func (b *board) note(events []registry.Event) map[string]bool {
	noted := map[string]bool{}
	for _, e := range events {
		noted[e.Machine] = true
		if f, known := b.facts[e.Machine]; known {
			f.last = note{e.At, cut(e.Message, maxMessage)}
			b.facts[e.Machine] = f
		}
	}
	return noted
}

func (b *board) isLoaded() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.loaded
}
