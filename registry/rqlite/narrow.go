package rqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
)

// few is how many machines a term of a filter may select to lead a query. With more
// of them, walking all machines in the order of the list fills a page sooner.
const few = 5000

// narrowed is what is known of the machines that match a filter before it is asked:
// SQLite has no statistics, and does not know rare from common.
type narrowed struct {
	rows []int64 // only these can match
	any  bool    // nothing is known, and rows is nil
}

// narrow looks up the terms of a filter that select few machines, each by itself. Where
// none does, it looks up what they select together. Terms without an index are left out.
func (s *Store) narrow(ctx context.Context, f registry.Filter, now time.Time) (narrowed, error) {
	n := narrowed{any: true}
	var many registry.Filter
	for _, t := range f {
		if t.Not || !byRow.knows(now, t) {
			continue
		}
		rows, isFew, err := s.fewOf(ctx, registry.Filter{t}, now)
		if err != nil {
			return n, err
		}
		if isFew {
			n.only(rows)
		} else {
			many = append(many, t)
		}
	}
	if !n.any || len(many) < 2 {
		return n, nil
	}
	rows, isFew, err := s.fewOf(ctx, many, now)
	if isFew {
		n.only(rows)
	}
	return n, err
}

// fewOf returns the rows that may match all of some terms, of each of which an index
// knows; not few: there are more than [few].
func (s *Store) fewOf(ctx context.Context, terms registry.Filter, now time.Time) (rows []int64, isFew bool, err error) {
	if s.common.has(terms) {
		return nil, false, nil
	}
	b := builder{}
	sql := together(terms, now, few+1, &b)
	rows, err = s.rowsOf(ctx, statement{name: "narrow a filter down", args: b.args,
		sql: "SELECT coalesce(group_concat(row), '') FROM (" + sql + ")"})
	if err != nil {
		return nil, false, err
	}
	if len(rows) > few {
		s.common.add(terms)
		return nil, false, nil
	}
	return rows, true, nil
}

// together is a query of up to limit rows that all of some terms select. No machine is read
// of those that only some of them select: what their indexes know by ID is put together by
// ID. The index of trigrams does not know IDs.
func together(terms registry.Filter, now time.Time, limit int, b *builder) string {
	var ids, others registry.Filter
	for _, t := range terms {
		if byID.knows(now, t) {
			ids = append(ids, t)
		} else {
			others = append(others, t)
		}
	}
	if len(ids) < 2 {
		return intersect(byRow.selects(terms, now, b), limit)
	}
	most := -1 // there is no telling which of them the others select
	if len(others) == 0 {
		most = limit
	}
	rows := "SELECT row FROM machines WHERE id IN (" + intersect(byID.selects(ids, now, b), most) + ")"
	return intersect(append([]string{rows}, byRow.selects(others, now, b)...), limit)
}

// intersect is a query of what all of some queries select, up to limit of it; -1: all. In
// order, since SQLite then merges what the indexes have in that order, and stops where one
// of them ends.
func intersect(selects []string, limit int) string {
	if len(selects) == 1 {
		return selects[0] + limited(limit)
	}
	return strings.Join(selects, " INTERSECT ") + " ORDER BY 1" + limited(limit)
}

// common is the terms that were found to select more than [few] machines, alone or
// together, by their text, and when that was. They are asked for again and again, as
// people page through a list, and to count so far costs as much as the list.
type common struct {
	mu    sync.Mutex
	found map[string]time.Time
}

// For so long a term counts as one that selects many: a list by it is right all the same
// where it does not any more, and slow.
const (
	commonFor = time.Minute
	maxCommon = 1000
)

func (c *common) has(terms registry.Filter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.found[fmt.Sprintf("%#v", terms)]
	return known && time.Since(at) < commonFor
}

func (c *common) add(terms registry.Filter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil || len(c.found) >= maxCommon {
		c.found = map[string]time.Time{}
	}
	c.found[fmt.Sprintf("%#v", terms)] = time.Now()
}

// only takes in what one more term selects.
func (n *narrowed) only(rows []int64) {
	slices.Sort(rows)
	if n.any {
		n.rows, n.any = slices.Compact(rows), false
		return
	}
	n.rows = slices.DeleteFunc(n.rows, func(row int64) bool {
		_, found := slices.BinarySearch(rows, row)
		return !found
	})
}

// rowsOf reads numbers of rows that come as one text: by themselves each costs more than
// SQLite takes to find it.
func (s *Store) rowsOf(ctx context.Context, stmt statement) ([]int64, error) {
	texts, err := scan(ctx, s, func(rows cursor) (text string, err error) { return text, rows.Scan(&text) }, stmt)
	if err != nil || len(texts) == 0 || texts[0] == "" {
		return nil, err
	}
	rows := make([]int64, 0, strings.Count(texts[0], ",")+1)
	for text := range strings.SplitSeq(texts[0], ",") {
		row, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stmt.name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

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
		from, _ := lookups(t, now, k, b)
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
	return "SELECT m.row FROM " + table + " JOIN machines m ON m.id = " + machine + " WHERE " + where
}

// lookups are queries of the machines that a term may match, one for each value, each
// answered from an index; more than match, in doubt. There are none for a field
// without an index.
func lookups(t registry.Term, now time.Time, k key, b *builder) (from []string, ok bool) {
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
	case registry.FieldState:
		return of + "state = " + b.text(value)
	case registry.FieldSerial, registry.FieldUUID, registry.FieldVendor, registry.FieldModel:
		return of + string(t.Field) + " COLLATE NOCASE = " + b.text(value)
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
	case registry.FieldOwner:
		return of + "owner <> '' AND owner COLLATE NOCASE = " + b.text(value)
	case registry.FieldOS: // the expression is that of its index
		const os = "operator ->> '$.os'"
		return of + os + " IS NOT NULL AND (" + os + ") COLLATE NOCASE = " + b.text(value)
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
		if query := trigrams(value); query != "" {
			return "SELECT row FROM (SELECT rowid AS row FROM machine_trigrams WHERE machine_trigrams MATCH " + b.text(query) + " UNION ALL " + searchUnindexed(value, b) + ")"
		}
	}
	return ""
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
