package rqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	quick "github.com/segmentio/encoding/json"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// writes is what a transaction writes: for each step its rows, as JSON, with a comma
// behind each.
type writes struct {
	rows     [steps][]byte
	hardware []hardwareRow
	added    int // machines
}

// hardwareRow is a row of machine_hardware.
type hardwareRow struct {
	machine string
	at      int64  // when it was recorded for the history; 0: it was not
	data    []byte // packed
}

// raw is JSON that is a value of a row as it is.
type raw []byte

// valueRoom is about how many bytes a value of a row has.
const valueRoom = 64

// add appends a row to a step.
func (w *writes) add(s step, values ...any) error {
	text := append(slices.Grow(w.rows[s], len(values)*valueRoom), '[')
	for i, value := range values {
		if i > 0 {
			text = append(text, ',')
		}
		var err error
		if text, err = appendValue(text, value); err != nil {
			name, _ := s.sql()
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	w.rows[s] = append(text, "],"...)
	return nil
}

// appendValue appends the JSON form of a value.
func appendValue(text []byte, value any) ([]byte, error) {
	switch value := value.(type) {
	case int64:
		return strconv.AppendInt(text, value, 10), nil
	case string:
		if plain(value) {
			return append(append(append(text, '"'), value...), '"'), nil
		}
	case raw:
		return append(text, value...), nil
	case registry.Hardware, operatorJSON, []registry.MAC: // of each machine
		return quick.Append(text, value, 0)
	}
	encoded, err := json.Marshal(value)
	return append(text, encoded...), err
}

// plain reports whether a string is its own JSON form.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// reset forgets the rows, and keeps their room.
func (w *writes) reset() {
	for s := range w.rows {
		w.rows[s] = w.rows[s][:0]
	}
	clear(w.hardware)
	w.hardware, w.added = w.hardware[:0], 0
}

// merge appends the rows of another change.
func (w *writes) merge(other *writes) {
	for s := range w.rows {
		w.rows[s] = append(w.rows[s], other.rows[s]...)
	}
	w.hardware, w.added = append(w.hardware, other.hardware...), w.added+other.added
}

// bytes is the size of the parameters.
func (w *writes) bytes() (n int) {
	for _, rows := range w.rows {
		n += len(rows)
	}
	for _, h := range w.hardware {
		n += len(h.data)
	}
	return n
}

// maxHardware is how many rows of hardware one statement takes: SQLite has room for
// 32,766 parameters.
const maxHardware = 5000

// statements are the steps that have rows.
func (w *writes) statements() []statement {
	var batch []statement
	for s, rows := range w.rows {
		name, sql := step(s).sql()
		if step(s) == storeHardware {
			for some := range slices.Chunk(w.hardware, maxHardware) {
				batch = append(batch, hardwareStatement(name, some))
			}
		}
		if len(rows) == 0 {
			continue
		}
		param := "[" + string(rows[:len(rows)-1]) + "]"
		batch = append(batch, statement{name: name, sql: sql, args: []any{param}, lost: step(s).lost()})
	}
	return batch
}

func hardwareStatement(name string, rows []hardwareRow) statement {
	const place = ", (? ->> '$', ?, ?)"
	args := make([]any, 0, 3*len(rows))
	for _, h := range rows {
		args = append(args, text(h.machine), h.at, packedParam(h.data))
	}
	sql := fmt.Sprintf(storeHardwareSQL, strings.Repeat(place, len(rows))[2:])
	return statement{name: name, sql: sql, args: args}
}

// The rows of settings that hold documents with versions.
const (
	settingRules    = "rules"
	settingDefaults = "defaults"
)

// plan is c as rows.
func plan(c registry.Change) (*writes, error) {
	if c.Op == "" {
		return nil, errors.New("the change has no operation id")
	}
	w := &writes{}
	errs := []error{w.add(recordOperations, c.Op, millis(time.Now()))}
	for _, m := range c.Delete {
		errs = append(errs, w.add(checkVersions, c.Op, m.ID, m.Version), w.add(deleteMachines, m.ID))
	}
	beside := map[string]bool{} // machines whose newest record is that of their hardware
	for i := range c.Put {
		m := &c.Put[i]
		at := recorded(c, m)
		beside[m.ID] = !at.IsZero()
		errs = append(errs, w.put(c.Op, m, at))
	}
	for i := range c.History {
		errs = append(errs, w.record(c, i, beside))
	}
	for _, m := range c.Move {
		errs = append(errs, w.add(moveEvents, m.From, m.To), w.add(moveHistory, m.From, m.To), w.add(moveHardware, m.From, m.To), w.add(moveDeployments, m.From, m.To),
			w.add(closeHistory, m.To), w.add(forgetHistory, m.To))
	}
	for _, e := range c.Events {
		errs = append(errs, w.add(appendEvents, millis(e.At), string(e.Kind), e.Machine, macText(e.MAC), e.Message))
	}
	for _, e := range c.Audit {
		errs = append(errs, w.add(appendAudit, millis(e.At), e.Actor.Name, e.Actor.Role, e.Actor.From,
			e.Action, e.Object, string(e.Before), string(e.After)))
	}
	if c.Rules != nil {
		errs = append(errs, w.setting(c.Op, settingRules, c.Rules.Version, c.Rules.Rules))
	}
	if c.Defaults != nil {
		errs = append(errs, w.setting(c.Op, settingDefaults, c.Defaults.Version, c.Defaults.Sealed))
	}
	errs = append(errs, w.deployments(c))
	return w, errors.Join(errs...)
}

// setting stores a document there is one of, over the version that was read.
func (w *writes) setting(op, name string, version int64, document any) error {
	return errors.Join(w.add(checkSettings, op, name, version), w.add(storeSettings, name, version+1, document))
}

// put stores a machine. What a filter compares is stored folded, beside the whole.
func (w *writes) put(op string, m *registry.Machine, recorded time.Time) (err error) {
	if m.Packed, err = packed.Pack(m.Hardware); err != nil {
		return err
	}
	w.hardware = append(w.hardware, hardwareRow{m.ID, millis(recorded), m.Packed})
	var errs []error
	if m.Version == 0 { // without the triggers of a change, whose programs are most of preparing it
		w.added++
		errs = append(errs, w.add(addMachines, machineRow(*m)...))
	} else {
		errs = append(errs, w.add(checkVersions, op, m.ID, m.Version), w.add(storeMachines, machineRow(*m)...))
	}
	if len(m.MACs) > 0 {
		errs = append(errs, w.add(storeAddresses, m.ID, m.MACs))
	}
	for _, tag := range m.Tags {
		errs = append(errs, w.add(storeTags, registry.Fold(tag), m.ID))
	}
	for key, value := range m.Labels {
		errs = append(errs, w.add(storeLabels, key, registry.Fold(value), m.ID))
	}
	if !m.SeenAt.IsZero() {
		errs = append(errs, w.add(storeSeen, m.ID, millis(m.SeenAt)))
	}
	return errors.Join(errs...)
}

// recorded is when c records the hardware of m, as it leaves it; zero when it does
// not.
func recorded(c registry.Change, m *registry.Machine) time.Time {
	for i := range slices.Backward(c.History) {
		r := &c.History[i]
		if r.Machine != m.ID {
			continue
		}
		if reflect.DeepEqual(&r.Hardware, &m.Hardware) {
			return r.At
		}
		break
	}
	return time.Time{}
}

// record stores a record of hardware. The newest one of a machine that is put is
// beside the machine; others are behind it, and end the one that is there.
func (w *writes) record(c registry.Change, i int, beside map[string]bool) error {
	r, isLast := c.History[i], true
	for _, later := range c.History[i+1:] {
		isLast = isLast && later.Machine != r.Machine
	}
	for _, m := range c.Put {
		if m.ID != r.Machine || !isLast || !beside[m.ID] {
			continue
		}
		if m.Version == 0 { // there is nothing to forget
			return nil
		}
		return w.add(forgetHistory, r.Machine)
	}
	hardware, err := packed.Pack(r.Hardware)
	return errors.Join(err, w.add(closeHistory, r.Machine), w.add(appendHistory, r.Machine, millis(r.At), packedText(hardware)), w.add(forgetHistory, r.Machine))
}
