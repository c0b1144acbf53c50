package ui

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/a-h/templ"

	"dragonfly/registry"
)

// watched is a part of a page that is sent anew when it changes.
type watched struct {
	concerns func(registry.Event) bool // an event after which it may be another
	part     func(context.Context) (templ.Component, error)
}

// lookAnyway is how often a part is made without an event: how far a deployment is has
// none.
const lookAnyway = time.Second

// watch streams a part until the browser leaves. What did not change is not sent. A
// part that cannot be made is left as it is: the page says itself when it hears
// nothing any more.
func (u *UI) watch(w http.ResponseWriter, r *http.Request, p watched) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold it back
	s := stream{w: w, control: http.NewResponseController(w)}
	var last []byte
	n, beat := int64(0), time.Time{}
	for s.err == nil && r.Context().Err() == nil {
		seq := u.Feed.Last()
		if html, err := u.made(r.Context(), p); err == nil && (!bytes.Equal(html, last) || time.Since(beat) >= heartbeat) {
			n, last, beat = n+1, html, time.Now()
			s.send(message(n, "", html))
		}
		sleep(r.Context(), tick)
		u.await(r.Context(), seq, p.concerns)
	}
	return nil // it has been answered; a browser that left is no error
}

func (u *UI) made(ctx context.Context, p watched) ([]byte, error) {
	part, err := p.part(ctx)
	if err != nil {
		return nil, err
	}
	return fragment(ctx, part)
}

// await returns when an event after seq concerns a page, or when it is time to look
// anyway.
func (u *UI) await(ctx context.Context, seq int64, concerns func(registry.Event) bool) {
	ctx, cancel := context.WithTimeout(ctx, lookAnyway)
	defer cancel()
	for {
		events, err := u.Feed.Next(ctx, seq)
		if err != nil {
			return
		}
		for _, e := range events {
			if concerns(e) {
				return
			}
			seq = e.Seq
		}
	}
}
