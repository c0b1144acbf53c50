package rqlite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dragonfly/registry"
)

// step is one statement of a transaction. Its only parameter is a JSON array of
// rows, so that however many changes share a transaction, it has as many
// statements as one: preparing them is half the cost of a write.
type step int

// The steps, in their order. Machines go before they come, and every address is
// given up before one is taken, so that names and addresses can move.
const (
	recordOperations step = iota
	checkVersions
	checkRules
	freeAddresses
	deleteMachines
	deleteSeen
	deleteHardware
	deleteHistory
	deleteSearch
	freeTags
	freeLabels
	storeMachines
	storeAddresses
	storeHardware
	storeSearch
	storeTags
	storeLabels
	storeSeen
	storeRules
	appendEvents
	appendHistory
	forgetHistory
	appendAudit
	steps
)

// sql returns the name of a step, for errors, and its statement.
func (s step) sql() (name, sql string) {
	text := [steps][2]string{
		recordOperations: {"record operation", `INSERT INTO ops (op, at_ms) SELECT value ->> 'op', value ->> 'at' FROM json_each(?1)`},
		checkVersions:    {"check machine version", checkVersionsSQL},
		checkRules:       {"check version of the rules", checkRulesSQL},
		freeAddresses:    {"free hardware addresses", deleteFrom("machine_macs", "machine")},
		deleteMachines:   {"delete machine", deleteFrom("machines", "id")},
		deleteSeen:       {"delete sign of life", deleteFrom("machine_seen", "id")},
		deleteHardware:   {"delete hardware", deleteFrom("machine_hardware", "machine")},
		deleteHistory:    {"delete hardware history", deleteFrom("hardware_history", "machine")},
		deleteSearch:     {"delete search text", deleteFrom("machine_search", "machine")},
		freeTags:         {"free tags", deleteFrom("machine_tags", "machine")},
		freeLabels:       {"free labels", deleteFrom("machine_labels", "machine")},
		storeMachines:    {"store machine", storeMachinesSQL},
		storeAddresses: {"store hardware address", `INSERT INTO machine_macs (mac, machine, position)
			SELECT value ->> 'mac', value ->> 'machine', value ->> 'position' FROM json_each(?1)`},
		storeHardware: {"store hardware", `INSERT INTO machine_hardware (machine, data)
			SELECT value ->> 'machine', value -> 'data' FROM json_each(?1) WHERE true
			ON CONFLICT (machine) DO UPDATE SET data = excluded.data WHERE data <> excluded.data`},
		storeSearch: {"store search text", `INSERT INTO machine_search (machine, text)
			SELECT value ->> 'machine', value ->> 'text' FROM json_each(?1) WHERE true
			ON CONFLICT (machine) DO UPDATE SET text = excluded.text WHERE text <> excluded.text`},
		storeTags: {"store tags", `INSERT OR IGNORE INTO machine_tags (tag, machine)
			SELECT value ->> 'value', value ->> 'machine' FROM json_each(?1)`},
		storeLabels: {"store labels", `INSERT INTO machine_labels (key, value, machine)
			SELECT value ->> 'key', value ->> 'value', value ->> 'machine' FROM json_each(?1)`},
		storeSeen: {"record signs of life", storeSeenSQL},
		storeRules: {"store rules", `INSERT INTO settings (name, version, data)
			SELECT value ->> 'name', value ->> 'version' + 1, value -> 'rules' FROM json_each(?1) WHERE true
			ON CONFLICT (name) DO UPDATE SET version = excluded.version, data = excluded.data`},
		appendEvents: {"append events", `INSERT INTO events (at_ms, kind, machine, mac, message)
			SELECT value ->> 'at', value ->> 'kind', value ->> 'machine', value ->> 'mac', value ->> 'message'
			FROM json_each(?1) ORDER BY key`},
		appendHistory: {"append hardware history", `INSERT INTO hardware_history (machine, at_ms, data)
			SELECT value ->> 'machine', value ->> 'at', value -> 'data' FROM json_each(?1) ORDER BY key`},
		forgetHistory: {"forget old hardware history", forgetHistorySQL},
		appendAudit: {"append audit", `INSERT INTO audit (at_ms, actor, role, origin, action, object, before, after)
			SELECT value ->> 'at', value ->> 'actor', value ->> 'role', value ->> 'origin', value ->> 'action',
				value ->> 'object', value ->> 'before', value ->> 'after' FROM json_each(?1) ORDER BY key`},
	}[s]
	return text[0], text[1]
}

