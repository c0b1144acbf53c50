package registrytest

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"dragonfly/registry"
)

// accounts is the storage registry/auth needs, in memory.
type accounts struct {
	mu       sync.Mutex
	doc      string
	version  int64
	sessions map[string]session // by ID
	used     map[string]time.Time
	secrets  map[string]string
}

type session struct {
	data    string
	expires time.Time
}

func newAccounts() accounts {
	return accounts{doc: "{}", sessions: map[string]session{}, used: map[string]time.Time{}, secrets: map[string]string{}}
}

// Directory returns the document of the accounts and its version; nil when that
// is still known.
func (a *accounts) Directory(ctx context.Context, known int64) ([]byte, int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil || known == a.version {
		return nil, a.version, err
	}
	return []byte(a.doc), a.version, nil
}

// PutDirectory replaces the document, read at a version, together with change.
func (s *MemoryStore) PutDirectory(ctx context.Context, data []byte, read int64, change registry.Change) error {
	a := &s.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	s.mu.Lock()
	_, applied := s.ops[change.Op]
	s.mu.Unlock()
	if applied {
		return nil
	}
	if read != a.version {
		return &registry.ConflictError{Object: "accounts", Read: read, Stored: a.version}
	}
	if err := s.Commit(ctx, change); err != nil {
		return err
	}
	a.doc, a.version = string(data), read+1
	var doc struct{ Tokens map[string]json.RawMessage }
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	maps.DeleteFunc(a.used, func(id string, _ time.Time) bool { _, there := doc.Tokens[id]; return !there })
	return nil
}

// Session returns a session, or [registry.ErrNotFound].
func (a *accounts) Session(ctx context.Context, id string) (string, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.sessions[id]
	if err := ctx.Err(); err != nil || !ok {
		return "", time.Time{}, orNotFound(err)
	}
	return found.data, found.expires, nil
}

func orNotFound(err error) error {
	if err == nil {
		return registry.ErrNotFound
	}
	return err
}

// PutSession stores a session and forgets those that have expired.
func (a *accounts) PutSession(ctx context.Context, id, data string, expires time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	maps.DeleteFunc(a.sessions, func(_ string, s session) bool { return s.expires.Before(now) })
	a.sessions[id] = session{data, millis(expires)}
	return nil
}

// RenewSession moves the expiry of a session, where it still exists.
func (a *accounts) RenewSession(ctx context.Context, id string, expires time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.sessions[id]; ok && ctx.Err() == nil && expires.After(s.expires) {
		a.sessions[id] = session{s.data, millis(expires)}
	}
	return ctx.Err()
}

// DeleteSession ends a session.
func (a *accounts) DeleteSession(ctx context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(a.sessions, id)
	return nil
}

// TouchTokens records when tokens were used, by ID.
func (a *accounts) TouchTokens(ctx context.Context, used map[string]time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for id, at := range used {
		if at.After(a.used[id]) {
			a.used[id] = millis(at)
		}
	}
	return nil
}

// TokensUsed returns the last use of every token.
func (a *accounts) TokensUsed(ctx context.Context) (map[string]time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.used), ctx.Err()
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

// Directory fails.
func (s *BrokenStore) Directory(context.Context, int64) ([]byte, int64, error) { return nil, 0, s.err }

// PutDirectory fails.
func (s *BrokenStore) PutDirectory(context.Context, []byte, int64, registry.Change) error {
	return s.err
}

// Session fails.
func (s *BrokenStore) Session(context.Context, string) (string, time.Time, error) {
	return "", time.Time{}, s.err
}

// PutSession fails.
func (s *BrokenStore) PutSession(context.Context, string, string, time.Time) error { return s.err }

// RenewSession fails.
func (s *BrokenStore) RenewSession(context.Context, string, time.Time) error { return s.err }

// DeleteSession fails.
func (s *BrokenStore) DeleteSession(context.Context, string) error { return s.err }

// TouchTokens fails.
func (s *BrokenStore) TouchTokens(context.Context, map[string]time.Time) error { return s.err }

// TokensUsed fails.
func (s *BrokenStore) TokensUsed(context.Context) (map[string]time.Time, error) { return nil, s.err }
