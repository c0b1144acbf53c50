package ui

import (
	"bytes"
	"cmp"
	"net/http"
	"strconv"
	"time"
)

const (
	heartbeat    = 15 * time.Second
	writeTimeout = 10 * time.Second // a browser that takes nothing for so long is gone
)

// message encodes one server-sent event (HTML Living Standard section 9.2): n
// is its id, event its name or empty. Each line of data becomes a field of its
// own, so text from a machine cannot start another field.
func message(n int64, event string, data []byte) []byte {
	out := make([]byte, 0, len(data)+len(event)+64)
	out = append(strconv.AppendInt(append(out, "id: "...), n, 10), '\n')
	if event != "" {
		out = append(append(append(out, "event: "...), event...), '\n')
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		out = append(append(append(out, "data: "...), line...), '\n')
	}
	return append(out, '\n')
}

// serveLive streams frames until the browser leaves. It starts after the frame
// the browser saw last: the one its page came with, or the one it was sent
// before the connection broke.
func (u *UI) serveLive(w http.ResponseWriter, r *http.Request) error {
	after := cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after"))
	seen, err := strconv.ParseInt(after, 10, 64)
	if err != nil {
		seen = -1 // no such frame: read the page again
	}
	rd, err := readerOf(r, viewIn(r))
	if err != nil {
		return err
	}
	rd.seen = seen
	leave := u.live.join(r.Context())
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold it back
	s := stream{w: w, control: http.NewResponseController(w)}
	u.stream(r, &s, rd)
	return nil // it has been answered; a browser that left is no error
}

func (u *UI) stream(r *http.Request, s *stream, rd *reader) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	s.send(u.pulse(r, rd.seen))
	for s.err == nil {
		parts, newest, lost, more := u.live.since(rd.seen)
		if lost {
			s.send(message(newest, "list", nil))
		}
		for _, p := range parts {
			s.send(rd.take(r.Context(), p))
		}
		rd.seen = newest
		if rd.stale(time.Now()) {
			s.send(message(newest, "list", nil))
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-rd.later(time.Now()):
		case <-beat.C:
			s.send(u.pulse(r, rd.seen))
		}
	}
}

// pulse is the heartbeat. It is a message and not a comment, because a page
// cannot see comments, and must notice when it hears nothing any more. It
// carries what is wrong now.
func (u *UI) pulse(r *http.Request, seen int64) []byte {
	html, err := fragment(r.Context(), problems(u.Problems(), true))
	if err != nil {
		return nil // the browser is leaving
	}
	return message(seen, "", html)
}

// stream writes to one browser, until it fails.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *stream) send(data []byte) {
	if s.err != nil {
		return
	}
	// A writer without deadlines (a test's) blocks as long as it likes.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, s.err = s.w.Write(data); s.err == nil {
		s.err = s.control.Flush()
	}
}
