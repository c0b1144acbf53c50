package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// BulkRequest is the body of POST /api/v1/machines/bulk: one action for the
// machines that are named, or those that a filter selects. Each action takes its
// own parameters and no others.
type BulkRequest struct {
	Machines []string `json:"machines,omitempty" maxItems:"10000" doc:"IDs or names; or filter" example:"[\"brave-otter\"]"`
	Filter   string   `json:"filter,omitempty" maxLength:"1000" doc:"as in the list of machines, and not empty; it may select 10,000" example:"state:ready tag:gpu"`
	Action   string   `json:"action" enum:"edit,tag,untag,lock,unlock,retire,restore,delete,instruct"`
	DryRun   bool     `json:"dry_run,omitempty" doc:"tell what would be done to which machine, and why not; change nothing"`

	Edit        *PatchRequest        `json:"edit,omitempty" doc:"for edit: what to change; a name only for one machine"`
	Tags        []string             `json:"tags,omitempty" doc:"for tag and untag: those to add, or to take away"`
	Note        string               `json:"note,omitempty" maxLength:"256" doc:"for lock: why, for whoever comes upon it"`
	Force       bool                 `json:"force,omitempty" doc:"for unlock: also a lock of somebody else"`
	Instruction registry.Instruction `json:"instruction,omitempty" enum:"wait,reboot,local_boot" doc:"for instruct"`
}

// BulkReply says what became of each machine, in the order they were named, or by
// name.
type BulkReply struct {
	DryRun  bool         `json:"dry_run,omitempty" doc:"nothing was changed"`
	Done    int          `json:"done" doc:"how many were changed, or would be"`
	Refused int          `json:"refused" doc:"how many were not"`
	Results []BulkResult `json:"results"`
}

// BulkResult is what became of one machine. A problem is what the same action on
// this machine alone is answered with.
type BulkResult struct {
	ID      string `json:"id,omitempty" doc:"empty for one that is not there"`
	Name    string `json:"name" doc:"what it is called; as it was asked for when it is not there"`
	Status  int    `json:"status" example:"200"`
	Problem *Error `json:"problem,omitempty"`
}

func (s *Server) mountBulk(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "bulk-machines", Method: http.MethodPost, Path: "/api/v1/machines/bulk",
		Summary: "One action for many machines, answered one by one", Tags: []string{"machines"}, MaxBodyBytes: maxBody,
		Description: "Each machine is changed, or refused, on its own: the answer is 200 also where all were refused. " +
			"While the database is away the whole is refused. When the client goes away, what was not begun is not done.",
		Errors: []int{400, 413, 422, 503}}, s.bulk)
	api.OpenAPI().Paths["/api/v1/machines/bulk"].Post.RequestBody.Content["application/json"].Example =
		BulkRequest{Action: "retire", Filter: "label.rack:a1 -tag:gpu", DryRun: true}
}

type bulkOutput struct{ Body BulkReply }

func (s *Server) bulk(ctx context.Context, in *struct{ Body BulkRequest }) (*bulkOutput, error) {
	req := in.Body
	if req.DryRun {
		ctx = registry.WithDryRun(ctx)
	}
	all, err := s.registry.Bulk(ctx, registry.Selection{Machines: req.Machines, Filter: req.Filter}, req.bulk())
	if err != nil {
		return nil, s.problem(err)
	}
	out := &bulkOutput{Body: BulkReply{DryRun: req.DryRun, Done: registry.Done(all), Results: make([]BulkResult, 0, len(all))}}
	out.Body.Refused = len(all) - out.Body.Done
	for _, o := range all {
		out.Body.Results = append(out.Body.Results, s.result(o))
	}
	return out, nil
}

func (req BulkRequest) bulk() registry.Bulk {
	b := registry.Bulk{Action: registry.BulkAction(req.Action), Tags: req.Tags, Note: req.Note, Force: req.Force, Instruction: req.Instruction}
	if req.Edit != nil {
		patch := req.Edit.patch()
		b.Edit = &patch
	}
	return b
}

// result is an outcome on the wire.
func (s *Server) result(o registry.Outcome) BulkResult {
	r := BulkResult{ID: o.ID, Name: o.Name, Status: http.StatusOK}
	if o.Err != nil {
		r.Problem = errorOf(s.problem(o.Err))
		r.Status = r.Problem.Status
	}
	return r
}

// Bulk carries out one action for many machines. What became of each is in the
// reply, also where all were refused.
func (c *Client) Bulk(ctx context.Context, req BulkRequest) (BulkReply, error) {
	var reply BulkReply
	err := c.do(ctx, http.MethodPost, "/api/v1/machines/bulk", req, &reply)
	return reply, err
}
