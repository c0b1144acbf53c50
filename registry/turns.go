package registry

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// maxTurn bounds the wait for a turn: a replay that stands still, since the store does,
// gives none.
const maxTurn = 5 * time.Second

// turns lets whoever appends to the journal do so as often as its replay leaves room
// for: once for every two records that were applied. Left alone they come as fast as
// records are applied, and in the end all of them wait until everything is.
type turns struct {
	mu   sync.Mutex
	open chan struct{} // has the turns that were given; nil: everybody may append
}

// begin makes everybody wait for a turn, until end.
func (t *turns) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = make(chan struct{}, replayBatch)
}

// end lets everybody append who waits, or comes later.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.open)
	t.open = nil
}

// give gives so many turns. Those that nobody wants are kept, up to a hundred.
func (t *turns) give(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range n {
		select {
		case t.open <- struct{}{}:
		default:
			return
		}
	}
}

// wait returns when it is the caller's turn, or after [maxTurn]. It errs with
// [ErrUnavailable] when ctx ends first.
func (t *turns) wait(ctx context.Context) error {
	t.mu.Lock()
	open := t.open
	t.mu.Unlock()
	if open == nil {
		return nil
	}
	select {
	case <-open:
		return nil
	case <-time.After(maxTurn):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}
