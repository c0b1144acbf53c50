package rqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dragonfly/registry"
)

// requestsFor is how long requests with an idempotency key are kept.
const requestsFor = 48 * time.Hour

// Claim gives the right to carry out a request to whoever asks first. One who is
// taken for dead loses it to the next, with the operation id: what was applied is
// not applied again.
func (s *Store) Claim(ctx context.Context, c registry.Claim) (registry.Claimed, error) {
	err := s.db.write(ctx, statement{
		name: "claim request",
		sql: `INSERT INTO requests (id, request, op, owner, at_ms, until_ms, answer)
			VALUES (?1 ->> '$', ?2 ->> '$', ?3 ->> '$', ?4 ->> '$', ?5, ?6, '')
			ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms
			WHERE answer = '' AND until_ms < excluded.at_ms AND request = excluded.request`,
		args: []any{text(c.ID), text(c.Request), text(c.Op), text(c.Owner), millis(c.At), millis(c.Until)},
	})
	if err != nil {
		return registry.Claimed{}, err
	}
	rows, err := s.db.readLatest(ctx, statement{
		name: "load request",
		sql: `SELECT request, op, owner, answer,
			(SELECT json_group_array(op) FROM ops WHERE op = r.op OR op > r.op || ':' AND op < r.op || ';')
			FROM requests r WHERE id = ?1 ->> '$'`,
		args: []any{text(c.ID)},
	})
	if err != nil {
		return registry.Claimed{}, err
	}
	var found registry.Claimed
	var applied string
	if err := one(rows, &found.Request, &found.Op, &found.Owner, &found.Answer, &applied); err != nil {
		return registry.Claimed{}, fmt.Errorf("load request: %w", err)
	}
	return found, json.Unmarshal([]byte(applied), &found.Applied)
}

// Answer keeps the answer to a claimed request, for as long as its owner has it.
// An empty one gives the claim up: the next one carries the request out.
func (s *Store) Answer(ctx context.Context, id, owner, answer string) error {
	return s.db.write(ctx, statement{
		name: "keep answer",
		sql:  `UPDATE requests SET answer = ?3 ->> '$', until_ms = 0 WHERE id = ?1 ->> '$' AND owner = ?2 ->> '$' AND answer = ''`,
		args: []any{text(id), text(owner), text(answer)},
	})
}
