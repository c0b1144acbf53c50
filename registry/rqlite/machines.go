package rqlite

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/segmentio/encoding/json"

	"dragonfly/registry"
)

// The bounds of one answer: rqlite and its client hold it in memory several times
// over, and a machine is some 4 kB, or a hundred bytes where it is bare.
const (
	pageSize     = 500
	barePageSize = 5000
)

// Machines returns the machines that match q, in its order. More than fit one answer are
// read page by page, each as it is at that moment.
func (s *Store) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	most := pageSize
	if q.Bare {
		most = barePageSize
	}
	narrowed, err := s.narrow(ctx, q.Filter, q.Now)
	if err != nil {
		return nil, err
	}
	var found []registry.Machine
	for {
		page := q
		page.Limit = most
		if q.Limit > 0 {
			page.Limit = min(q.Limit-len(found), most)
		}
		machines, err := s.page(ctx, page, narrowed)
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

// Versions returns the versions of machines by their IDs; an ID that there is no
// machine of is left out.
func (s *Store) Versions(ctx context.Context, ids []string) (map[string]int64, error) {
	wanted, err := list(ids)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.read(ctx, statement{
		name: "load versions of machines",
		sql:  `SELECT id, version FROM machines WHERE id IN (SELECT value FROM json_each(?1))`,
		args: []any{wanted},
	})
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{}
	for rows.Next() {
		var id string
		var version int64
		if err := rows.Scan(&id, &version); err != nil {
			return nil, fmt.Errorf("load versions of machines: %w", err)
		}
		versions[id] = version
	}
	return versions, nil
}

func (s *Store) page(ctx context.Context, q registry.Query, n narrowed) ([]registry.Machine, error) {
	if !n.any && len(n.rows) == 0 {
		return nil, nil
	}
	stmt, err := selection(q, n)
	if err != nil {
		return nil, err
	}
	if q.Bare {
		return scan(ctx, s, scanBare, stmt)
	}
	return scan(ctx, s, scanMachine, stmt)
}

// selectBare has the columns in the order of [scanBare].
const selectBare = `SELECT m.id, m.name, m.state, m.serial, m.uuid, m.deadline_ms, coalesce(s.seen_ms, 0), m.version, m.macs, m.boot_next
	FROM machines m LEFT JOIN machine_seen s ON s.id = m.id`

// selectMachines has the columns in the order of [scanMachine].
const selectMachines = `SELECT m.id, m.name, m.state, m.reason, m.hostname, m.address, m.pending, m.owner,
	m.created_ms, m.registered_ms, m.deadline_ms, coalesce(s.seen_ms, 0), m.version, m.operator, %s, m.macs,
	m.deployment, m.boot_next
	FROM machines m LEFT JOIN machine_seen s ON s.id = m.id`

// selection is the statement for q. Only what is set becomes part of it: with
// `?1 IS NULL OR ...` SQLite would read every row instead of an index.
func selection(q registry.Query, n narrowed) (statement, error) {
	b := builder{plain: "+"} // what is known, or the order, leads; not the index of another column
	ids, err := identified(q, &b)
	if err != nil {
		return statement{}, err
	}
	where, err := conditions(q.Filter, q.Now, &b)
	if err != nil {
		return statement{}, err
	}
	if len(ids) > 0 {
		where = append(where, "m.id IN ("+strings.Join(ids, " UNION ")+")")
	}
	if !n.any {
		rows, err := list(n.rows)
		if err != nil {
			return statement{}, err
		}
		where = append(where, "m.row IN (SELECT value FROM json_each("+b.param(rows)+"))")
	}
	order, behind, err := ordered(q.Sort, q.After, &b)
	if err != nil {
		return statement{}, err
	}
	if behind != "" {
		where = append(where, behind)
	}
	hardware := "(SELECT " + packedColumn("data") + " FROM machine_hardware WHERE row = m.row)"
	if q.Brief {
		hardware = "m.brief"
	}
	sql := fmt.Sprintf(selectMachines, hardware)
	if q.Bare {
		sql = selectBare
	}
	sql += within(where, order, q.Limit, len(q.Filter) > 0)
	return statement{name: "load machines", sql: sql, args: b.args, latest: q.Latest}, nil
}

// within is the rest of a selection. Where a filter is, the rows are found first and
// read then: else SQLite would sort them whole.
func within(where []string, order string, limit int, filtered bool) string {
	sql := ""
	if len(where) > 0 {
		sql = " WHERE " + strings.Join(where, " AND ")
	}
	sql += " ORDER BY " + order + limited(limit)
	if !filtered {
		return sql
	}
	return " WHERE m.row IN (SELECT m.row FROM machines m LEFT JOIN machine_seen s ON s.id = m.id" + sql + ") ORDER BY " + order
}

// limited is the end of a query that wants up to n rows. The number is no parameter:
// SQLite makes its plan by the value, and would prepare the statement a second time.
func limited(n int) string { return fmt.Sprintf(" LIMIT %d", n) }

// ordered is the order of s, and the condition for what is behind a position.
func ordered(s registry.Sort, after registry.Position, b *builder) (order, behind string, err error) {
	column, than, direction := "", ">", ""
	if s.Desc {
		than, direction = "<", " DESC"
	}
	switch s.Field {
	case registry.SortName:
		order = "m.name" + direction
		if after != (registry.Position{}) {
			behind = "m.name " + than + " " + b.text(after.Key)
		}
		return order, behind, nil
	case registry.SortState:
		column = "m.state"
	case registry.SortVendor, registry.SortModel:
		column = "m." + string(s.Field) + " COLLATE NOCASE"
	case registry.SortCreated, registry.SortRegistered:
		column = "m." + string(s.Field) + "_ms"
	default:
		return "", "", fmt.Errorf("sort by %q: no such field", s.Field)
	}
	order = column + direction + ", m.id" + direction
	if after == (registry.Position{}) {
		return order, "", nil
	}
	key := b.text(after.Key)
	if strings.HasSuffix(column, "_ms") {
		key = "CAST(" + key + " AS INTEGER)"
	}
	return order, "(" + column + ", m.id) " + than + " (" + key + ", " + b.text(after.ID) + ")", nil
}

// identified returns one query of machine IDs for each way q names machines.
func identified(q registry.Query, b *builder) ([]string, error) {
	var ids []string
	macs := make([]string, len(q.MACs))
	for i, mac := range q.MACs {
		macs[i] = mac.String()
	}
	for _, by := range []struct {
		values []string
		from   string
	}{
		{q.IDs, "%s"},
		{q.Names, "SELECT id FROM machines WHERE name IN (%s)"},
		{macs, "SELECT machine FROM machine_macs WHERE mac IN (%s)"},
	} {
		if len(by.values) == 0 {
			continue
		}
		values, err := b.texts(by.values)
		if err != nil {
			return nil, fmt.Errorf("load machines: %w", err)
		}
		ids = append(ids, fmt.Sprintf(by.from, values))
	}
	for _, by := range []struct{ column, value string }{{"uuid", q.UUID}, {"serial", q.Serial}} {
		if by.value != "" { // COLLATE NOCASE, as its index
			value := b.text(by.value)
			ids = append(ids, "SELECT id FROM machines WHERE "+by.column+" = "+value+" COLLATE NOCASE AND "+by.column+" = "+value)
		}
	}
	return ids, nil
}

// builder numbers parameters.
type builder struct {
	args  []any
	plain string // before a column: "+" keeps SQLite from using its index
}

// param adds a parameter and returns what stands for it.
func (b *builder) param(value any) string {
	b.args = append(b.args, value)
	return fmt.Sprintf("?%d", len(b.args))
}

// text is param for a string.
func (b *builder) text(s string) string { return "(" + b.param(text(s)) + " ->> '$')" }

// texts is a query of some strings. One is no list, of which SQLite would have more to
// prepare than to do.
func (b *builder) texts(values []string) (string, error) {
	if len(values) == 1 {
		return "SELECT " + b.text(values[0]), nil
	}
	param, err := list(values)
	return "SELECT value FROM json_each(" + b.param(param) + ")", err
}

// operatorJSON is what the operator says of a machine, as it is stored.
type operatorJSON struct {
	Note   string            `json:"note,omitempty"`
	Tags   []string          `json:"tags,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	OS     string            `json:"os,omitempty"`
	Lock   *lockJSON         `json:"lock,omitempty"`
	Boot   string            `json:"agent_boot,omitempty"` // of the machine itself
}

type lockJSON struct {
	By   string `json:"by"`
	Note string `json:"note"`
	At   int64  `json:"at_ms"`
}

func scanMachine(rows cursor) (m registry.Machine, err error) {
	var state, address, pending, operator, hardware, macs, next string
	var created, registered, deadline, seen int64
	err = rows.Scan(&m.ID, &m.Name, &state, &m.Reason, &m.Hostname, &address, &pending, &m.Owner,
		&created, &registered, &deadline, &seen, &m.Version, &operator, &hardware, &macs,
		&m.Deployment, &next)
	if err != nil {
		return m, err
	}
	m.State, m.Pending, m.BootNext = registry.State(state), registry.Instruction(pending), registry.BootTarget(next)
	m.CreatedAt, m.RegisteredAt, m.Deadline, m.SeenAt = moment(created), moment(registered), moment(deadline), moment(seen)
	if address != "" {
		if m.Address, err = netip.ParseAddr(address); err != nil {
			return m, err
		}
	}
	if m.MACs, err = scanMACs(macs); err != nil {
		return m, err
	}
	if m.Hardware, err = unpackHardware(hardware); err != nil {
		return m, err
	}
	return m, scanOperator(operator, &m)
}

func scanBare(rows cursor) (m registry.Machine, err error) {
	var state, macs, next string
	var deadline, seen int64
	if err := rows.Scan(&m.ID, &m.Name, &state, &m.Hardware.System.Serial, &m.Hardware.System.UUID, &deadline, &seen, &m.Version, &macs, &next); err != nil {
		return m, err
	}
	m.State, m.BootNext, m.Deadline, m.SeenAt = registry.State(state), registry.BootTarget(next), moment(deadline), moment(seen)
	m.MACs, err = scanMACs(macs)
	return m, err
}

// scanMACs reads a JSON array of addresses as SQLite writes it, without a space.
func scanMACs(text string) (macs []registry.MAC, err error) {
	list := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	if list == "" {
		return nil, nil
	}
	macs = make([]registry.MAC, 0, strings.Count(list, ",")+1)
	for quoted := range strings.SplitSeq(list, ",") {
		mac, err := registry.ParseMAC(strings.Trim(quoted, `"`))
		if err != nil {
			return nil, fmt.Errorf("hardware addresses: %w", err)
		}
		macs = append(macs, mac)
	}
	return macs, nil
}

func scanOperator(text string, m *registry.Machine) error {
	if text == "{}" { // of most machines
		return nil
	}
	var o operatorJSON
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("what the operator says: %w", err)
	}
	m.Note, m.Tags, m.Labels, m.OS, m.AgentBoot = o.Note, o.Tags, o.Labels, o.OS, o.Boot
	if o.Lock != nil {
		m.Lock = &registry.Lock{By: o.Lock.By, Note: o.Lock.Note, At: moment(o.Lock.At)}
	}
	return nil
}
