package rqlite

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// step is one statement of a transaction. Its parameter is a JSON array of rows,
// each an array of its values, so that however many changes share a transaction,
// it has as many statements as one, with the same texts: preparing them is half the
// cost of a write where nobody keeps them.
type step int

// The steps, in their order. Machines go before they come, and give up addresses
// before one is taken, so that names and addresses can move. What belongs to a
// machine that goes or changes is taken away by triggers.
const (
	recordOperations step = iota
	checkVersions
	checkSettings
	checkDeployments
	checkOSes
	moveEvents
	moveHistory
	moveHardware
	moveDeployments
	deleteMachines
	addMachines
	storeMachines
	storeAddresses
	closeHistory
	appendHistory
	storeHardware
	forgetHistory
	storeTags
	storeLabels
	storeSeen
	touchSeen
	storeSettings
	deleteOSes
	storeOSes
	storeDeployments
	trackDeployments
	appendLines
	forgetLines
	appendEvents
	appendAudit
	steps
)

// sql returns the name of a step, for errors, and its statement, in which each row
// of w is a row j of the parameter.
func (s step) sql() (name, sql string) {
	text := stepTexts()[s]
	return text[0], text[1]
}

// stepTexts makes the texts of all steps, once: to make them costs as much as to
// carry them out.
var stepTexts = sync.OnceValue(func() *[steps][2]string {
	all := [steps][2]string{
		recordOperations: {"record operation", insert("ops", "op, at_ms", "")},
		checkVersions:    {"check machine version", checkVersion("machines", "id")},
		checkSettings:    {"check version of the setting", checkVersion("settings", "name")},
		checkDeployments: {"check version of the deployment", checkVersion("deployments", "id")},
		checkOSes:        {"check version of the operating system", checkVersion("oses", "id")},
		moveEvents:       {"move events", moveTo("events")},
		moveHistory:      {"move hardware history", moveTo("hardware_history")},
		moveHardware: {"move hardware record", `INSERT INTO hardware_history (machine, at_ms, data)
			SELECT j ->> 1, h.at_ms, h.data FROM w JOIN machines m ON m.id = j ->> 0 JOIN machine_hardware h ON h.row = m.row WHERE h.at_ms > 0`},
		moveDeployments: {"move deployments", moveTo("deployments")},
		deleteMachines:  {"delete machine", `DELETE FROM machines WHERE id IN (SELECT j ->> 0 FROM w)`},
		addMachines:     {"add machine", insert("machines", machineColumns, "")},
		storeMachines:   {"store machine", insert("machines", machineColumns, "ON CONFLICT (id) DO UPDATE SET "+excluded(machineColumns))},
		storeAddresses:  {"store hardware addresses", storeAddressesSQL},
		closeHistory: {"close hardware record", `UPDATE machine_hardware SET at_ms = 0
			WHERE at_ms > 0 AND row IN (SELECT m.row FROM w JOIN machines m ON m.id = j ->> 0)`},
		appendHistory: {"append hardware history", `INSERT INTO hardware_history (machine, at_ms, data) SELECT j ->> 0, j ->> 1, j ->> 2 FROM w`},
		storeHardware: {"store hardware", storeHardwareSQL},
		forgetHistory: {"forget old hardware history", forgetHistorySQL},
		storeTags:     {"store tags", insert("machine_tags", "tag, machine", "ON CONFLICT DO NOTHING")},
		storeLabels:   {"store labels", insert("machine_labels", "key, value, machine", "ON CONFLICT DO NOTHING")},
		storeSeen:     {"record sign of life", insert("machine_seen", "id, seen_ms", later)},
		touchSeen: {"record signs of life", `INSERT INTO machine_seen (id, seen_ms)
			SELECT m.id, j ->> 1 FROM w JOIN machines m ON m.id = j ->> 0 WHERE true ` + later},
		storeSettings: {"store setting", insert("settings", "name, version, data",
			"ON CONFLICT (name) DO UPDATE SET version = excluded.version, data = excluded.data")},
		deleteOSes:       {"delete operating system", `DELETE FROM oses WHERE id IN (SELECT j ->> 0 FROM w)`},
		storeOSes:        {"store operating system", insert("oses", osColumns, "ON CONFLICT (id) DO UPDATE SET "+excluded(osColumns))},
		storeDeployments: {"store deployment", insert("deployments", deploymentColumns, "ON CONFLICT (id) DO UPDATE SET "+excluded(deploymentColumns))},
		trackDeployments: {"record progress", `UPDATE deployments SET progress = (SELECT j -> 1 FROM w WHERE j ->> 0 = id) WHERE id IN (SELECT j ->> 0 FROM w)`},
		appendLines:      {"append lines", insert("deployment_lines", "deployment, attempt, n, at_ms, action, text", "ON CONFLICT DO NOTHING")},
		forgetLines:      {"forget lines", forgetLinesSQL},
		appendEvents:     {"append events", insert("events", "at_ms, kind, machine, mac, message", "")},
		appendAudit:      {"append audit", insert("audit", "at_ms, actor, role, origin, action, object, before, after", "")},
	}
	for s := range all {
		if step(s) != storeHardware {
			all[s][1] = `WITH w (j) AS MATERIALIZED (SELECT value FROM json_each(?1)) ` + all[s][1]
		}
	}
	return &all
})

