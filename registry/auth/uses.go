package auth

import (
	"context"
	"maps"
	"sync"
	"time"
)

// TokenUses keeps when each API token was last used, apart from the directory,
// which would otherwise be written all day.
type TokenUses interface {
	// TouchTokens records uses by token ID; an earlier one never replaces a
	// later one.
	TouchTokens(ctx context.Context, used map[string]time.Time) error
	// TokensUsed returns the last use of every token.
	TokensUsed(ctx context.Context) (map[string]time.Time, error)
}

const (
	usesEvery  = time.Minute            // uses are written at most this often
	usesWithin = 500 * time.Millisecond // and the request that does it waits no longer
)

// uses collects the uses of tokens. The first request after a minute writes what
// was collected; nothing runs in between.
type uses struct {
	store TokenUses
	now   func() time.Time

	mu      sync.Mutex
	waiting map[string]time.Time // by token ID, bounded by the tokens there are
	written time.Time
}

func newUses(store TokenUses) *uses {
	return &uses{store: store, now: time.Now, waiting: map[string]time.Time{}}
}

// mark notes that a token is used now. It does not fail: where the database is
// away, the next one tries again.
func (u *uses) mark(ctx context.Context, id string) {
	if due := u.note(id); due != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), usesWithin)
		defer cancel()
		if u.store.TouchTokens(ctx, due) != nil {
			u.putBack(due)
		}
	}
}

// note returns what is to be written now, nil for nothing.
func (u *uses) note(id string) map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	u.waiting[id] = now
	if now.Sub(u.written).Abs() < usesEvery {
		return nil
	}
	due := u.waiting
	u.waiting, u.written = map[string]time.Time{}, now
	return due
}

func (u *uses) putBack(due map[string]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(due, u.waiting)
	u.waiting = due
}

// all is the last use of every token, with what is still to be written. Beside an
// error it is that alone.
func (u *uses) all(ctx context.Context) (map[string]time.Time, error) {
	used, err := u.store.TokensUsed(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if used == nil {
		used = map[string]time.Time{}
	}
	maps.Copy(used, u.waiting)
	return used, err
}
