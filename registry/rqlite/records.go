package rqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"dragonfly/registry"
)

// Timeline returns up to limit events of one machine with a number below before
// (0: the newest), newest first.
func (s *Store) Timeline(ctx context.Context, machine string, before int64, limit int) ([]registry.Event, error) {
	return s.events(ctx, statement{
		name: "load timeline",
		sql: `SELECT * FROM events
			WHERE machine = ?1 ->> '$' AND (?2 = 0 OR seq < ?2) ORDER BY seq DESC` + limited(max(limit, 0)),
		args: []any{text(machine), before},
	})
}

// maxHistory is how many hardware records of a machine are kept.
const maxHistory = 50

// History returns up to limit hardware records of a machine, newest first.
func (s *Store) History(ctx context.Context, machine string, limit int) ([]registry.HardwareRecord, error) {
	read := func(rows cursor) (r registry.HardwareRecord, err error) {
		var at int64
		var data string
		if err := rows.Scan(&r.Machine, &at, &data); err != nil {
			return r, err
		}
		r.At = moment(at)
		r.Hardware, err = unpackHardware(data)
		return r, err
	}
	return scan(ctx, s, read, statement{
		name: "load hardware history",
		sql: `SELECT machine, at_ms, ` + packedColumn("data") + ` FROM (
				SELECT m.id AS machine, h.at_ms, h.data, true AS newest, 0 AS seq
				FROM machines m JOIN machine_hardware h ON h.row = m.row WHERE m.id = ?1 ->> '$' AND h.at_ms > 0
				UNION ALL SELECT machine, at_ms, data, false, seq FROM hardware_history WHERE machine = ?1 ->> '$')
			ORDER BY newest DESC, at_ms DESC, seq DESC` + limited(min(max(limit, 0), maxHistory)),
		args: []any{text(machine)},
	})
}

// Audit returns up to limit entries with a number below before (0: the newest),
// newest first; of one object where it is set.
func (s *Store) Audit(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error) {
	b := builder{}
	where := "(" + b.param(before) + " = 0 OR seq < ?1)"
	if object != "" {
		where += " AND object = " + b.text(object)
	}
	sql := `SELECT seq, at_ms, actor, role, origin, action, object, before, after FROM audit WHERE ` + where +
		" ORDER BY seq DESC" + limited(max(limit, 0))
	return scan(ctx, s, scanAudit, statement{name: "load audit", sql: sql, args: b.args})
}

func scanAudit(rows cursor) (e registry.AuditEntry, err error) {
	var at int64
	var before, after string
	err = rows.Scan(&e.Seq, &at, &e.Actor.Name, &e.Actor.Role, &e.Actor.From, &e.Action, &e.Object, &before, &after)
	e.At = moment(at)
	if before != "" {
		e.Before = json.RawMessage(before)
	}
	if after != "" {
		e.After = json.RawMessage(after)
	}
	return e, err
}

// Rules returns the rules on registration; the zero RuleSet before any.
func (s *Store) Rules(ctx context.Context) (rules registry.RuleSet, err error) {
	rules.Version, err = s.versioned(ctx, settingRules, &rules.Rules)
	return rules, err
}

// Defaults returns what deployments begin from; the zero value before any.
func (s *Store) Defaults(ctx context.Context) (d registry.SealedDefaults, err error) {
	d.Version, err = s.versioned(ctx, settingDefaults, &d.Sealed)
	return d, err
}

// versioned reads a document there is one of, and its version; 0 before there is any.
func (s *Store) versioned(ctx context.Context, name string, into any) (version int64, err error) {
	found, err := scan(ctx, s, func(rows cursor) (version int64, err error) {
		var data string
		if err := rows.Scan(&version, &data); err != nil {
			return 0, err
		}
		return version, json.Unmarshal([]byte(data), into)
	}, statement{
		name: "load " + name,
		sql:  `SELECT version, data FROM settings WHERE name = ?1 ->> '$'`,
		args: []any{text(name)},
	})
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// scan runs a query and reads every row.
func scan[T any](ctx context.Context, s *Store, read func(cursor) (T, error), query statement) ([]T, error) {
	rows, err := s.db.read(ctx, query)
	if err != nil {
		return nil, err
	}
	var found []T
	for rows.Next() {
		value, err := read(rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", query.name, err)
		}
		found = append(found, value)
	}
	return found, nil
}
