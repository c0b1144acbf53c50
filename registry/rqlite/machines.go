package rqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/rqlite/gorqlite"

	"dragonfly/registry"
)

// pageSize bounds one answer: rqlite and its client hold it in memory several
// times over, and a machine is some 4 kB.
const pageSize = 500

// Machines returns the machines that match q, ordered by name. More than 500 are
// read page by page, each as it is at that moment.
func (s *Store) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	var found []registry.Machine
	for {
		page := q
		page.Limit = pageSize
		if q.Limit > 0 {
			page.Limit = min(q.Limit-len(found), pageSize)
		}
		machines, err := s.page(ctx, page)
		if err != nil {
			return nil, err
		}
		found = append(found, machines...)
		if len(machines) < page.Limit || len(found) == q.Limit {
			return found, nil
		}
		q.After = q.Sort.Position(machines[len(machines)-1])
	}
}

func (s *Store) page(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	stmt, err := selection(q)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.read(ctx, stmt)
	if err != nil {
		return nil, err
	}
	var machines []registry.Machine
	for rows.Next() {
		m, err := scanMachine(rows)
		if err != nil {
			return nil, fmt.Errorf("load machine %s: %w", m.ID, err)
		}
		machines = append(machines, m)
	}
	return machines, nil
}

// selectMachines has the columns in the order of [scanMachine].
const selectMachines = `SELECT m.id, m.name, m.state, m.reason, m.hostname, m.address, m.pending,
	m.created_ms, m.registered_ms, coalesce(s.seen_ms, 0), m.version, m.data,
	(SELECT json_group_array(mac ORDER BY position) FROM machine_macs WHERE machine = m.id)
	FROM machines m LEFT JOIN machine_seen s ON s.id = m.id`

// selection is the statement for q. Only what is set becomes part of it: with
// `?1 IS NULL OR ...` SQLite would read every row instead of an index.
func selection(q registry.Query) (statement, error) {
	b := builder{}
	ids, err := identified(q, &b)
	if err != nil {
		return statement{}, err
	}
	var where []string
	if len(ids) > 0 {
		where = append(where, "m.id IN ("+strings.Join(ids, " UNION ")+")")
	}
	if q.State != "" {
		where = append(where, "m.state = "+b.text(string(q.State)))
	}
	if q.After.Name != "" {
		where = append(where, "m.name > "+b.text(q.After.Name))
	}
	sql := selectMachines
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	sql += " ORDER BY m.name LIMIT " + b.param(q.Limit)
	return statement{name: "load machines", sql: sql, args: b.args}, nil
}

// identified returns one query of machine IDs for each way q names machines.
func identified(q registry.Query, b *builder) ([]string, error) {
	var ids []string
	for _, by := range []struct {
		values any // a slice
		count  int
		from   string
	}{
		{q.IDs, len(q.IDs), "SELECT value FROM json_each(%s)"},
		{q.Names, len(q.Names), "SELECT id FROM machines WHERE name IN (SELECT value FROM json_each(%s))"},
		{q.MACs, len(q.MACs), "SELECT machine FROM machine_macs WHERE mac IN (SELECT value FROM json_each(%s))"},
	} {
		if by.count == 0 {
			continue
		}
		param, err := json.Marshal(by.values)
		if err != nil {
			return nil, fmt.Errorf("load machines: %w", err)
		}
		ids = append(ids, fmt.Sprintf(by.from, b.param(string(param))))
	}
	if q.UUID != "" {
		ids = append(ids, "SELECT id FROM machines WHERE uuid = "+b.text(q.UUID))
	}
	if q.Serial != "" {
		ids = append(ids, "SELECT id FROM machines WHERE serial = "+b.text(q.Serial))
	}
	return ids, nil
}

// builder numbers parameters.
type builder struct{ args []any }

// param adds a parameter and returns what stands for it.
func (b *builder) param(value any) string {
	b.args = append(b.args, value)
	return fmt.Sprintf("?%d", len(b.args))
}

// text is param for a string.
func (b *builder) text(s string) string { return "(" + b.param(text(s)) + " ->> '$')" }

func scanMachine(rows *gorqlite.QueryResult) (m registry.Machine, err error) {
	var state, address, pending, hardware, macs string
	var created, registered, seen int64
	err = rows.Scan(&m.ID, &m.Name, &state, &m.Reason, &m.Hostname, &address, &pending,
		&created, &registered, &seen, &m.Version, &hardware, &macs)
	if err != nil {
		return m, err
	}
	m.State, m.Pending = registry.State(state), registry.Instruction(pending)
	m.CreatedAt, m.RegisteredAt, m.SeenAt = moment(created), moment(registered), moment(seen)
	if address != "" {
		if m.Address, err = netip.ParseAddr(address); err != nil {
			return m, err
		}
	}
	if err := json.Unmarshal([]byte(macs), &m.MACs); err != nil {
		return m, fmt.Errorf("hardware addresses: %w", err)
	}
	if len(m.MACs) == 0 {
		m.MACs = nil
	}
	if err := json.Unmarshal([]byte(hardware), &m.Hardware); err != nil {
		return m, fmt.Errorf("hardware: %w", err)
	}
	return m, nil
}
