package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Resync is the kind of the event that a client gets in place of events that are
// no longer kept; its ID is the number of the last of them.
const Resync = "resync"

// Events hands each event numbered above after (below 0: what happens from now on)
// to each, as it happens, until ctx ends, each errs, or the server refuses. A stream that breaks off is resumed
// where it stopped. The error is never nil.
func (c *Client) Events(ctx context.Context, after int64, each func(Event) error) error {
	for {
		last, err := c.events(ctx, after, each)
		stopped, isStop := errors.AsType[stopError](err)
		switch {
		case isStop:
			return stopped.error
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case Status(err) != 0 && Status(err) < http.StatusInternalServerError:
			return err
		}
		if after = last; !sleep(ctx, time.Second) {
			return context.Cause(ctx)
		}
	}
}

// stopError is what the caller's function returned.
type stopError struct{ error }

// events reads one stream and returns the number of the last event it had.
func (c *Client) events(ctx context.Context, after int64, each func(Event) error) (int64, error) {
	path := "/api/v1/events"
	if after >= 0 {
		path += "?after=" + strconv.FormatInt(after, 10)
	}
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return after, stopError{err}
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return after, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return after, decode(resp, nil)
	}
	return after, readEvents(resp.Body, func(e Event) error {
		if e.Kind == "" { // where the stream begins
			after = e.ID
			return nil
		}
		if err := each(e); err != nil {
			return stopError{err}
		}
		after = e.ID
		return nil
	})
}

// maxEvent bounds one line of a stream.
const maxEvent = 1 << 20

// readEvents reads server-sent events (WHATWG HTML section 9.2) until the stream
// ends. An ID without an event is an event without a kind.
func readEvents(stream io.Reader, each func(Event) error) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEvent)
	var id, kind string
	for lines.Scan() {
		if lines.Text() == "" {
			if n, err := strconv.ParseInt(id, 10, 64); err == nil && kind == "" {
				if err := each(Event{ID: n}); err != nil {
					return err
				}
			}
			id, kind = "", ""
			continue
		}
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if kind == ProgressKind { // of no event, and not of the order of events
				continue
			}
			var e Event
			if kind == Resync {
				e.Kind = Resync
				e.ID, _ = strconv.ParseInt(id, 10, 64)
			} else if err := json.Unmarshal([]byte(value), &e); err != nil {
				return fmt.Errorf("event %.80q: %w", value, err)
			}
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
