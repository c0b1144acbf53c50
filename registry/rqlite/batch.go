package rqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dragonfly/registry"
)

// The bounds of one transaction that carries several changes.
const (
	maxBatch      = 64
	maxWriters    = 2       // transactions on their way at once: one is prepared while the other is synced
	maxBatchBytes = 2 << 20 // of parameters; rqlite holds a request in memory several times over
	batchTimeout  = 20 * time.Second
)

// batcher sends changes that arrive while another is being written together, in
// one transaction: the cost of a write is that of syncing the raft log, once for
// all of them. A change that arrives while nothing is being written goes at once.
type batcher struct {
	db      *database
	mu      sync.Mutex
	waiting []*pending
	writers int
}

// pending is a change that waits to be written.
type pending struct {
	machines []string // that it is about
	writes   *writes
	bytes    int
	done     chan error // of capacity 1
}

// write writes one change in a transaction, which it may share with others, and
// returns its own verdict. When ctx ends first, the change may still be applied.
func (b *batcher) write(ctx context.Context, machines []string, w *writes) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
	}
	p := &pending{machines: machines, writes: w, bytes: w.bytes(), done: make(chan error, 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, p)
	start := b.writers < maxWriters
	if start {
		b.writers++
	}
	b.mu.Unlock()
	if start {
		go b.drain(context.WithoutCancel(ctx))
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, context.Cause(ctx))
	}
}

// drain writes until nothing waits. It ends by itself: each write has a deadline,
// and who waits is a caller.
func (b *batcher) drain(ctx context.Context) {
	for batch := b.next(); len(batch) > 0; batch = b.next() {
		ctx, cancel := context.WithTimeout(ctx, batchTimeout)
		err := b.settle(ctx, batch)
		cancel()
		if errors.Is(err, registry.ErrUnavailable) {
			b.refuse(err)
		}
	}
}

// refuse tells what waits that the database is away. It was not sent, and would wait
// out the patience of the transport once more to learn the same.
func (b *batcher) refuse(why error) {
	b.mu.Lock()
	waiting := b.waiting
	b.waiting = nil
	b.mu.Unlock()
	for _, p := range waiting {
		p.done <- why
	}
}

// next takes what is written together next; nothing, and the right to write is
// given back. Two changes of one machine cannot share a transaction, since the
// second one names the version that the first one makes.
func (b *batcher) next() []*pending {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes, about := 0, 0, map[string]bool{}
	for ; n < min(len(b.waiting), maxBatch); n++ {
		p := b.waiting[n]
		again := slices.ContainsFunc(p.machines, func(id string) bool { return about[id] })
		if n > 0 && (again || bytes+p.bytes > maxBatchBytes) {
			break
		}
		bytes += p.bytes
		for _, id := range p.machines {
			about[id] = true
		}
	}
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	if n == 0 {
		b.writers--
	}
	return batch
}

// settle writes a batch and tells each change its verdict. One that is refused
// takes the others' transaction with it: they are halved until it stands alone.
// A change that was applied without our knowing is refused by its operation id.
func (b *batcher) settle(ctx context.Context, batch []*pending) error {
	all := &writes{}
	for _, p := range batch {
		all.merge(p.writes)
	}
	err := b.db.write(ctx, all.statements()...)
	if err == nil || len(batch) == 1 || errors.Is(err, registry.ErrUnavailable) {
		for _, p := range batch {
			p.done <- err
		}
		return err
	}
	return errors.Join(b.settle(ctx, batch[:len(batch)/2]), b.settle(ctx, batch[len(batch)/2:]))
}
