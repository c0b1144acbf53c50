package rqlite

import (
	"context"
	"fmt"
	"strings"

	"dragonfly/registry"
)

// Tally is [registry.Searches.Tally].
func (s *Store) Tally(ctx context.Context, q registry.Query, by registry.TallyBy) ([]registry.Tally, error) {
	if err := by.Check(); err != nil {
		return nil, err
	}
	if err := q.Check(); err != nil {
		return nil, err
	}
	narrowed, err := s.narrow(ctx, q.Filter, q.Now)
	if err != nil {
		return nil, err
	}
	stmt, err := tally(q, by, narrowed)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.read(ctx, stmt)
	if err != nil {
		return nil, err
	}
	var found []registry.Tally
	for rows.Next() {
		var t registry.Tally
		if err := rows.Scan(&t.Value, &t.N); err != nil {
			return nil, fmt.Errorf("%s: %w", stmt.name, err)
		}
		if t.N > 0 || by.Field != registry.FieldAny {
			found = append(found, t)
		}
	}
	return found, nil
}

// tally is the statement that counts.
func tally(q registry.Query, by registry.TallyBy, n narrowed) (statement, error) {
	b := builder{}
	if !n.any {
		b.plain = "+"
	}
	value, from := counted(q, by, &b)
	where, err := conditions(q.Filter, q.Now, &b)
	if err != nil {
		return statement{}, err
	}
	if !n.any {
		rows, err := list(n.rows)
		if err != nil {
			return statement{}, err
		}
		where = append(where, "m.row IN (SELECT value FROM json_each("+b.param(rows)+"))")
	}
	if by.Field == registry.FieldLabel && by.Key != "" {
		where = append(where, "c.key = "+b.text(by.Key))
	}
	if by.Part != "" {
		where = append(where, "instr(lower("+value+"), "+b.text(registry.Fold(by.Part))+") > 0")
	}
	text, count := "min("+value+")", "count(*)"
	switch by.Field {
	case registry.FieldTag, registry.FieldLabel: // one machine may have a value in several cases
		count = "count(DISTINCT m.row)"
	case registry.FieldAny:
		text = "''"
	}
	sql := "SELECT " + text + ", " + count + " FROM " + from + " LEFT JOIN machine_seen s ON s.id = m.id"
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	if by.Field != registry.FieldAny {
		sql += " GROUP BY " + value + " COLLATE NOCASE ORDER BY 2 DESC, lower(" + value + ")"
	}
	if by.Limit > 0 {
		sql += limited(by.Limit)
	}
	return statement{name: "count machines", sql: sql, args: b.args}, nil
}

// counted is the values that are counted, and where they are.
func counted(q registry.Query, by registry.TallyBy, b *builder) (value, from string) {
	switch by.Field {
	case registry.FieldTag:
		return "c.tag", "machine_tags c JOIN machines m ON m.id = c.machine"
	case registry.FieldLabel:
		value = "c.value"
		if by.Key == "" {
			value = "c.key"
		}
		return value, "machine_labels c JOIN machines m ON m.id = c.machine"
	case registry.FieldLocked:
		return "(CASE m.locked WHEN 0 THEN 'no' ELSE 'yes' END)", "machines m"
	case registry.FieldOnline:
		return onlineText(q.Now, b), "machines m"
	}
	return column(by.Field), "machines m"
}
