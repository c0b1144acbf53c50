package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

const (
	sseIdle  = 15 * time.Second // a comment this often keeps proxies from closing an idle stream
	sseWrite = 10 * time.Second // a reader that takes longer than this for a few events is cut off
)

func (s *Server) mountEvents(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: "/api/v1/events",
		Summary:     "Everything that happens, as server-sent events",
		Description: "Starts after Last-Event-ID (or ?after=) where given, else with what happens from now on.",
		Tags:        []string{"events"},
		Responses: map[string]*huma.Response{"200": {Description: "a stream of events",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}},
	}, s.events)
}

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"20"`
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
		w.WriteHeader(http.StatusOK)
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

// stream writes events until the client goes away or stops reading.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, after int64) {
	out := http.NewResponseController(w)
	if out.Flush() != nil { // the headers, so that the client knows it is connected
		return
	}
	for {
		wait, cancel := context.WithTimeout(ctx, sseIdle)
		events, err := s.registry.Feed().Next(wait, after)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil && wait.Err() == nil {
			s.log.Warn("read the event feed", "err", err)
			return // the client comes back with the last id it saw
		}
		_ = out.SetWriteDeadline(s.now().Add(sseWrite))
		if len(events) == 0 {
			_, err = io.WriteString(w, ": still here\n\n")
		}
		for _, e := range events {
			data, _ := json.Marshal(eventOf(e)) // strings and numbers only: cannot fail
			_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data)
			after = e.Seq
		}
		if flushErr := out.Flush(); err != nil || flushErr != nil {
			return
		}
	}
}
