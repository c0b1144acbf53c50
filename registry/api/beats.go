package api

import (
	"context"
	"math"
	"sync"
	"time"

	"dragonfly/registry"
)

// beats wakes all streams at the end of each tick in which something happened. A timer for
// each stream, and being told of what happens before it, cost them as much as to write.
type beats struct {
	registry *registry.Registry

	mu      sync.Mutex
	streams int
	stop    context.CancelFunc // called when there are none any more
	last    moment
	next    chan struct{} // closed at the beat after the last
}

// moment is how far things have happened.
type moment struct {
	event int64  // the newest one
	shown uint64 // of the progress of deployments, see [registry.Registry.Watch]
}

func (b *beats) now() moment {
	_, shown, _ := b.registry.Watch(math.MaxUint64)
	return moment{b.registry.Feed().Last(), shown}
}

// join begins a stream; leave ends it.
func (b *beats) join() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streams++; b.streams > 1 {
		return
	}
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	b.last, b.next = b.now(), make(chan struct{})
	go b.run(ctx, b.last)
}

func (b *beats) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streams--; b.streams == 0 {
		b.stop()
	}
}

func (b *beats) run(ctx context.Context, last moment) {
	for {
		_, shown, more := b.registry.Watch(last.shown)
		if shown == last.shown {
			select {
			case <-b.registry.Feed().Moved(last.event):
			case <-more:
			case <-ctx.Done():
				return
			}
		}
		if !sleepTick(ctx) {
			return
		}
		last = b.beat()
	}
}

// beat wakes the streams. They see what had happened before they were woken, at least.
func (b *beats) beat() moment {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.last, b.next = now, make(chan struct{})
	return now
}

// await waits for the beat after something happened that a stream has not seen, which has
// seen all up to a moment. It reports whether something did, within the time that a stream
// may be idle.
func (b *beats) await(ctx context.Context, seen moment) (happened bool) {
	idle := time.NewTimer(sseIdle)
	defer idle.Stop()
	for {
		last, next := b.wait()
		if seen.event < last.event || seen.shown < last.shown || seen.event > b.registry.Feed().Last() {
			return sleepTick(ctx) // it missed a beat, or the events were set back
		}
		select {
		case <-next:
		case <-idle.C:
			return false
		case <-ctx.Done():
			return false
		}
		if b.now() != seen { // else it saw what the beat is about before
			return true
		}
	}
}

// wait returns what was known at the last beat, and what closes at the next one.
func (b *beats) wait() (last moment, next <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last, b.next
}

// sleepTick waits for the end of the tick, and reports whether it came before ctx ended.
func sleepTick(ctx context.Context) bool {
	now := time.Now()
	return sleep(ctx, now.Truncate(sseTick).Add(sseTick).Sub(now))
}
