package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// AuditEntry is one change that somebody made, on the wire.
type AuditEntry struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Actor  registry.Actor  `json:"actor"`
	Action string          `json:"action" doc:"such as machine.lock"`
	Object string          `json:"object" doc:"what was changed: a machine's ID, account/NAME, token/ID"`
	Before json.RawMessage `json:"before,omitempty" doc:"what changed, as it was"`
	After  json.RawMessage `json:"after,omitempty" doc:"the same, as it is since"`
}

// AuditQuery selects entries of the audit log.
type AuditQuery struct {
	Object string // of this object only
	Before int64  // numbered below; 0: the newest
	Limit  int    // 0: 100
}

func (s *Server) mountAudit(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "list-audit", Method: http.MethodGet, Path: "/api/v1/audit",
		Summary: "Who changed what, the newest first", Tags: []string{"audit"}}, s.listAudit)
}

type auditInput struct {
	Object string `query:"object" maxLength:"256" doc:"only what changed this object: a machine's ID, account/NAME, token/ID" example:"account/ana"`
	Before int64  `query:"before" minimum:"0" doc:"only entries with a lower id: the next page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most this many"`
}

type auditOutput struct {
	Body struct {
		Entries []AuditEntry `json:"entries"`
	}
}

func (s *Server) listAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	entries, err := s.accounts.Audit(ctx, in.Object, in.Before, in.Limit)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &auditOutput{}
	out.Body.Entries = make([]AuditEntry, 0, len(entries))
	for _, e := range entries {
		out.Body.Entries = append(out.Body.Entries, AuditEntry{ID: e.Seq, At: e.At, Actor: e.Actor,
			Action: e.Action, Object: e.Object, Before: e.Before, After: e.After})
	}
	return out, nil
}

// Audit lists entries of the audit log, the newest first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	values := url.Values{}
	if q.Object != "" {
		values.Set("object", q.Object)
	}
	if q.Before > 0 {
		values.Set("before", strconv.FormatInt(q.Before, 10))
	}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	var reply struct {
		Entries []AuditEntry `json:"entries"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/audit?"+values.Encode(), nil, &reply)
	return reply.Entries, err
}