func deleteFrom(table, column string) string {
	return `DELETE FROM ` + table + ` WHERE ` + column + ` IN (SELECT value FROM json_each(?1))`
}

// checkVersionsSQL fails the transaction unless each machine still has the version
// that was read; no machine counts as version 0. SQL has no "fail if", so it
// rewrites a row that is sure to be there, that of the operation, to NULL, which
// the column refuses. (checkRulesSQL does the same.)
const (
	checkVersionsSQL = `UPDATE ops SET at_ms = NULL WHERE op IN (SELECT w.value ->> 'op' FROM json_each(?1) w
			LEFT JOIN machines m ON m.id = w.value ->> 'id' WHERE coalesce(m.version, 0) <> w.value ->> 'version')`
	checkRulesSQL = `UPDATE ops SET at_ms = NULL WHERE op IN (SELECT w.value ->> 'op' FROM json_each(?1) w
			LEFT JOIN settings r ON r.name = w.value ->> 'name' WHERE coalesce(r.version, 0) <> w.value ->> 'version')`
)

// storeMachinesSQL has "WHERE true" because SQLite would take "ON CONFLICT" after
// a SELECT for a join.
const storeMachinesSQL = `INSERT INTO machines (id, name, state, reason, hostname, serial, uuid, vendor, model, arch, address,
		bmc, owner, locked, pending, created_ms, registered_ms, deadline_ms, version, operator, brief)
	SELECT j ->> 'id', j ->> 'name', j ->> 'state', j ->> 'reason', j ->> 'hostname', j ->> 'serial', j ->> 'uuid',
		j ->> 'vendor', j ->> 'model', j ->> 'arch', j ->> 'address', j ->> 'bmc', j ->> 'owner', j ->> 'locked', j ->> 'pending',
		j ->> 'created', j ->> 'registered', j ->> 'deadline', j ->> 'version', j -> 'operator', j -> 'brief'
	FROM (SELECT value AS j FROM json_each(?1)) WHERE true
	ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, reason = excluded.reason,
		hostname = excluded.hostname, serial = excluded.serial, uuid = excluded.uuid, vendor = excluded.vendor,
		model = excluded.model, arch = excluded.arch, address = excluded.address, bmc = excluded.bmc,
		owner = excluded.owner, locked = excluded.locked, pending = excluded.pending, created_ms = excluded.created_ms,
		registered_ms = excluded.registered_ms, deadline_ms = excluded.deadline_ms, version = excluded.version,
		operator = excluded.operator, brief = excluded.brief`

const storeSeenSQL = `INSERT INTO machine_seen (id, seen_ms)
	SELECT m.id, t.value ->> 'at' FROM json_each(?1) t JOIN machines m ON m.id = t.value ->> 'id' WHERE true
	ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms WHERE excluded.seen_ms > seen_ms`

// forgetHistorySQL keeps the newest 50 records of a machine.
const forgetHistorySQL = `DELETE FROM hardware_history WHERE seq IN (SELECT h.seq FROM json_each(?1) w
	JOIN hardware_history h ON h.machine = w.value
	WHERE (SELECT count(*) FROM hardware_history n WHERE n.machine = h.machine AND n.seq > h.seq) >= 50)`

// writes is what a transaction writes: for each step its rows, as JSON.
type writes [steps][][]byte

// row is a row of a step.
type row map[string]any

// add appends rows to a step.
func (w *writes) add(s step, rows ...any) error {
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil {
			_, name := s.sql()
			return fmt.Errorf("%s: %w", name, err)
		}
		w[s] = append(w[s], text)
	}
	return nil
}

// merge appends the rows of another change.
func (w *writes) merge(other *writes) {
	for s := range w {
		w[s] = append(w[s], other[s]...)
	}
}

// bytes is the size of the parameters.
func (w *writes) bytes() (n int) {
	for _, rows := range w {
		for _, r := range rows {
			n += len(r)
		}
	}
	return n
}

