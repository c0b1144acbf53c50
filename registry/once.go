package registry

import (
	"context"
	"crypto/rand"
	"slices"
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
	applied []string
}

// WithOnce is a context for what is asked for by a request that was claimed.
func WithOnce(ctx context.Context, c Claimed) context.Context {
	return context.WithValue(ctx, onceKey{}, Once{c.Op, c.Applied})
}

// OncePart is a context for a part of that request which is written on its own,
// such as one machine of many.
func OncePart(ctx context.Context, part string) context.Context {
	if once := onceOf(ctx); once.op != "" {
		return context.WithValue(ctx, onceKey{}, Once{once.op + ":" + part, once.applied})
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
// taken for a retry of the first.
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
