package registry

import "context"

type dryRunKey struct{}

// WithDryRun is a context in which what operators ask for is checked and not
// written: the machine that is returned, or the error, is what would be.
func WithDryRun(ctx context.Context) context.Context {
	return context.WithValue(ctx, dryRunKey{}, true)
}

func dryRun(ctx context.Context) bool { return ctx.Value(dryRunKey{}) != nil }
