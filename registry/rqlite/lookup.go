package rqlite

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"dragonfly/registry"
)

// key is what an index tells a machine by.
type key string

const (
	byRow key = "row"
	byID  key = "id"
)

// selects are queries of what each of some terms selects, those of few machines first.
func (k key) selects(terms registry.Filter, now time.Time, b *builder) (selects []string) {
	terms = slices.Clone(terms)
	slices.SortStableFunc(terms, func(a, b registry.Term) int { return cmp.Compare(breadth(a), breadth(b)) })
	for _, t := range terms {
		from, known := lookups(t, now, k, b)
		if !known {
			from = []string{k.through(t, now, b)}
		}
		if len(from) > 1 {
			from = []string{"SELECT " + string(k) + " FROM (" + strings.Join(from, " UNION ALL ") + ")"}
		}
		selects = append(selects, from...)
	}
	return selects
}

// breadth is less for what selects fewer machines, in all likelihood. A machine has few of
// all tags there are.
func breadth(t registry.Term) int {
	if t.Field == registry.FieldTag || t.Field == registry.FieldLabel {
		return len(t.Values)
	}
	return 2 * len(t.Values)
}

// knows reports whether an index tells by that key what a term selects.
func (k key) knows(now time.Time, t registry.Term) bool {
	_, ok := lookups(t, now, k, &builder{})
	return ok
}

// beside is a query of the machines of a table beside that of machines.
func (k key) beside(table, machine, where string) string {
	if k == byID {
		return "SELECT " + machine + " AS id FROM " + table + " WHERE " + where
	}
	return "SELECT m.row FROM " + table + " CROSS JOIN machines m ON m.id = " + machine + " WHERE " + where // in this order
}

// through is a query of what matches a term that [canRead], by reading an index or a table
// beside that of machines from its beginning: a tenth of what it takes to read the machines.
func (k key) through(t registry.Term, now time.Time, b *builder) string {
	if column, where := indexedColumn(t.Field); column != "" {
		return "SELECT " + string(k) + " FROM machines WHERE " + where + like(column, t, b)
	}
	if t.Not {
		return "SELECT " + string(k) + " FROM machines WHERE id IN (" + allBut(t, now, b) + ")"
	}
	if t.Field == registry.FieldTag {
		return k.beside("machine_tags t", "t.machine", like("t.tag", t, b))
	}
	return k.beside("machine_labels l", "l.machine", "l.key = "+b.text(t.Key)+" AND "+like("l.value", t, b))
}

// allBut is a query of the IDs of machines that do not have what a term says they have not.
func allBut(t registry.Term, now time.Time, b *builder) string {
	t.Not = false
	from, known := lookups(t, now, byID, b)
	if !known {
		from = []string{byID.through(t, now, b)}
	}
	return "SELECT id FROM machines EXCEPT " + strings.Join(from, " EXCEPT ") + " ORDER BY 1" + limited(few+1)
}

// like is true when a text has, or is, one of the values of a term, in upper or lower case,
// or where the term is about what is not, none. It takes a third of the time of instr() and
// lower(), and ends at a NUL, which no text has.
func like(text string, t registry.Term, b *builder) string {
	var each []string
	for _, value := range t.Values {
		pattern := likeSigns.Replace(registry.Fold(value))
		if t.Part {
			pattern = "%" + pattern + "%"
		}
		each = append(each, text+" LIKE "+b.text(pattern)+` ESCAPE '\'`)
	}
	any := "(" + strings.Join(each, " OR ") + ")"
	if t.Not {
		return "NOT " + any
	}
	return any
}

// likeSigns writes out what has a meaning in the pattern of LIKE.
var likeSigns = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// canRead reports whether what a term is about is a column of an index, or in a table
// beside that of machines. What is without any text is of machines that no index may have.
func canRead(t registry.Term, now time.Time) bool {
	if len(t.Values) == 0 || slices.Contains(t.Values, "") {
		return false
	}
	switch t.Field {
	case registry.FieldTag, registry.FieldLabel:
		return true
	case registry.FieldOnline:
		online := t
		online.Not = false
		return t.Not && byID.knows(now, online)
	}
	column, where := indexedColumn(t.Field)
	return column != "" && (where == "" || !t.Not)
}

// indexedColumn is a column that an index has, and the condition for an index that has
// not all machines.
func indexedColumn(f registry.Field) (column, where string) {
	switch f {
	case registry.FieldID, registry.FieldName, registry.FieldState, registry.FieldSerial, registry.FieldUUID, registry.FieldVendor, registry.FieldModel:
		return string(f), ""
	case registry.FieldHost:
		return "hostname", ""
	case registry.FieldOwner:
		return "owner", "owner <> '' AND "
	case registry.FieldOS:
		return osColumn, osColumn + " IS NOT NULL AND "
	}
	return "", ""
}

