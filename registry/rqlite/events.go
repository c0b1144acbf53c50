package rqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rqlite/gorqlite"

	"dragonfly/registry"
)

// Events returns up to limit events with a number above after, in order.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]registry.Event, error) {
	return scan(ctx, s, scanEvent, statement{
		name: "load events",
		sql:  `SELECT seq, at_ms, kind, machine, mac, message FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2`,
		args: []any{after, max(limit, 0)},
	})
}

func scanEvent(rows *gorqlite.QueryResult) (e registry.Event, err error) {
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

// eventRow is an event as a parameter.
type eventRow struct {
	At      int64         `json:"at"`
	Kind    registry.Kind `json:"kind"`
	Machine string        `json:"machine"`
	MAC     registry.MAC  `json:"mac"`
	Message string        `json:"message"`
}

// appendEvents numbers the events in their order.
func appendEvents(events []registry.Event) (statement, error) {
	rows := make([]eventRow, 0, len(events))
	for _, e := range events {
		rows = append(rows, eventRow{millis(e.At), e.Kind, e.Machine, e.MAC, e.Message})
	}
	param, err := list(rows)
	return statement{
		name: "append events",
		sql: `INSERT INTO events (at_ms, kind, machine, mac, message)
			SELECT value ->> 'at', value ->> 'kind', value ->> 'machine', value ->> 'mac', value ->> 'message'
			FROM json_each(?1) ORDER BY key`,
		args: []any{param},
	}, err
}

// Touch records signs of life by machine ID; an earlier one never replaces a
// later one, and an unknown ID is ignored.
func (s *Store) Touch(ctx context.Context, seen map[string]time.Time) error {
	ms := make(map[string]int64, len(seen))
	for id, at := range seen {
		if !at.IsZero() {
			ms[id] = at.UnixMilli()
		}
	}
	if len(ms) == 0 {
		return nil
	}
	param, err := json.Marshal(ms)
	if err != nil {
		return fmt.Errorf("record signs of life: %w", err)
	}
	return s.db.write(ctx, touch(string(param)))
}

// touch records signs of life, given as a JSON object of ID to milliseconds.
func touch(seen string) statement {
	return statement{
		name: "record signs of life",
		sql: `INSERT INTO machine_seen (id, seen_ms)
			SELECT m.id, t.value FROM json_each(?1) t JOIN machines m ON m.id = t.key WHERE true
			ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms WHERE excluded.seen_ms > seen_ms`,
		args: []any{seen},
	}
}
