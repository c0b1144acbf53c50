package rqlite

import (
	"context"
	"fmt"
	"time"

	quick "github.com/segmentio/encoding/json"

	"dragonfly/registry"
)

// Events returns up to limit events with a number above after, in order.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]registry.Event, error) {
	return s.events(ctx, statement{
		name: "load events",
		sql:  `SELECT * FROM events WHERE seq > ?1 ORDER BY seq` + limited(max(limit, 0)),
		args: []any{after},
	})
}

// event is an event as [Store.events] reads it.
type event struct {
	Seq     int64         `json:"seq"`
	At      int64         `json:"at"`
	Kind    registry.Kind `json:"kind"`
	Machine string        `json:"machine"`
	MAC     registry.MAC  `json:"mac"`
	Message string        `json:"message"`
}

// events runs a query of rows of events. They come as one text, since rows cost more to
// hand over than to find: every event is read again by each server.
func (s *Store) events(ctx context.Context, query statement) ([]registry.Event, error) {
	query.sql = `SELECT json_group_array(json_object('seq', seq, 'at', at_ms, 'kind', kind, 'machine', machine, 'mac', mac, 'message', message)) FROM (` + query.sql + ")"
	texts, err := scan(ctx, s, func(rows cursor) (text string, err error) { return text, rows.Scan(&text) }, query)
	if err != nil || len(texts) == 0 {
		return nil, err
	}
	var rows []event
	if _, err := quick.Parse([]byte(texts[0]), &rows, quick.ZeroCopy); err != nil {
		return nil, fmt.Errorf("%s: %w", query.name, err)
	}
	var found []registry.Event
	for _, r := range rows {
		found = append(found, registry.Event{Seq: r.Seq, At: moment(r.At), Kind: r.Kind, Machine: r.Machine, MAC: r.MAC, Message: r.Message})
	}
	return found, nil
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
