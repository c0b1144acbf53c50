package rqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// errApplied says that the operation was applied before.
var errApplied = errors.New("already applied")

// Commit applies c in one transaction, or nothing of it.
func (s *Store) Commit(ctx context.Context, c registry.Change) error {
	statements, err := plan(c)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	err = s.db.write(ctx, statements...)
	if err == errApplied {
		return nil
	}
	if lost, ok := errors.AsType[*registry.ConflictError](err); ok {
		lost.Stored = s.version(ctx, lost.Object)
	}
	return err
}

// version is that of a machine ("machine m-7f3a") or of the rules as it is now,
// for the error that names it; 0 where it cannot be told.
func (s *Store) version(ctx context.Context, object string) (version int64) {
	query := statement{name: "load version", sql: `SELECT version FROM settings WHERE name = ?1 ->> '$'`, args: []any{text(object)}}
	if id, isMachine := strings.CutPrefix(object, "machine "); isMachine {
		query.sql, query.args = `SELECT version FROM machines WHERE id = ?1 ->> '$'`, []any{text(id)}
	}
	rows, err := s.db.read(ctx, query)
	if err != nil || one(rows, &version) != nil {
		return 0
	}
	return version
}

// plan is c as SQL. Machines go before they come, and every address is given up
// before one is taken, so that names and addresses can move within a change.
func plan(c registry.Change) ([]statement, error) {
	if c.Op == "" {
		return nil, errors.New("the change has no operation id")
	}
	batch := []statement{{
		name: "record operation",
		sql:  `INSERT INTO ops (op, at_ms) VALUES (?1 ->> '$', ?2)`,
		args: []any{text(c.Op), millis(time.Now())},
		lost: map[string]error{"UNIQUE constraint failed: ops.op": errApplied},
	}}
	machines, err := planMachines(c)
	if err != nil {
		return nil, err
	}
	records, err := planRecords(c)
	return slices.Concat(batch, machines, records), err
}

func planMachines(c registry.Change) ([]statement, error) {
	if len(c.Put)+len(c.Delete) == 0 {
		return nil, nil
	}
	free, err := freeAddresses(slices.Concat(c.Delete, c.Put))
	if err != nil {
		return nil, err
	}
	batch := []statement{free}
	for _, m := range c.Delete {
		batch = append(batch, remove(c.Op, m)...)
	}
	for _, m := range c.Put {
		puts, err := put(c.Op, m)
		if err != nil {
			return nil, fmt.Errorf("machine %s: %w", m.ID, err)
		}
		batch = append(batch, puts...)
	}
	return batch, nil
}

// guard fails the transaction unless the machine still has the version that was
// read; no machine counts as version 0. SQL has no "fail if", so the guard
// rewrites the one row that is sure to be there, the operation that was recorded
// before: with its own time, or with NULL, which that column refuses.
func guard(op string, m registry.Machine) statement {
	return statement{
		name: "check machine version",
		sql: `UPDATE ops SET at_ms = CASE coalesce((SELECT version FROM machines WHERE id = ?2 ->> '$'), 0)
			WHEN ?3 THEN at_ms END WHERE op = ?1 ->> '$'`,
		args: []any{text(op), text(m.ID), m.Version},
		lost: map[string]error{"NOT NULL constraint failed: ops.at_ms": conflict("machine "+m.ID, m)},
	}
}

func conflict(object string, m registry.Machine) error {
	return &registry.ConflictError{Object: object, Read: m.Version}
}

// freeAddresses takes all addresses away from the machines.
func freeAddresses(machines []registry.Machine) (statement, error) {
	ids := make([]string, 0, len(machines))
	for _, m := range machines {
		ids = append(ids, m.ID)
	}
	param, err := list(ids)
	return statement{
		name: "free hardware addresses",
		sql:  `DELETE FROM machine_macs WHERE machine IN (SELECT value FROM json_each(?1))`,
		args: []any{param},
	}, err
}

func remove(op string, m registry.Machine) []statement {
	args := []any{text(m.ID)}
	batch := []statement{
		guard(op, m),
		{name: "delete machine", sql: `DELETE FROM machines WHERE id = ?1 ->> '$'`, args: args},
		{name: "delete sign of life", sql: `DELETE FROM machine_seen WHERE id = ?1 ->> '$'`, args: args},
	}
	for _, table := range belongings() {
		batch = append(batch, statement{name: "delete from " + table, sql: `DELETE FROM ` + table + ` WHERE machine = ?1 ->> '$'`, args: args})
	}
	return batch
}

