package ui

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/a-h/templ"

	"dragonfly/registry"
)

// follower is the one goroutine behind all open pages.
type follower struct {
	*live
	listDue  bool // a list frame is owed
	lastList time.Time
	failing  bool
}

// run publishes a frame at most every tick until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer func() {
		if f.listDue {
			f.publish(nil) // whoever comes back reads the page again
		}
	}()
	for ctx.Err() == nil {
		f.wait(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := tick
		if err := f.turn(ctx); err != nil {
			pause = errorWait
		}
		sleep(ctx, pause)
	}
}

// wait returns when there are events, or when it is time to look anyway.
func (f *follower) wait(ctx context.Context) {
	limit := recheck
	if f.listDue {
		limit = max(0, listTick-time.Since(f.lastList))
	}
	if due, any := f.workDue(); any {
		limit = min(limit, max(0, time.Until(due)))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	f.board.mu.RLock()
	seq, loaded := f.seq, f.loaded
	f.board.mu.RUnlock()
	if !loaded {
		return
	}
	// What it returns is read again by the step; an error shows there too.
	if _, err := f.feed.Next(ctx, seq); err != nil && !errors.Is(err, registry.ErrRewound) {
		<-ctx.Done()
	}
}

// turn takes one step and publishes what it changed.
func (f *follower) turn(ctx context.Context) error {
	d, err := f.step(ctx, time.Now())
	f.report(ctx, err)
	if err != nil {
		return err
	}
	f.listDue = f.listDue || d.list || d.many
	list := f.listDue && time.Since(f.lastList) >= listTick
	if list {
		f.listDue, f.lastList = false, time.Now()
	}
	if list || !d.empty() {
		f.send(ctx, d, list)
	}
	return nil
}

// report logs that following fails, and that it works again, once each.
func (f *follower) report(ctx context.Context, err error) {
	switch {
	case err != nil && !f.failing && ctx.Err() == nil:
		f.failing = true
		f.log.Warn("live pages stand still", "err", err)
	case err == nil && f.failing:
		f.failing = false
		f.log.Info("live pages move again")
	}
}

// send publishes a frame.
func (f *follower) send(ctx context.Context, d delta, list bool) {
	counted, err := fragment(ctx, counters(f.counts(), true))
	if err != nil {
		f.publish(nil) // every page reads itself again
		return
	}
	p := &part{counted: counted, list: list, works: d.works}
	if !list {
		p.machines, p.rows = d.machines, f.rows(d.machines, time.Now(), true)
	}
	f.publish(p)
}

func fragment(ctx context.Context, c templ.Component) ([]byte, error) {
	var html bytes.Buffer
	err := c.Render(ctx, &html)
	return html.Bytes(), err
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
