package registrytest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"dragonfly/registry"
)

// accounts is the storage registry/auth needs, in memory.
type accounts struct {
	mu      sync.Mutex
	users   map[string]account
	secrets map[string]string
}

type account struct{ hash, role string }

// User returns the password hash and the role of a user, or
// [registry.ErrNotFound].
func (a *accounts) User(ctx context.Context, name string) (hash, role string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", "", err
	}
	u, ok := a.users[name]
	if !ok {
		return "", "", registry.ErrNotFound
	}
	return u.hash, u.role, nil
}

// PutUser creates the user or replaces its hash and role.
func (a *accounts) PutUser(ctx context.Context, name, hash, role string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	a.users[name] = account{hash, role}
	return nil
}

// Users returns the names of all users, sorted.
func (a *accounts) Users(ctx context.Context) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.users)), ctx.Err()
}

// Secret returns the named secret; where there is none yet it stores a fresh one.
func (a *accounts) Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if value, ok := a.secrets[name]; ok {
		return value, nil
	}
	value, err := fresh()
	if err != nil {
		return "", err
	}
	a.secrets[name] = value
	return value, nil
}

// Ping succeeds until ctx ends.
func (a *accounts) Ping(ctx context.Context) error { return ctx.Err() }
