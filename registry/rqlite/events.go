package rqlite

import (
	"context"
	"fmt"
	"time"

	"dragonfly/registry"
)

// Events returns up to limit events with a number above after, in order.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]registry.Event, error) {
	return scan(ctx, s, scanEvent, statement{
		name: "load events",
		sql:  `SELECT seq, at_ms, kind, machine, mac, message FROM events WHERE seq > ?1 ORDER BY seq` + limited(max(limit, 0)),
		args: []any{after},
	})
}

func scanEvent(rows cursor) (e registry.Event, err error) {
	var at int64
	var kind, mac string
	if err := rows.Scan(&e.Seq, &at, &kind, &e.Machine, &mac, &e.Message); err != nil {
		return e, err
	}
	e.At, e.Kind = moment(at), registry.Kind(kind)
	return e, e.MAC.UnmarshalText([]byte(mac))
}

// LastEvent is the number of the newest event; 0 when there is none.
func (s *Store) LastEvent(ctx context.Context) (last int64, err error) {
	rows, err := s.db.read(ctx, statement{name: "load last event", sql: `SELECT coalesce(max(seq), 0) FROM events`})
	if err != nil {
		return 0, err
	}
	return last, one(rows, &last)
}

// Seen returns the last signs of life after a time by machine ID.
func (s *Store) Seen(ctx context.Context, after time.Time) (map[string]time.Time, error) {
	rows, err := s.db.read(ctx, statement{name: "load signs of life",
		sql: `SELECT id, seen_ms FROM machine_seen WHERE seen_ms > ?1`, args: []any{millis(after)}})
	if err != nil {
		return nil, err
	}
	seen := map[string]time.Time{}
	for rows.Next() {
		var id string
		var at int64
		if err := rows.Scan(&id, &at); err != nil {
			return nil, fmt.Errorf("load signs of life: %w", err)
		}
		seen[id] = moment(at)
	}
	return seen, nil
}

// Touch records signs of life by machine ID; an earlier one never replaces a
// later one, and an unknown ID is ignored.
func (s *Store) Touch(ctx context.Context, seen map[string]time.Time) error {
	w := &writes{}
	for id, at := range seen {
		if at.IsZero() {
			continue
		}
		if err := w.add(touchSeen, id, millis(at)); err != nil {
			return err
		}
	}
	statements := w.statements()
	if len(statements) == 0 {
		return nil
	}
	return s.db.write(ctx, statements...)
}
