package registry

import (
	"context"
	"slices"
	"sync"
	"time"
)

// writing is the machines that this process is writing now: the feed shows a change
// before whoever made it has told this process, which need not read it again.
type writing struct {
	mu    sync.Mutex
	count map[string]int // by ID
}

// begin notes that c is being written, until end is called.
func (w *writing) begin(c Change) (end func()) {
	ids := c.Machines()
	w.add(ids, 1)
	return func() { w.add(ids, -1) }
}

func (w *writing) add(ids []string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = map[string]int{}
	}
	for _, id := range ids {
		if w.count[id] += n; w.count[id] == 0 {
			delete(w.count, id)
		}
	}
}

// maxSettle is how long the feed waits for what is being written: answers are on their
// way where their changes show.
const (
	maxSettle   = 50 * time.Millisecond
	settleEvery = 2 * time.Millisecond
)

// settle waits until none of the machines is being written, for a moment: one that
// still is, or is again, is read like one that others have changed.
func (w *writing) settle(ctx context.Context, ids []string) {
	for begin := time.Now(); w.any(ids) && time.Since(begin) < maxSettle; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleEvery):
		}
	}
}

func (w *writing) any(ids []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(ids, func(id string) bool { return w.count[id] > 0 })
}
