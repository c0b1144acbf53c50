package rqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Session returns a session and when it expires, or [registry.ErrNotFound].
func (s *Store) Session(ctx context.Context, id string) (data string, expires time.Time, err error) {
	rows, err := s.db.read(ctx, statement{
		name: "load session",
		sql:  `SELECT data, expires_ms FROM sessions WHERE id = ?1 ->> '$'`,
		args: []any{text(id)},
	})
	if err != nil {
		return "", time.Time{}, err
	}
	var ms int64
	err = one(rows, &data, &ms)
	return data, moment(ms), err
}

// PutSession stores a session and forgets those that have expired.
func (s *Store) PutSession(ctx context.Context, id, data string, expires time.Time) error {
	return s.db.write(ctx, []statement{{
		name: "forget expired sessions",
		sql:  `DELETE FROM sessions WHERE expires_ms < ?1`,
		args: []any{millis(time.Now())},
	}, statement{
		name: "store session",
		sql: `INSERT INTO sessions (id, expires_ms, data) VALUES (?1 ->> '$', ?2, ?3 ->> '$')
			ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms, data = excluded.data`,
		args: []any{text(id), millis(expires), text(data)},
	}}...)
}

// RenewSession moves the expiry of a session, where it still exists: a renewal
// that comes late must not bring back one that was ended.
func (s *Store) RenewSession(ctx context.Context, id string, expires time.Time) error {
	return s.db.write(ctx, []statement{{
		name: "renew session",
		sql:  `UPDATE sessions SET expires_ms = max(expires_ms, ?2) WHERE id = ?1 ->> '$'`,
		args: []any{text(id), millis(expires)},
	}}...)
}

// DeleteSession ends a session.
func (s *Store) DeleteSession(ctx context.Context, id string) error {
	return s.db.write(ctx, []statement{{
		name: "delete session",
		sql:  `DELETE FROM sessions WHERE id = ?1 ->> '$'`,
		args: []any{text(id)},
	}}...)
}

// TouchTokens records when tokens were used, by ID.
func (s *Store) TouchTokens(ctx context.Context, used map[string]time.Time) error {
	ms := make(map[string]int64, len(used))
	for id, at := range used {
		ms[id] = millis(at)
	}
	param, err := json.Marshal(ms)
	if err != nil {
		return fmt.Errorf("touch tokens: %w", err)
	}
	return s.db.write(ctx, []statement{{
		name: "touch tokens",
		sql: `INSERT INTO token_uses (id, used_ms) SELECT key, value FROM json_each(?1) WHERE true
			ON CONFLICT (id) DO UPDATE SET used_ms = max(used_ms, excluded.used_ms)`,
		args: []any{string(param)},
	}}...)
}

// TokensUsed returns the last use of every token.
func (s *Store) TokensUsed(ctx context.Context) (map[string]time.Time, error) {
	type use struct {
		id string
		at int64
	}
	uses, err := scan(ctx, s, func(rows cursor) (u use, err error) {
		return u, rows.Scan(&u.id, &u.at)
	}, statement{name: "load uses of tokens", sql: `SELECT id, used_ms FROM token_uses`})
	used := make(map[string]time.Time, len(uses))
	for _, u := range uses {
		used[u.id] = moment(u.at)
	}
	return used, err
}
