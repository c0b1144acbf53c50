package registry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	feedMemory = 4096                   // events kept in memory for listeners that follow closely
	feedBatch  = 500                    // events read from the store at once
	feedPoll   = 250 * time.Millisecond // other processes write to the same store
	feedGather = 25 * time.Millisecond  // changes that are written together are read together
)

// Feed is the stream of events as every listener reads it: at its own pace, from
// the number it last saw. There is no queue per listener, so a slow one costs
// nothing; one that fell behind what is in memory is served from the store.
type Feed struct {
	read func(ctx context.Context, after int64, limit int) ([]Event, error) // from the store
	wake chan struct{}                                                      // a write happened here: poll now

	mu     sync.Mutex
	recent []Event       // the newest events, in order; at least feedMemory, where there were as many
	last   int64         // the newest number
	more   chan struct{} // closed when last moves
}

func newFeed(read func(context.Context, int64, int) ([]Event, error), last int64) *Feed {
	return &Feed{read: read, last: last, wake: make(chan struct{}, 1), more: make(chan struct{})}
}

// ErrRewound is of a listener that has seen events which are no longer there: the
// database was restored to an older state, and their numbers are given again. What was
// learned from events is to be loaded anew; they go on behind [Feed.Last].
var ErrRewound = errors.New("the events were set back")

// Last is the number of the newest event.
func (f *Feed) Last() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Next blocks until there are events numbered above after and returns up to a
// few hundred of them in order, for reading only: listeners share them. It errs
// with [ErrRewound], when ctx ends, or when the store does.
func (f *Feed) Next(ctx context.Context, after int64) ([]Event, error) {
	for {
		events, inMemory, more := f.since(after)
		if len(events) > 0 {
			return events, nil
		}
		if after > f.Last() {
			return nil, ErrRewound
		}
		if !inMemory {
			events, err := f.read(ctx, after, feedBatch)
			return upTo(f.Last(), events), err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-more:
		}
	}
}

// Moved returns what is closed as soon as there is an event numbered above after, or
// none with that number any more.
func (f *Feed) Moved(after int64) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after == f.last {
		return f.more
	}
	there := make(chan struct{})
	close(there)
	return there
}

// since returns the events above after that are in memory, whether memory
// reaches back that far, and a channel that closes when there is more.
func (f *Feed) since(after int64) ([]Event, bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after >= f.last {
		return nil, true, f.more
	}
	i := len(upTo(after, f.recent))
	if i == len(f.recent) || i == 0 && f.recent[0].Seq > after+1 {
		return nil, false, nil // older ones may be in the store only
	}
	end := min(i+feedBatch, len(f.recent))
	return f.recent[i:end:end], true, nil // what is there is never changed
}

// upTo returns those events, of some in order, that are numbered last or below. What the
// store has above the number of a [Feed] this process has not taken in yet.
func upTo(last int64, events []Event) []Event {
	n, _ := slices.BinarySearchFunc(events, last+1, func(e Event, seq int64) int { return cmp.Compare(e.Seq, seq) })
	return events[:n]
}

// of returns up to limit events of a machine that are in memory, numbered below
// before (0: the newest), newest first.
func (f *Feed) of(machine string, before int64, limit int) (found []Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range slices.Backward(f.recent) {
		if e.Machine == machine && (before == 0 || e.Seq < before) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found
}

// poke asks for a poll now.
func (f *Feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// reset makes a feed whose store went back in time go on from there. Its listeners
// load anew what they know, so that has to be there before.
func (f *Feed) reset(last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent, f.last = nil, last
	f.tell()
}

// tell wakes those who wait for f.last to move.
func (f *Feed) tell() {
	close(f.more)
	f.more = make(chan struct{})
}

// run reads the store until ctx ends. apply sees each batch before any listener
// does; a batch it refuses is read again.
func (f *Feed) run(ctx context.Context, apply func(context.Context, []Event) error, log *slog.Logger) {
	tick := time.NewTicker(feedPoll)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			gather(ctx)
		case <-tick.C:
		}
		err := f.poll(ctx, apply)
		if err != nil && !failing && ctx.Err() == nil {
			log.Warn("read the event feed; this is tried again every second", "err", err)
		}
		if failing = err != nil; failing {
			tick.Reset(time.Second)
		} else {
			tick.Reset(feedPoll)
		}
	}
}

// gather waits for what is being written beside the change that was told of, and until
// whoever wrote it has told this process: it need not read that again.
func gather(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(feedGather):
	}
}

func (f *Feed) poll(ctx context.Context, apply func(context.Context, []Event) error) error {
	for {
		events, err := f.read(ctx, f.Last(), feedBatch)
		if err != nil || len(events) == 0 {
			return err
		}
		if err := apply(ctx, events); err != nil {
			return err
		}
		f.append(events)
		if len(events) < feedBatch { // what came meanwhile is told of
			return nil
		}
	}
}

func (f *Feed) append(events []Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent = append(f.recent, events...)
	if len(f.recent) > 2*feedMemory { // not each time: listeners may hold the old ones
		f.recent = slices.Clone(f.recent[len(f.recent)-feedMemory:])
	}
	f.last = events[len(events)-1].Seq
	f.tell()
}
