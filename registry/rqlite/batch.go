package rqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	maxGather     = 10 * time.Millisecond // see gather
)

// batcher sends changes that arrive while another is being written together, in
// one transaction: most of the cost of a write is that of its transaction, once for
// all of them. A change that arrives while nothing is being written goes at once. A
// second transaction begins beside the first one where it is full. When nothing waits,
// it is time to index machines.
type batcher struct {
	db      *database
	log     *slog.Logger
	mu      sync.Mutex
	waiting []*pending
	writers int
	wanted  int           // so many are waited for; 0: they are there
	enough  chan struct{} // closed when they are there; nil: nobody gathers
	come    bool          // most of those who were waited for last came

	unindexed int // machines, about
}

// pending is a change that waits to be written.
type pending struct {
	machines []string // that it is about
	writes   *writes
	bytes    int
	verdict  error      // once it was written
	done     chan error // of capacity 1; gets the verdict
}

// write writes one change in a transaction, which it may share with others, and
// returns its own verdict. When ctx ends first, the change may still be applied.
func (b *batcher) write(ctx context.Context, machines []string, w *writes) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
	}
	p := &pending{machines: machines, writes: w, bytes: w.bytes(), done: make(chan error, 1)}
	if b.take(p) {
		go b.drain(context.WithoutCancel(ctx))
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, context.Cause(ctx))
	}
}

// take lets a change wait, and reports whether somebody has to begin to write.
func (b *batcher) take(p *pending) (begin bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, p)
	if b.wanted > 0 && len(b.waiting) >= b.wanted {
		b.wanted = 0
		close(b.enough)
	}
	begin = b.writers == 0 || b.writers < maxWriters && b.enough == nil && len(b.waiting) >= maxBatch
	if begin {
		b.writers++
	}
	return begin
}

// drain writes until nothing waits. It ends by itself: each write has a deadline,
// and who waits is a caller.
func (b *batcher) drain(ctx context.Context) {
	all := &writes{} // which grows once, and not with each transaction
	for batch, index := b.next(); len(batch) > 0 || index > 0; batch, index = b.next() {
		begin := time.Now()
		var enough <-chan struct{}
		if len(batch) > 0 {
			enough = b.send(ctx, all, batch)
		}
		if index > 0 {
			b.index(ctx, index)
		}
		b.gather(enough, min(2*time.Since(begin), maxGather))
	}
}

// send writes a batch and answers it. It returns what closes when those who were
// answered are back.
func (b *batcher) send(ctx context.Context, all *writes, batch []*pending) (enough <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	err := b.settle(ctx, all, batch)
	cancel()
	enough = b.want(len(batch)) // before they are answered, and come back
	for _, p := range batch {
		p.done <- p.verdict
	}
	if errors.Is(err, registry.ErrUnavailable) {
		b.refuse(err)
	}
	return enough
}

// index takes some machines into the index. Where that fails, they are found without it.
func (b *batcher) index(ctx context.Context, most int) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	err := b.db.index(ctx, most)
	if err != nil {
		b.log.Warn("machines are not in the index of searches yet", "err", err)
	}
	if errors.Is(err, registry.ErrUnavailable) {
		b.refuse(err)
	}
}

// gather waits until those whose changes were written have the next ones, beside
// those who waited meanwhile. Without that there would be two crowds for ever, each
// waiting for the transaction of the other. It takes at most twice as long as a
// transaction, since those who come too late are a second crowd; half of that where they
// do not come back so soon, and nothing of one who is alone.
func (b *batcher) gather(enough <-chan struct{}, most time.Duration) {
	if enough == nil {
		return
	}
	timer := time.NewTimer(b.patience(most))
	defer timer.Stop()
	select {
	case <-enough:
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.come = b.wanted == 0 || 4*len(b.waiting) >= 3*b.wanted
	b.wanted, b.enough = 0, nil
}

// patience is the part of most that is waited for.
func (b *batcher) patience(most time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.come {
		return most
	}
	return most / 2
}

// want returns what closes when so many changes wait beside those that wait now; nil
// where they need not be waited for.
func (b *batcher) want(more int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := min(len(b.waiting)+more, maxBatch)
	if wanted < 2 || len(b.waiting) >= wanted || b.writers > 1 {
		return nil
	}
	b.wanted, b.enough = wanted, make(chan struct{})
	return b.enough
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

// next takes what is written together next, and says how many machines are to be
// indexed; neither, and the right to write is given back. Two changes of one machine
// cannot share a transaction, since the second one names the version that the first one
// makes: it waits, and holds up no other machine's.
func (b *batcher) next() (batch []*pending, index int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var later []*pending
	bytes, about := 0, map[string]bool{}
	for i, p := range b.waiting {
		if len(batch) == maxBatch || len(batch) > 0 && bytes+p.bytes > maxBatchBytes {
			later = append(later, b.waiting[i:]...)
			break
		}
		again := slices.ContainsFunc(p.machines, func(id string) bool { return about[id] })
		for _, id := range p.machines {
			about[id] = true
		}
		if again {
			later = append(later, p)
			continue
		}
		bytes += p.bytes
		batch = append(batch, p)
	}
	b.waiting = later
	switch {
	case b.unindexed >= indexSome && len(batch) == 0:
		index = min(b.unindexed, indexMost)
	case b.unindexed > maxUnindexed:
		index = min(b.unindexed-maxUnindexed+indexMost, 5*indexMost)
	}
	b.unindexed -= index
	if len(batch) == 0 && index == 0 {
		b.writers--
	}
	return batch, index
}

// settle writes a batch and finds the verdict of each change. One that is refused
// takes the others' transaction with it: they are halved until it stands alone.
// A change that was applied without our knowing is refused by its operation id.
func (b *batcher) settle(ctx context.Context, all *writes, batch []*pending) error {
	all.reset()
	for _, p := range batch {
		all.merge(p.writes)
	}
	err := b.db.write(ctx, all.statements()...)
	if err == nil {
		b.mu.Lock()
		b.unindexed += all.added
		b.mu.Unlock()
	}
	if err == nil || len(batch) == 1 || errors.Is(err, registry.ErrUnavailable) {
		for _, p := range batch {
			p.verdict = err
		}
		return err
	}
	return errors.Join(b.settle(ctx, all, batch[:len(batch)/2]), b.settle(ctx, all, batch[len(batch)/2:]))
}
