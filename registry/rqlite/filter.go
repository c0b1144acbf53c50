package rqlite

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// separator stands between the texts that a bare word is looked for in, and twice at their
// end: so each character of them begins a trigram.
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

// condition asks one row. What selects few rows has been looked up before, by
// [Store.narrow].
func condition(t registry.Term, now time.Time, b *builder) (string, error) {
	wanted := make([]string, len(t.Values))
	for i, v := range t.Values {
		wanted[i] = b.text(registry.Fold(v))
	}
	switch t.Field {
	case registry.FieldAny:
		return compare("m.search", true, wanted), nil
	case registry.FieldMAC:
		return "EXISTS (SELECT 1 FROM json_each(m.macs) a WHERE " + compare("a.value", t.Part, wanted) + ")", nil
	case registry.FieldTag:
		return "EXISTS (SELECT 1 FROM machine_tags t WHERE t.machine = m.id AND " + compare("t.tag", t.Part, wanted) + ")", nil
	case registry.FieldLabel:
		return "EXISTS (SELECT 1 FROM machine_labels l WHERE l.machine = m.id AND l.key = " + b.text(t.Key) + " AND " + compare("l.value", t.Part, wanted) + ")", nil
	case registry.FieldLocked:
		return compare("(CASE m.locked WHEN 0 THEN 'no' ELSE 'yes' END)", t.Part, wanted), nil
	case registry.FieldOnline:
		return compare(onlineText(now, b), t.Part, wanted), nil
	}
	if column := column(t.Field); column != "" {
		return columnIs(b.plain+column, t, wanted), nil
	}
	return "", fmt.Errorf("field %q is not known", t.Field)
}

// onlineText is whether machines are online, as filters have it.
func onlineText(now time.Time, b *builder) string {
	online := fmt.Sprintf("coalesce(s.seen_ms, 0) > 0 AND %s - s.seen_ms < %d", b.param(now.UnixMilli()), registry.OnlineFor.Milliseconds())
	return "(CASE WHEN " + online + " THEN 'yes' ELSE 'no' END)"
}

// columnIs compares a column in a way that lets SQLite use its index, to count. That of
// the owner leaves out machines that have none.
func columnIs(column string, t registry.Term, wanted []string) string {
	if t.Part {
		return compare("lower("+column+")", true, wanted)
	}
	if t.Field == registry.FieldState {
		return compare(column, false, wanted) // states are in lower case
	}
	equal := compare(column+" COLLATE NOCASE", false, wanted)
	if t.Field == registry.FieldOwner && !slices.Contains(t.Values, "") {
		return column + " <> '' AND " + equal
	}
	return equal
}

// compare is true when the text is one of the values, or has one as a part.
func compare(text string, part bool, wanted []string) string {
	switch {
	case len(wanted) == 0:
		return "false"
	case part:
		parts := make([]string, len(wanted))
		for i, value := range wanted {
			parts[i] = "instr(" + text + ", " + value + ") > 0"
		}
		return "(" + strings.Join(parts, " OR ") + ")"
	}
	return text + " IN (" + strings.Join(wanted, ", ") + ")"
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
	texts = append(append(texts, m.Tags...), "", "")
	return registry.Fold(strings.Join(texts, separator))
}

// bmc is the address of the management controller; empty where there is none.
func bmc(m registry.Machine) string {
	if m.Hardware.BMC == nil || !m.Hardware.BMC.Address.IsValid() {
		return ""
	}
	return m.Hardware.BMC.Address.String()
}
