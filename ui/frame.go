package ui

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
)

// part is one frame: what changed.
type part struct {
	n        int64
	counted  []byte             // the counters, encoded
	machines []registry.Machine // that changed
	rows     []row              // the same, as the list shows them
	list     bool               // every page has to be read again
	works    map[string]work    // how far deployments are, by machine

	mu     sync.Mutex
	shapes map[string][]byte // encoded, by the columns
}

// encoded is the frame for every page of these columns; it is made once. Rows and
// counters are messages of their own: a parser that has seen a list drops the table rows
// behind it.
func (p *part) encoded(ctx context.Context, cols []string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	shape := strings.Join(cols, ",")
	data, made := p.shapes[shape]
	if !made {
		data = p.with(ctx, p.rows, cols)
		if p.list {
			data = append(data, message(p.n, "list", nil)...)
		}
		if p.shapes == nil {
			p.shapes = map[string][]byte{}
		}
		p.shapes[shape] = data
	}
	return data
}

// with is the counters, rows, and how far deployments are.
func (p *part) with(ctx context.Context, rows []row, cols []string) []byte {
	ctx = context.WithoutCancel(ctx)
	data := message(p.n, "", p.counted)
	if len(rows) > 0 {
		html, err := fragment(ctx, tableRows(rows, cols, true))
		if err != nil {
			return append(data, message(p.n, "list", nil)...) // the page reads itself again
		}
		data = append(data, message(p.n, "", html)...)
	}
	if len(p.works) > 0 && slices.Contains(cols, "doing") {
		html, err := fragment(ctx, workCells(p.works))
		if err == nil { // the next one is a second away
			data = append(data, message(p.n, "", html)...)
		}
	}
	return data
}

// reader is an open page: what it shows, and what it was told.
type reader struct {
	cols   []string
	filter registry.Filter
	whole  bool // it shows every machine by name
	seen   int64
	due    bool // its list may have become another
	listed time.Time
}

// readerOf is the page that asks. The page of a filter that is wrong
// says so, and has no rows to keep.
func readerOf(r *http.Request, v view) (*reader, error) {
	rd := &reader{whole: v.whole(), cols: usualColumns()}
	if shape, err := columnsIn(r.FormValue("shape")); err != nil {
		return nil, err
	} else if shape != nil {
		rd.cols = shape
	}
	filter, err := v.selects()
	if err != nil {
		return nil, err
	}
	if rd.filter, err = registry.ParseFilter(filter); err != nil {
		rd.filter = nil
	}
	return rd, nil
}

// take is what a frame is to this page. Where it shows some machines only, or in another
// order, a machine that changed and matches may be new in it, or stand elsewhere; and
// one that does not match any more is marked, if it is there.
func (rd *reader) take(ctx context.Context, p *part) []byte {
	rd.seen = p.n
	if rd.whole || p.list || len(p.rows) == 0 {
		return p.encoded(ctx, rd.cols)
	}
	now := time.Now()
	rows := make([]row, len(p.rows))
	left := false
	for i, m := range p.machines {
		rows[i] = p.rows[i]
		rows[i].Left = !rd.filter.Match(m, now)
		left = left || rows[i].Left
		rd.due = rd.due || !rows[i].Left
	}
	if !left {
		return p.encoded(ctx, rd.cols)
	}
	return p.with(ctx, rows, rd.cols)
}

// stale reports that the list has to be read again, at most every listTick.
func (rd *reader) stale(now time.Time) bool {
	if !rd.due || now.Sub(rd.listed) < listTick {
		return false
	}
	rd.due, rd.listed = false, now
	return true
}

// later is when it may become stale; nil where that is not known.
func (rd *reader) later(now time.Time) <-chan time.Time {
	if !rd.due {
		return nil
	}
	return time.After(listTick - now.Sub(rd.listed))
}
