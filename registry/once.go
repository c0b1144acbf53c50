package registry

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Claim asks for the right to carry out a request that came with an idempotency
// key.
type Claim struct {
	ID      string    // of the caller, the route and the key
	Request string    // fingerprint of the request
	Op      string    // operation id of what the request changes, if this claim is the first
	Owner   string    // who asks, unique to this claim
	At      time.Time // now
	Until   time.Time // when whoever has the right is taken for dead
}

// Claimed is what a store knows of a claim's request. Whoever is the Owner carries
// it out.
type Claimed struct {
	Request string
	Op      string
	Owner   string
	Answer  string   // empty while it is being carried out
	Applied []string // the operation ids of the request that were applied before: Op itself, or those that start with it
}

// Once is an operation that was asked for with an idempotency key: whatever it
// changes carries its operation id, so that it is applied once.
type Once struct {
	op      string
	applied []string  // by earlier attempts
	written *sync.Map // operation ids, by this attempt
}

// WithOnce is a context for what is asked for by a request that was claimed.
func WithOnce(ctx context.Context, c Claimed) context.Context {
	return context.WithValue(ctx, onceKey{}, Once{c.Op, c.Applied, &sync.Map{}})
}

// OncePart is a context for a part of that request which is written on its own,
// such as one machine of many.
func OncePart(ctx context.Context, part string) context.Context {
	if once := onceOf(ctx); once.op != "" {
		once.op += ":" + part
		return context.WithValue(ctx, onceKey{}, once)
	}
	return ctx
}

type onceKey struct{}

func onceOf(ctx context.Context) Once {
	once, _ := ctx.Value(onceKey{}).(Once)
	return once
}

// OpOf is the operation id for the one change that is asked for: that of the
// request, or a fresh one. Two changes with the same id are one: the second is
// taken for a retry of the first. So a request that writes more than one needs
// [OncePart] for the others.
func OpOf(ctx context.Context) string {
	if once := onceOf(ctx); once.op != "" {
		return once.op
	}
	return rand.Text()
}

// AppliedBefore reports whether the change that is asked for was applied by an
// earlier attempt at the same request, whose answer got lost.
func AppliedBefore(ctx context.Context) bool {
	once := onceOf(ctx)
	return slices.Contains(once.applied, once.op)
}

// WriteOnce calls write, which writes the operation, unless this attempt has written it
// before: the store would take another change of that id for a repetition, and leave it
// out.
func WriteOnce(ctx context.Context, op string, write func() error) error {
	once := onceOf(ctx)
	if once.written == nil {
		return write()
	}
	if _, twice := once.written.Load(op); twice {
		return fmt.Errorf("a request makes a second change as operation %s: it would count as a repetition of the first", op)
	}
	err := write()
	if err == nil {
		once.written.Store(op, nil)
	}
	return err
}
