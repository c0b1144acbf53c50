package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"dragonfly/registry"
)

const (
	sseIdle  = 15 * time.Second       // a comment this often keeps proxies from closing an idle stream
	sseTick  = 100 * time.Millisecond // what happens within it is written at once
	sseAgain = time.Second            // after which events that only the database has are asked for again
	sseWrite = 10 * time.Second       // a reader that takes longer than this for a few events is cut off
)

func (s *Server) mountEvents(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: "/api/v1/events",
		Summary: "Everything that happens, as server-sent events",
		Description: "Starts after Last-Event-ID (or ?after=) where given, else with what happens from now on: an id without an event says from where. " +
			"The event \"resync\" says that events were missed, or that the database was restored to an older state: load anew what you show. " +
			"The event \"deployment.progress\" has no id, and says how far a deployment is whose agent reports to this server, once a second at most.",
		Tags: []string{"events"},
		Responses: map[string]*huma.Response{"200": {Description: "a stream of events",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}, Example: sseExample}}}},
	}, s.events)
}

const sseExample = `id: 1042
event: machine.registered
data: {"id":1042,"at":"2026-11-23T12:00:00Z","kind":"machine.registered","machine":"m-7f3a9c2e1b4d","mac":"52:54:00:12:34:56","message":"registered for the first time"}

`

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"the id of the last event that was seen: go on behind it" example:"1042"`
	After       string `query:"after" maxLength:"20" doc:"the same as Last-Event-ID, for clients that cannot set headers"`
}

func (s *Server) events(_ context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	after, err := s.startOf(in)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		if r.ProtoMajor == 1 {
			// To the end of the connection, and not in chunks: net/http writes a chunk
			// that is larger than its buffer in two pieces.
			w.Header().Set("Transfer-Encoding", "identity")
		}
		w.WriteHeader(http.StatusOK)
		if in.LastEventID+in.After == "" { // from here on the client misses nothing, whenever it breaks off
			_, _ = fmt.Fprintf(w, "id: %d\n\n", after) // a reader that went away shows below
		}
		s.stream(r.Context(), w, after)
	}}, nil
}

// startOf is the number of the event to start after. One from the future comes
// from another database and is taken as "now".
func (s *Server) startOf(in *eventsInput) (int64, error) {
	text, location := in.LastEventID, "header.Last-Event-ID"
	if text == "" {
		text, location = in.After, "query.after"
	}
	last := s.registry.Feed().Last()
	if text == "" {
		return last, nil
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, huma.Error422UnprocessableEntity("the number of an event is not negative",
			&huma.ErrorDetail{Location: location, Message: "want the id of an event", Value: text})
	}
	return min(after, last), nil
}

// stream writes events until the client goes away or stops reading. What
// happens is written in ticks, the same for all streams, so that a burst costs
// one write and one encoding, and not one for each event and client.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, after int64) {
	s.beats.join()
	defer s.beats.leave()
	out := http.NewResponseController(w)
	shown := s.beats.now().shown
	if out.Flush() != nil { // the headers
		return
	}
	for more := false; ; {
		events, err := s.burst(ctx, after, shown, more)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, registry.ErrRewound) {
			after = s.registry.Feed().Last()
			err = writeResync(w, after, 0)
		}
		if err != nil && !errors.Is(err, registry.ErrUnavailable) {
			s.log.Warn("read the event feed", "err", err)
			return // the client comes back with the last id it saw
		}
		if err != nil && !sleep(ctx, sseAgain) { // what it asks for is in the database only
			return
		}
		_ = out.SetWriteDeadline(s.now().Add(sseWrite))
		if s.staleness().Stale {
			_, _ = io.WriteString(w, ": the database is away\n") // a reader that went away shows below
		}
		written := after
		events, more = frameOf(events)
		if len(events) > 0 {
			after = events[len(events)-1].Seq
		}
		progress, next, _ := s.registry.Watch(shown)
		shown = next
		// What is named behind this is kept while the client does not read, for each one.
		err = s.writeProgress(w, progress)
		if len(events) > 0 || len(progress) == 0 {
			err = errors.Join(err, s.write(w, events, written))
		}
		if err != nil || out.Flush() != nil {
			return
		}
	}
}

// maxFrame is how many events are written at once: some 16 kB, which are kept for each
// client that does not read.
const maxFrame = 64

// frameOf is those events that are written at once: the first ones, up to where some
// are no longer kept.
func frameOf(events []registry.Event) (first []registry.Event, more bool) {
	n := min(len(events), maxFrame)
	for i := 1; i < n; i++ {
		if events[i].Seq != events[i-1].Seq+1 {
			n = i
		}
	}
	return events[:n], n < len(events)
}

// burst waits for events after the given number, or for a deployment to get on, to
// the end of the tick, and returns the events; none when nothing happened for a
// while. Those of the tick before that were too many for one frame are not waited for.
func (s *Server) burst(ctx context.Context, after int64, shown uint64, more bool) ([]registry.Event, error) {
	feed := s.registry.Feed()
	if !more && (!s.beats.await(ctx, moment{after, shown}) || feed.Last() == after) {
		return nil, ctx.Err()
	}
	return feed.Next(ctx, after)
}

// sleep waits for d and reports whether it passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// writeProgress sends how far deployments are. It has no number: one who missed it
// asks for the deployment.
func (s *Server) writeProgress(w io.Writer, progress []registry.Deployment) error {
	for _, d := range progress {
		text, err := json.Marshal(ProgressEvent{Deployment: d.ID, Machine: d.Machine, Action: d.Action, DeploymentProgress: s.progress(d)})
		if err == nil {
			_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", ProgressKind, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write sends the events of a frame, which come after the given number, or a sign of
// life. Events are numbered without a gap, so where the first is not the next one, those
// between are no longer kept: the client is told to load anew what it shows.
func (s *Server) write(w io.Writer, events []registry.Event, after int64) error {
	if len(events) == 0 {
		_, err := io.WriteString(w, ": still here\n\n")
		return err
	}
	if first := events[0].Seq; first > after+1 {
		if err := writeResync(w, first-1, first-1-after); err != nil {
			return err
		}
	}
	_, err := w.Write(s.frames.encode(events))
	return err
}

// writeResync tells the client to load anew what it shows, and to go on behind an event.
func writeResync(w io.Writer, behind, missed int64) error {
	_, err := fmt.Fprintf(w, "id: %d\nevent: resync\ndata: {\"missed\":%d}\n\n", behind, missed)
	return err
}
