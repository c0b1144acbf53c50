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

// board keeps what every page needs of every machine: some hundred bytes each,
// which it takes from memory ([Machines.Glances]). It follows the feed when asked
// to, by step. Of the store it reads only the rows that changed.
type board struct {
	source Machines
	feed   Feed
	runs   runs
	busy   chan struct{} // held by the one that steps

	mu      sync.RWMutex
	facts   facts
	works   works
	seq     int64     // the last event taken
	checked time.Time // when it was looked for machines that fell silent
	loaded  bool
}

func newBoard(source Machines, feed Feed, runs runs) *board {
	return &board{source: source, feed: feed, runs: runs, busy: make(chan struct{}, 1), facts: newFacts()}
}

// delta is what a step changed.
type delta struct {
	machines []registry.Machine // ordered by name; none where too many changed
	many     bool               // more than maxRows of them
	list     bool               // machines appeared, vanished or changed their place
	works    map[string]work    // how far deployments are, by machine
}

func (d delta) empty() bool { return !d.list && !d.many && len(d.machines)+len(d.works) == 0 }

// step takes the events that are there, reads the machines they are about, and looks
// how far deployments are. Nothing is taken when a read fails.
func (b *board) step(ctx context.Context, now time.Time) (delta, error) {
	select {
	case b.busy <- struct{}{}:
		defer func() { <-b.busy }()
	case <-ctx.Done():
		return delta{}, ctx.Err()
	}
	d, err := b.take(ctx, now)
	if err == nil {
		d.works = b.lookAtWorks(ctx, now)
	}
	return d, err
}

// take takes the events that are there.
func (b *board) take(ctx context.Context, now time.Time) (delta, error) {
	events, seq, err := b.events(ctx)
	if err != nil {
		return delta{}, err
	}
	if !b.isLoaded() || slices.ContainsFunc(events, func(e registry.Event) bool { return e.Kind == registry.MachineMerged }) {
		// The event of a merge does not say which record is gone.
		return b.replace(b.source.Glances(), events, seq, now), nil
	}
	seen, err := b.lookAt(ctx, touched(events), now)
	if err != nil {
		return delta{}, err
	}
	changed := b.changed(seen, now)
	d := delta{many: len(changed) > maxRows}
	if !d.many {
		if d.machines, err = b.byID(ctx, changed); err != nil {
			return delta{}, err
		}
	}
	d.list = b.apply(seen, changed, events, seq, now)
	return d, nil
}

// events returns what happened since the last step, without waiting.
func (b *board) events(ctx context.Context) (events []registry.Event, seq int64, err error) {
	last := b.feed.Last()
	b.mu.Lock()
	if b.seq > last { // the database was restored to an older state
		b.seq, b.loaded = 0, false
	}
	seq = b.seq
	b.mu.Unlock()
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

// touched names the machines of the events.
func touched(events []registry.Event) map[string]bool {
	ids := map[string]bool{}
	for _, e := range events {
		if e.Machine != "" {
			ids[e.Machine] = true
		}
	}
	return ids
}

// look is a machine as it is found now.
type look struct {
	registry.Glance
	happened bool // an event is about it
	there    bool
}

// lookAt looks at the machines that something happened to, and at those that count
// as online and have not been heard of for long.
func (b *board) lookAt(ctx context.Context, happened map[string]bool, now time.Time) (map[string]look, error) {
	seen := map[string]look{}
	for id := range happened {
		seen[id] = look{happened: true}
	}
	silent := b.silent(now)
	for _, id := range silent {
		seen[id] = look{happened: happened[id]}
	}
	if len(seen) == 0 {
		return seen, nil
	}
	for _, g := range b.source.Glances(slices.Collect(maps.Keys(seen))...) {
		seen[g.ID] = look{Glance: g, happened: happened[g.ID], there: true}
	}
	silent = slices.DeleteFunc(silent, func(id string) bool { return seen[id].Online(now) })
	return seen, b.askElsewhere(ctx, silent, seen)
}

// askElsewhere asks the store when the silent machines were seen by other servers.
func (b *board) askElsewhere(ctx context.Context, silent []string, seen map[string]look) error {
	for part := range slices.Chunk(silent, chunk) {
		machines, err := b.source.Machines(ctx, registry.Query{IDs: part, Bare: true})
		if err != nil {
			return err
		}
		for _, m := range machines {
			l := seen[m.ID]
			l.SeenAt = m.SeenAt
			seen[m.ID] = l
		}
	}
	return nil
}

// silent names the machines that count as online and have not been heard of for so
// long that it must be looked up; at most every recheck.
func (b *board) silent(now time.Time) (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.checked).Abs() < recheck {
		return nil
	}
	b.checked = now
	for id, f := range b.facts.byID {
		if f.online && now.Sub(f.seen) >= registry.OnlineFor {
			ids = append(ids, id)
		}
	}
	return ids
}

// changed names the machines whose rows are not what they were. One that is only
// looked up again counts when it came or went offline.
func (b *board) changed(seen map[string]look, now time.Time) (ids []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for id, l := range seen {
		before, known := b.facts.byID[id]
		if l.there && (l.happened || !known || before.online != l.Online(now)) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (b *board) byID(ctx context.Context, ids []string) (found []registry.Machine, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err = b.source.Machines(ctx, registry.Query{IDs: ids, Brief: true})
	slices.SortFunc(found, func(a, b registry.Machine) int { return strings.Compare(a.Name, b.Name) })
	return found, err
}

// replace starts anew from all machines, keeping what was noted of them.
func (b *board) replace(all []registry.Glance, events []registry.Event, seq int64, now time.Time) delta {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.facts.byID
	b.facts = newFacts()
	names := make([]string, 0, len(all))
	for _, g := range all {
		b.facts.put(g.ID, before[g.ID].with(g, now))
		names = append(names, g.Name)
	}
	b.facts.rename(names, nil)
	b.seq, b.loaded = seq, true
	b.facts.note(events)
	b.works.end(events)
	return delta{list: true}
}

// apply takes over what was seen, and reports whether machines appeared, vanished
// or changed their place.
func (b *board) apply(seen map[string]look, changed []string, events []registry.Event, seq int64, now time.Time) (list bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq = seq
	var come, gone []string // names
	for id, l := range seen {
		before, known := b.facts.byID[id]
		if known && (!l.there || before.name != l.Name) {
			gone = append(gone, before.name)
		}
		if l.there && (!known || before.name != l.Name) {
			come = append(come, l.Name)
		}
		if l.there {
			b.facts.put(id, before.with(l.Glance, now))
		} else {
			b.facts.drop(id)
		}
	}
	b.facts.rename(come, gone)
	b.facts.turn(changed)
	b.facts.note(events)
	b.works.end(events)
	return len(come)+len(gone) > 0
}

func (b *board) isLoaded() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.loaded
}
