package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// Journal is what waits on this server while the database is away, and what could
// not be applied when it came back.
type Journal struct {
	Away        *Away                 `json:"away,omitempty" doc:"set while the database is away"`
	Stats       registry.JournalStats `json:"stats"`
	DeadLetters []DeadLetter          `json:"dead_letters" doc:"the newest 100"`
}

// Away is a time without the database.
type Away struct {
	Since time.Time `json:"since"`
	AsOf  time.Time `json:"as_of,omitzero" doc:"what is shown was read then"`
	Cause string    `json:"cause"`
}

// DeadLetter is a record that could not be applied, and why.
type DeadLetter struct {
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
	Record string    `json:"record"`
}

func (s *Server) mountJournal(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "get-journal", Method: http.MethodGet, Path: "/api/v1/journal",
		Summary: "What waits on this server for the database, and what it could not take", Tags: []string{"journal"}}, s.getJournal)
}

type journalOutput struct{ Body Journal }

func (s *Server) getJournal(context.Context, *struct{}) (*journalOutput, error) {
	stats, letters, err := s.registry.Journal()
	if err != nil {
		return nil, s.problem(err)
	}
	out := &journalOutput{Body: Journal{Stats: stats, DeadLetters: []DeadLetter{}}}
	if o := s.registry.Outage(); !o.Since.IsZero() {
		out.Body.Away = &Away{Since: o.Since, AsOf: o.AsOf, Cause: o.Cause}
	}
	for _, l := range letters {
		out.Body.DeadLetters = append(out.Body.DeadLetters, DeadLetter{At: l.At, Why: l.Why, Record: string(l.Record)})
	}
	return out, nil
}

// Journal is what waits on the server for the database.
func (c *Client) Journal(ctx context.Context) (Journal, error) {
	var reply Journal
	err := c.do(ctx, http.MethodGet, "/api/v1/journal", nil, &reply)
	return reply, err
}