// statements are the steps that have rows.
func (w *writes) statements() []statement {
	var batch []statement
	for s, rows := range w {
		if len(rows) == 0 {
			continue
		}
		param := "[" + string(bytes.Join(rows, []byte(","))) + "]"
		name, sql := step(s).sql()
		batch = append(batch, statement{name: name, sql: sql, args: []any{param}, lost: step(s).lost()})
	}
	return batch
}

// errApplied says that the operation was applied before, errLost that a version,
// a name or an address is not what the change takes it for.
var (
	errApplied = errors.New("already applied")
	errLost    = errors.New("lost race")
)

// lost is what a refusal of the step means.
func (s step) lost() map[string]error {
	switch s {
	case recordOperations:
		return map[string]error{"UNIQUE constraint failed: ops.op": errApplied}
	case checkVersions, checkRules:
		return map[string]error{"NOT NULL constraint failed: ops.at_ms": errLost}
	case storeMachines:
		return map[string]error{"UNIQUE constraint failed: machines.name": errLost}
	case storeAddresses:
		return map[string]error{"UNIQUE constraint failed: machine_macs.mac": errLost}
	}
	return nil
}

// settingRules is the row of settings that holds the rules.
const settingRules = "rules"

// plan is c as rows.
func plan(c registry.Change) (*writes, error) {
	if c.Op == "" {
		return nil, errors.New("the change has no operation id")
	}
	w := &writes{}
	errs := []error{w.add(recordOperations, row{"op": c.Op, "at": millis(time.Now())})}
	for _, m := range c.Delete {
		errs = append(errs, w.remove(c.Op, m))
	}
	for _, m := range c.Put {
		errs = append(errs, w.put(c.Op, m))
	}
	for _, e := range c.Events {
		errs = append(errs, w.add(appendEvents, eventRow{millis(e.At), e.Kind, e.Machine, e.MAC, e.Message}))
	}
	for _, r := range c.History {
		errs = append(errs, w.add(appendHistory, row{"machine": r.Machine, "at": millis(r.At), "data": r.Hardware}),
			w.add(forgetHistory, r.Machine))
	}
	for _, e := range c.Audit {
		errs = append(errs, w.add(appendAudit, auditRow{millis(e.At), e.Actor.Name, e.Actor.Role, e.Actor.From,
			e.Action, e.Object, string(e.Before), string(e.After)}))
	}
	if c.Rules != nil {
		rules := row{"op": c.Op, "name": settingRules, "version": c.Rules.Version, "rules": c.Rules.Rules}
		errs = append(errs, w.add(checkRules, rules), w.add(storeRules, rules))
	}
	return w, errors.Join(errs...)
}

// remove deletes a machine and whatever belongs to it.
func (w *writes) remove(op string, m registry.Machine) error {
	errs := []error{w.add(checkVersions, row{"op": op, "id": m.ID, "version": m.Version})}
	for _, s := range []step{freeAddresses, deleteMachines, deleteSeen, deleteHardware, deleteHistory, deleteSearch, freeTags, freeLabels} {
		errs = append(errs, w.add(s, m.ID))
	}
	return errors.Join(errs...)
}

// put stores a machine. What a filter compares is stored folded, beside the whole.
func (w *writes) put(op string, m registry.Machine) error {
	errs := []error{
		w.add(checkVersions, row{"op": op, "id": m.ID, "version": m.Version}),
		w.add(storeMachines, rowOf(m)),
		w.add(storeHardware, row{"machine": m.ID, "data": m.Hardware}),
		w.add(storeSearch, row{"machine": m.ID, "text": searched(m)}),
	}
	if m.Version > 0 { // a new machine has nothing to give up
		errs = append(errs, w.add(freeAddresses, m.ID), w.add(freeTags, m.ID), w.add(freeLabels, m.ID))
	}
	for i, mac := range m.MACs {
		errs = append(errs, w.add(storeAddresses, row{"mac": mac, "machine": m.ID, "position": i}))
	}
	for _, tag := range m.Tags {
		errs = append(errs, w.add(storeTags, row{"machine": m.ID, "value": registry.Fold(tag)}))
	}
	for key, value := range m.Labels {
		errs = append(errs, w.add(storeLabels, row{"machine": m.ID, "key": key, "value": registry.Fold(value)}))
	}
	if !m.SeenAt.IsZero() {
		errs = append(errs, w.add(storeSeen, row{"id": m.ID, "at": millis(m.SeenAt)}))
	}
	return errors.Join(errs...)
}
