package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// What one message may fill of the log: a rack that starts at once is written line
// by line, and a stranger who sends packets for days does not fill a disk.
const (
	logBurst   = 1000 // lines at once
	logRate    = 20   // lines per second after that
	maxBuckets = 1024 // messages under count; ours are fewer
)

// quotaHandler is a [slog.Handler] that bounds how often the same message is
// written. Lines that are left out are counted in the next one that is not, as
// left_out. Debug lines are asked for and not bounded.
type quotaHandler struct {
	slog.Handler
	quota *logQuota
}

// withQuota bounds what h is given.
func withQuota(h slog.Handler) slog.Handler {
	return quotaHandler{h, &logQuota{buckets: map[string]*bucket{}}}
}

// Handle is part of [slog.Handler].
func (h quotaHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return h.Handler.Handle(ctx, r)
	}
	ok, leftOut := h.quota.take(r.Message, r.Time)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is part of [slog.Handler].
func (h quotaHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quotaHandler{h.Handler.WithAttrs(attrs), h.quota}
}

// WithGroup is part of [slog.Handler].
func (h quotaHandler) WithGroup(name string) slog.Handler {
	return quotaHandler{h.Handler.WithGroup(name), h.quota}
}

// logQuota counts lines by message.
type logQuota struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is how many lines of a message may be written now.
type bucket struct {
	tokens  float64
	at      time.Time
	leftOut int
}

// take reports whether a line with this message may be written, and how many before
// it were not.
func (q *logQuota) take(message string, now time.Time) (ok bool, leftOut int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buckets[message]
	if b == nil {
		if len(q.buckets) >= maxBuckets {
			clear(q.buckets)
		}
		b = &bucket{tokens: logBurst, at: now}
		q.buckets[message] = b
	}
	if passed := now.Sub(b.at); passed > 0 { // a clock that jumped back gives nothing
		b.tokens = min(b.tokens+passed.Seconds()*logRate, logBurst)
	}
	b.at = now
	if b.tokens < 1 {
		b.leftOut++
		return false, 0
	}
	b.tokens--
	leftOut, b.leftOut = b.leftOut, 0
	return true, leftOut
}
