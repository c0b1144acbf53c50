package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// DeployManyRequest is the body of POST /api/v1/deployments: one deployment for each
// of the machines that are named, or that a filter selects.
type DeployManyRequest struct {
	Machines    []string `json:"machines,omitempty" maxItems:"10000" doc:"IDs or names; or filter" example:"[\"brave-otter\"]"`
	Filter      string   `json:"filter,omitempty" maxLength:"1000" doc:"as in the list of machines, and not empty; it may select 10,000" example:"state:ready tag:gpu"`
	Concurrency int      `json:"concurrency,omitempty" minimum:"0" maximum:"10000" doc:"how many are under way at once, the others wait for their turn; 0: all of them"`
	DryRun      bool     `json:"dry_run,omitempty" doc:"tell what would be done to which machine, and why not; change nothing"`

	Deployment registry.DeployRequest `json:"deployment" doc:"of each"`
}

// DeployManyReply says what became of each machine, in the order they were named, or
// by name.
type DeployManyReply struct {
	DryRun  bool           `json:"dry_run,omitempty" doc:"nothing was changed"`
	Batch   string         `json:"batch,omitempty" doc:"of these deployments"`
	Done    int            `json:"done" doc:"how many were asked for, or would be"`
	Refused int            `json:"refused" doc:"how many were not"`
	Results []DeployResult `json:"results"`
}

// DeployResult is what became of one machine. A problem is what a deployment of this
// machine alone is answered with.
type DeployResult struct {
	BulkResult
	Reply *DeployReply `json:"reply,omitempty"`
}

func (s *Server) mountDeployMany(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "deploy-machines", Method: http.MethodPost, Path: deploymentsPath,
		Summary: "Put an operating system on many machines, answered one by one", Tags: []string{"deployments"}, MaxBodyBytes: maxBody,
		Description: "Each machine is deployed, or refused, on its own: the answer is 200 also where all were refused. " +
			"While the database is away the whole is refused. When the client goes away, what was not begun is not done.",
		Errors: []int{400, 413, 422, 503}}, s.deployMany)
}

type deployManyOutput struct{ Body DeployManyReply }

func (s *Server) deployMany(ctx context.Context, in *struct{ Body DeployManyRequest }) (*deployManyOutput, error) {
	req := in.Body
	if req.DryRun {
		ctx = registry.WithDryRun(ctx)
	}
	batch, all, err := s.registry.DeployMany(ctx, registry.Selection{Machines: req.Machines, Filter: req.Filter}, req.Deployment, req.Concurrency)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &deployManyOutput{DeployManyReply{DryRun: req.DryRun, Batch: batch.ID, Done: registry.Done(all), Results: make([]DeployResult, 0, len(all))}}
	out.Body.Refused = len(all) - out.Body.Done
	for _, o := range all {
		result := DeployResult{BulkResult: s.result(o)}
		if o.Plan != nil {
			reply := s.deployReply(*o.Plan, req.DryRun)
			result.Reply = &reply
		}
		out.Body.Results = append(out.Body.Results, result)
	}
	return out, nil
}

// DeployMany deploys many machines. What became of each is in the reply, also where
// all were refused.
func (c *Client) DeployMany(ctx context.Context, req DeployManyRequest) (DeployManyReply, error) {
	var reply DeployManyReply
	err := c.do(ctx, http.MethodPost, deploymentsPath, req, &reply)
	return reply, err
}
