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

// narrow looks up the terms of a filter that select few machines, each by itself. Where
// none does, it looks up what they select together, and where that is not few either, it
// reads indexes through for the other terms. Those without an index are left out.
func (s *Store) narrow(ctx context.Context, f registry.Filter, now time.Time) (narrowed, error) {
	n := narrowed{any: true}
	var many, others registry.Filter
	for _, t := range f {
		if t = affirmed(t); !byRow.knows(now, t) {
			others = join(others, t)
			continue
		}
		rows, isFew, err := s.fewOf(ctx, registry.Filter{t}, now)
		if err != nil {
			return n, err
		}
		if isFew {
			n.only(rows)
		} else if !isShort(t) {
			many = append(many, t)
		}
	}
	var tries []registry.Filter
	if len(many) > 1 {
		tries = append(tries, many)
	}
	for _, t := range others {
		if canRead(t, now) {
			tries = append(tries, registry.Filter{t})
		}
	}
	for _, terms := range tries {
		if !n.any {
			break
		}
		rows, isFew, err := s.fewOf(ctx, terms, now)
		if err != nil {
			return n, err
		}
		if isFew {
			n.only(rows)
		}
	}
	return n, nil
}

// affirmed says of a yes or no what is: online:no is -online:yes.
func affirmed(t registry.Term) registry.Term {
	about := t.Field == registry.FieldOnline || t.Field == registry.FieldLocked
	if about && !t.Part && len(t.Values) == 1 && registry.Fold(t.Values[0]) == "no" {
		t.Not, t.Values = !t.Not, []string{"yes"}
	}
	return t
}

// join adds a term to others, or to one of them: -tag:a -tag:b is -tag:a,b.
func join(others registry.Filter, t registry.Term) registry.Filter {
	for i, o := range others {
		if t.Not && o.Not && t.Field == o.Field && t.Key == o.Key && t.Part == o.Part {
			others[i].Values = slices.Concat(o.Values, t.Values)
			return others
		}
	}
	return append(others, t)
}

// fewOf returns the rows that may match all of some terms, of each of which an index
// knows, or one that is read through; not few: there are more than [few].
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
