package rqlite

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"dragonfly/registry"
)

// separator stands between the texts that a bare word is looked for in.
const separator = "\x1f"

// column is where machines m has a field; empty for those kept elsewhere.
func column(f registry.Field) string {
	switch f {
	case registry.FieldID, registry.FieldName, registry.FieldState, registry.FieldSerial, registry.FieldUUID,
		registry.FieldVendor, registry.FieldModel, registry.FieldArch, registry.FieldBMC, registry.FieldOwner:
		return "m." + string(f)
	case registry.FieldHost:
		return "m.hostname"
	case registry.FieldIP:
		return "m.address"
	case registry.FieldOS:
		return "coalesce(m.operator ->> '$.os', '')"
	}
	return ""
}

// conditions is f on machines m and machine_seen s. It says the same as
// [registry.Filter.Match]; the contract in registrytest holds the two together.
func conditions(f registry.Filter, now time.Time, b *builder) ([]string, error) {
	var all []string
	for _, term := range f {
		condition, err := condition(term, now, b)
		if err != nil {
			return nil, fmt.Errorf("filter by %s: %w", term.Field, err)
		}
		if term.Not {
			condition = "NOT (" + condition + ")"
		}
		all = append(all, "("+condition+")")
	}
	return all, nil
}

func condition(t registry.Term, now time.Time, b *builder) (string, error) {
	wanted := make([]string, len(t.Values))
	for i, v := range t.Values {
		wanted[i] = registry.Fold(v)
	}
	if t.Field == registry.FieldAny {
		return anywhere(wanted, b), nil
	}
	param, err := list(wanted)
	if err != nil {
		return "", err
	}
	values := b.param(param)
	switch t.Field {
	case registry.FieldMAC:
		return "m.id IN (SELECT machine FROM machine_macs WHERE " + compare("machine_macs.mac", t.Part, values) + ")", nil
	case registry.FieldTag:
		return "m.id IN (SELECT machine FROM machine_tags WHERE " + compare("machine_tags.tag", t.Part, values) + ")", nil
	case registry.FieldLabel:
		return "m.id IN (SELECT machine FROM machine_labels WHERE key = " + b.text(t.Key) + " AND " + compare("machine_labels.value", t.Part, values) + ")", nil
	case registry.FieldLocked:
		return compare("(CASE m.locked WHEN 0 THEN 'no' ELSE 'yes' END)", t.Part, values), nil
	case registry.FieldOnline:
		online := fmt.Sprintf("coalesce(s.seen_ms, 0) > 0 AND %s - s.seen_ms < %d", b.param(now.UnixMilli()), registry.OnlineFor.Milliseconds())
		return compare("(CASE WHEN "+online+" THEN 'yes' ELSE 'no' END)", t.Part, values), nil
	}
	if column := column(t.Field); column != "" {
		return columnIs(column, t, values), nil
	}
	return "", fmt.Errorf("field %q is not known", t.Field)
}

// columnIs compares a column in a way that lets SQLite use its index. That of the
// owner leaves out machines that have none.
func columnIs(column string, t registry.Term, values string) string {
	if t.Part {
		return compare("lower("+column+")", true, values)
	}
	equal := column + " COLLATE NOCASE IN (SELECT value FROM json_each(" + values + "))"
	if t.Field == registry.FieldOwner && !slices.Contains(t.Values, "") {
		return column + " <> '' AND " + equal
	}
	if t.Field == registry.FieldState {
		return column + " IN (SELECT value FROM json_each(" + values + "))" // states are in lower case
	}
	return equal
}

// compare is true when the text is one of the values, or has one as a part.
func compare(text string, part bool, values string) string {
	if part {
		return "EXISTS (SELECT 1 FROM json_each(" + values + ") v WHERE instr(" + text + ", v.value) > 0)"
	}
	return text + " IN (SELECT value FROM json_each(" + values + "))"
}

// anywhere is true when a word is part of what is searched. The trigram index
// needs three characters, and folds more than we do; so the text has the last
// word, and of shorter words the only one.
func anywhere(words []string, b *builder) string {
	if len(words) == 0 {
		return "false"
	}
	var any []string
	for _, word := range words {
		text := b.text(word)
		if utf8.RuneCountInString(word) < 3 {
			any = append(any, "instr(m.search, "+text+") > 0")
			continue
		}
		phrase := b.text(`"` + strings.ReplaceAll(word, `"`, `""`) + `"`)
		any = append(any, "(m.row IN (SELECT rowid FROM machine_trigrams WHERE search MATCH "+phrase+") AND instr(m.search, "+text+") > 0)")
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// searched is what a bare word is looked for in.
func searched(m registry.Machine) string {
	texts := []string{m.Name, m.Hardware.System.Serial, m.Hardware.System.Product}
	for _, mac := range m.MACs {
		texts = append(texts, mac.String())
	}
	if m.Address.IsValid() {
		texts = append(texts, m.Address.String())
	}
	texts = append(texts, bmc(m))
	return registry.Fold(strings.Join(append(texts, m.Tags...), separator))
}

// bmc is the address of the management controller; empty where there is none.
func bmc(m registry.Machine) string {
	if m.Hardware.BMC == nil || !m.Hardware.BMC.Address.IsValid() {
		return ""
	}
	return m.Hardware.BMC.Address.String()
}
