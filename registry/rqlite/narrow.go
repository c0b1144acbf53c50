package rqlite

import (
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

// narrow looks up the terms of a filter that select few machines.
func (s *Store) narrow(ctx context.Context, f registry.Filter, now time.Time) (narrowed, error) {
	n := narrowed{any: true}
	for _, t := range f {
		if t.Not {
			continue
		}
		b := builder{}
		from, ok := lookups(t, now, &b)
		if !ok || s.common.has(t) {
			continue
		}
		sql := "SELECT coalesce(group_concat(row), '') FROM (SELECT row FROM (" + strings.Join(from, " UNION ALL ") + ")" + limited(few+1) + ")"
		rows, err := s.rowsOf(ctx, statement{name: "narrow a filter down", sql: sql, args: b.args})
		if err != nil {
			return n, err
		}
		if len(rows) > few {
			s.common.add(t)
		} else {
			n.only(rows)
		}
	}
	return n, nil
}

// common is the terms that were found to select more than [few] machines, by their text,
// and when that was. They are asked for again and again, as people page through a list,
// and to count so far costs as much as the list.
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

func (c *common) has(t registry.Term) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.found[fmt.Sprintf("%#v", t)]
	return known && time.Since(at) < commonFor
}

func (c *common) add(t registry.Term) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil || len(c.found) >= maxCommon {
		c.found = map[string]time.Time{}
	}
	c.found[fmt.Sprintf("%#v", t)] = time.Now()
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

// lookups are queries of the rows that a term may match, one for each value, each
// answered from an index; more than match, in doubt. There are none for a field
// without an index.
func lookups(t registry.Term, now time.Time, b *builder) (from []string, ok bool) {
	if t.Field == registry.FieldOnline {
		if len(t.Values) != 1 || t.Part || registry.Fold(t.Values[0]) != "yes" {
			return nil, false
		}
		since := b.param(now.Add(-registry.OnlineFor).UnixMilli())
		return []string{"SELECT m.row FROM machine_seen s JOIN machines m ON m.id = s.id WHERE s.seen_ms > " + since}, true
	}
	for _, value := range t.Values {
		query := lookup(t, registry.Fold(value), b)
		if query == "" {
			return nil, false
		}
		from = append(from, query)
	}
	return from, len(from) > 0
}

func lookup(t registry.Term, value string, b *builder) string {
	if t.Part {
		return lookupPart(t.Field, value, b)
	}
	switch t.Field { // whose indexes have the machines without one, too
	case registry.FieldState:
		return "SELECT row FROM machines WHERE state = " + b.text(value)
	case registry.FieldSerial, registry.FieldVendor, registry.FieldModel:
		return "SELECT row FROM machines WHERE " + string(t.Field) + " COLLATE NOCASE = " + b.text(value)
	}
	if value == "" {
		return ""
	}
	switch t.Field {
	case registry.FieldMAC:
		return "SELECT m.row FROM machine_macs a JOIN machines m ON m.id = a.machine WHERE a.mac = " + b.text(value)
	case registry.FieldTag:
		return "SELECT m.row FROM machine_tags t JOIN machines m ON m.id = t.machine WHERE t.tag = " + b.text(value)
	case registry.FieldLabel:
		return "SELECT m.row FROM machine_labels l JOIN machines m ON m.id = l.machine WHERE l.key = " + b.text(t.Key) + " AND l.value = " + b.text(value)
	case registry.FieldOwner:
		return "SELECT row FROM machines WHERE owner <> '' AND owner COLLATE NOCASE = " + b.text(value)
	case registry.FieldOS: // the expression is that of its index
		const os = "operator ->> '$.os'"
		return "SELECT row FROM machines WHERE " + os + " IS NOT NULL AND (" + os + ") COLLATE NOCASE = " + b.text(value)
	}
	return lookupPart(t.Field, value, b)
}

// lookupPart finds what may have a part in the text that bare words are looked for in.
func lookupPart(f registry.Field, value string, b *builder) string {
	switch f {
	case registry.FieldAny, registry.FieldName, registry.FieldSerial, registry.FieldModel,
		registry.FieldMAC, registry.FieldIP, registry.FieldBMC, registry.FieldTag:
		if query := trigrams(value); query != "" {
			return "SELECT rowid AS row FROM machine_trigrams WHERE machine_trigrams MATCH " + b.text(query)
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