// osColumn is written as its index has it.
const osColumn = "(operator ->> '$.os')"

// lookups are queries of the machines that a term may match, one for each value, each
// answered from an index; more than match, in doubt. There are none for a field
// without an index, nor for what is not.
func lookups(t registry.Term, now time.Time, k key, b *builder) (from []string, ok bool) {
	if t.Not {
		return nil, false
	}
	if t.Field == registry.FieldOnline {
		if len(t.Values) != 1 || t.Part || registry.Fold(t.Values[0]) != "yes" {
			return nil, false
		}
		since := b.param(now.Add(-registry.OnlineFor).UnixMilli())
		return []string{k.beside("machine_seen s", "s.id", "s.seen_ms > "+since)}, true
	}
	for _, value := range t.Values {
		query := lookup(t, registry.Fold(value), k, b)
		if query == "" {
			return nil, false
		}
		from = append(from, query)
	}
	return from, len(from) > 0
}

func lookup(t registry.Term, value string, k key, b *builder) string {
	if t.Part {
		return lookupPart(t.Field, value, k, b)
	}
	of := "SELECT " + string(k) + " FROM machines WHERE "
	switch t.Field { // whose indexes have the machines without one, too
	case registry.FieldID, registry.FieldState: // which are in lower case
		return of + string(t.Field) + " = " + b.text(value)
	case registry.FieldSerial, registry.FieldUUID, registry.FieldVendor, registry.FieldModel, registry.FieldHost:
		column, _ := indexedColumn(t.Field)
		return of + column + " COLLATE NOCASE = " + b.text(value)
	}
	if value == "" {
		return ""
	}
	switch t.Field {
	case registry.FieldMAC:
		return k.beside("machine_macs a", "a.machine", "a.mac = "+b.text(value))
	case registry.FieldTag:
		return k.beside("machine_tags t", "t.machine", "t.tag = "+b.text(value))
	case registry.FieldLabel:
		return k.beside("machine_labels l", "l.machine", "l.key = "+b.text(t.Key)+" AND l.value = "+b.text(value))
	case registry.FieldOwner, registry.FieldOS:
		column, where := indexedColumn(t.Field)
		return of + where + column + " COLLATE NOCASE = " + b.text(value)
	case registry.FieldArch:
		if value != "amd64" { // most are
			return of + "arch <> 'amd64' AND arch COLLATE NOCASE = " + b.text(value)
		}
	case registry.FieldLocked:
		if value == "yes" {
			return of + "locked <> 0"
		}
	}
	return lookupPart(t.Field, value, k, b)
}

// lookupPart finds what may have a part in the text that bare words are looked for in.
func lookupPart(f registry.Field, value string, k key, b *builder) string {
	if k == byID {
		return ""
	}
	switch f {
	case registry.FieldAny, registry.FieldName, registry.FieldSerial, registry.FieldModel,
		registry.FieldMAC, registry.FieldIP, registry.FieldBMC, registry.FieldTag:
		indexed := ""
		if query := trigrams(value); query != "" {
			indexed = "SELECT rowid AS row FROM machine_trigrams WHERE machine_trigrams MATCH " + b.text(query)
		} else if begins(f, value) {
			indexed = "SELECT DISTINCT doc AS row FROM machine_vocabulary WHERE term >= " + b.text(value) + " AND term < " + b.text(value+string(unicode.MaxRune))
		} else {
			return ""
		}
		return "SELECT row FROM (" + indexed + " UNION ALL " + searchUnindexed(value, b) + ")"
	}
	return ""
}

// begins reports whether a part of one or two characters is found by the trigrams that
// begin with it: not what has an index of its own, nor what is not ASCII, of which the
// trigrams fold more than we do.
func begins(f registry.Field, value string) bool {
	column, _ := indexedColumn(f)
	return column == "" && f != registry.FieldTag && value != "" && len(value) < 3 &&
		!strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII })
}

// isShort reports whether a term is looked up by the beginnings of trigrams. Those that
// begin with "0:" have every machine many times, and in no order.
func isShort(t registry.Term) bool {
	return slices.ContainsFunc(t.Values, func(value string) bool { return begins(t.Field, registry.Fold(value)) })
}

// maxTrigrams is how many of a text are asked for: more of them would hardly leave out
// anything else.
const maxTrigrams = 32

// trigrams is the query, in the language of FTS5, of what has each three characters of
// text that follow one another: the index does not know where they are. It is empty for
// a shorter text.
func trigrams(text string) string {
	runes, all := []rune(text), []string(nil)
	for i := 0; i+3 <= len(runes) && i < maxTrigrams; i++ {
		all = append(all, `"`+strings.ReplaceAll(string(runes[i:i+3]), `"`, `""`)+`"`)
	}
	return strings.Join(all, " AND ")
}