// machineRow is a row of machines as a parameter: every value is taken out of this
// one JSON text.
type machineRow struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	State      registry.State       `json:"state"`
	Reason     string               `json:"reason"`
	Hostname   string               `json:"hostname"`
	Serial     string               `json:"serial"`
	UUID       string               `json:"uuid"`
	Vendor     string               `json:"vendor"`
	Model      string               `json:"model"`
	Arch       string               `json:"arch"`
	Address    string               `json:"address"`
	BMC        string               `json:"bmc"`
	Owner      string               `json:"owner"`
	Locked     int                  `json:"locked"`
	Pending    registry.Instruction `json:"pending"`
	Created    int64                `json:"created"`
	Registered int64                `json:"registered"`
	Deadline   int64                `json:"deadline"`
	Version    int64                `json:"version"`
	Operator   operatorJSON         `json:"operator"`
	Brief      registry.Hardware    `json:"brief"`
}

func rowOf(m registry.Machine) machineRow {
	system := m.Hardware.System
	row := machineRow{
		ID: m.ID, Name: m.Name, State: m.State, Reason: m.Reason, Hostname: m.Hostname,
		Serial: system.Serial, UUID: system.UUID, Vendor: system.Vendor, Model: system.Product,
		Arch: m.Hardware.CPU.Arch, BMC: bmc(m), Owner: m.Owner, Pending: m.Pending,
		Created: millis(m.CreatedAt), Registered: millis(m.RegisteredAt), Deadline: millis(m.Deadline),
		Version: m.Version + 1, Operator: operatorJSON{Note: m.Note, Tags: m.Tags, Labels: m.Labels},
		Brief: m.Hardware.Brief(),
	}
	if m.Address.IsValid() {
		row.Address = m.Address.String()
	}
	if m.Lock != nil {
		row.Locked, row.Operator.Lock = 1, &lockJSON{By: m.Lock.By, Note: m.Lock.Note, At: millis(m.Lock.At)}
	}
	return row
}

// putMachine has "WHERE true" because SQLite would take "ON CONFLICT" after a
// SELECT for a join.
const putMachine = `INSERT INTO machines (id, name, state, reason, hostname, serial, uuid, vendor, model, arch, address,
		bmc, owner, locked, pending, created_ms, registered_ms, deadline_ms, version, operator, brief)
	SELECT j ->> 'id', j ->> 'name', j ->> 'state', j ->> 'reason', j ->> 'hostname', j ->> 'serial', j ->> 'uuid',
		j ->> 'vendor', j ->> 'model', j ->> 'arch', j ->> 'address', j ->> 'bmc', j ->> 'owner', j ->> 'locked', j ->> 'pending',
		j ->> 'created', j ->> 'registered', j ->> 'deadline', j ->> 'version', j -> 'operator', j -> 'brief'
	FROM (SELECT ?1 AS j) WHERE true
	ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, reason = excluded.reason,
		hostname = excluded.hostname, serial = excluded.serial, uuid = excluded.uuid, vendor = excluded.vendor,
		model = excluded.model, arch = excluded.arch, address = excluded.address, bmc = excluded.bmc,
		owner = excluded.owner, locked = excluded.locked, pending = excluded.pending, created_ms = excluded.created_ms,
		registered_ms = excluded.registered_ms, deadline_ms = excluded.deadline_ms, version = excluded.version,
		operator = excluded.operator, brief = excluded.brief`

func put(op string, m registry.Machine) ([]statement, error) {
	row, err := json.Marshal(rowOf(m))
	if err != nil {
		return nil, err
	}
	batch := []statement{guard(op, m), {
		name: "store machine",
		sql:  putMachine,
		args: []any{string(row)},
		lost: map[string]error{"UNIQUE constraint failed: machines.name": conflict("name "+m.Name, m)},
	}}
	for i, mac := range m.MACs {
		batch = append(batch, statement{
			name: "store hardware address",
			sql:  `INSERT INTO machine_macs (mac, machine, position) VALUES (?1, ?2 ->> '$', ?3)`,
			args: []any{mac.String(), text(m.ID), i},
			lost: map[string]error{"UNIQUE constraint failed: machine_macs.mac": conflict("hardware address "+mac.String(), m)},
		})
	}
	if !m.SeenAt.IsZero() {
		seen, err := json.Marshal(map[string]int64{m.ID: m.SeenAt.UnixMilli()})
		if err != nil {
			return nil, err
		}
		batch = append(batch, touch(string(seen)))
	}
	belongings, err := putBelongings(m)
	return append(batch, belongings...), err
}