// moveTo is the statement that gives what one machine has in table to another.
func moveTo(table string) string {
	return "UPDATE " + table + " SET machine = (SELECT j ->> 1 FROM w WHERE j ->> 0 = machine) WHERE machine IN (SELECT j ->> 0 FROM w)"
}

// jsonColumns are those whose values stay JSON.
var jsonColumns = map[string]bool{"operator": true, "brief": true, "macs": true, "data": true, "doc": true}

// insert is the statement that inserts the rows, in their order. It has "WHERE
// true" because SQLite would take "ON CONFLICT" after a SELECT for a join.
func insert(table, columns, conflict string) string {
	var values []string
	for i, column := range strings.Split(columns, ", ") {
		arrow := "->>"
		if jsonColumns[column] {
			arrow = "->"
		}
		values = append(values, fmt.Sprintf("j %s %d", arrow, i))
	}
	return "INSERT INTO " + table + " (" + columns + ") SELECT " + strings.Join(values, ", ") + " FROM w WHERE true " + conflict
}

// excluded sets each column to what could not be inserted.
func excluded(columns string) string {
	var set []string
	for _, column := range strings.Split(columns, ", ") {
		set = append(set, column+" = excluded."+column)
	}
	return strings.Join(set, ", ")
}

// checkVersion fails the transaction unless each row of table still has the version
// that was read; no row counts as version 0. SQL has no "fail if", so it rewrites a
// row that is sure to be there, that of the operation, to NULL, which the column
// refuses.
func checkVersion(table, key string) string {
	return "UPDATE ops SET at_ms = NULL WHERE op IN (SELECT j ->> 0 FROM w LEFT JOIN " + table + " t ON t." + key + " = j ->> 1 WHERE coalesce(t.version, 0) <> j ->> 2)"
}

// storeAddressesSQL does nothing where the machine has the address already, and
// fails, as [checkVersion] does, where another one has it.
const storeAddressesSQL = `INSERT INTO machine_macs (mac, machine)
	SELECT a.value, j ->> 0 FROM w JOIN json_each(j, '$[1]') a WHERE true
	ON CONFLICT (mac) DO UPDATE SET machine = NULL WHERE machine <> excluded.machine`

const later = `ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms WHERE excluded.seen_ms > seen_ms`

// storeHardwareSQL takes the whole hardware as a parameter of its own, and not as a
// part of w: it is most of a change, and would be taken apart and put together
// twice. A trigger keeps what was there before, where that was recorded.
const storeHardwareSQL = `INSERT INTO machine_hardware (row, at_ms, data)
	SELECT m.row, v.column2, v.column3 FROM (VALUES %s) v JOIN machines m ON m.id = v.column1 WHERE true
	ON CONFLICT (row) DO UPDATE SET at_ms = excluded.at_ms, data = excluded.data WHERE excluded.at_ms > 0 OR data <> excluded.data`

// forgetHistorySQL keeps the newest 50 records of a machine, and 2 MiB of them at most:
// a machine has some 4 kB of hardware, and may say that it has a megabyte.
const forgetHistorySQL = `DELETE FROM hardware_history WHERE seq IN (SELECT seq FROM (
	SELECT seq, count(*) OVER newest AS n, sum(octet_length(data)) OVER newest AS bytes FROM hardware_history
	WHERE machine IN (SELECT j ->> 0 FROM w) WINDOW newest AS (PARTITION BY machine ORDER BY at_ms DESC, seq DESC))
	WHERE n > 50 OR bytes > 2 << 20)`

// forgetLinesSQL takes the middle out of the log of an attempt.
const forgetLinesSQL = `DELETE FROM deployment_lines WHERE (deployment, attempt, n) IN (SELECT l.deployment, l.attempt, l.n FROM w
	JOIN deployment_lines l ON l.deployment = j ->> 0 AND l.attempt = j ->> 1 AND l.n BETWEEN j ->> 2
	AND (SELECT max(n) FROM deployment_lines WHERE deployment = j ->> 0 AND attempt = j ->> 1) - (j ->> 3))`

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
	case checkVersions, checkSettings, checkDeployments, checkOSes:
		return map[string]error{"NOT NULL constraint failed: ops.at_ms": errLost}
	case addMachines: // one of this ID is there: the version is not 0
		return map[string]error{"UNIQUE constraint failed: machines.id": errLost, "UNIQUE constraint failed: machines.name": errLost}
	case storeMachines:
		return map[string]error{"UNIQUE constraint failed: machines.name": errLost}
	case storeAddresses:
		return map[string]error{"NOT NULL constraint failed: machine_macs.machine": errLost}
	}
	return nil
}
