package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

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
	if err := req.check(); err != nil {
		return nil, err
	}
	if !s.registry.Outage().Since.IsZero() {
		return nil, s.problem(registry.ErrUnavailable)
	}
	if req.DryRun {
		ctx = registry.WithDryRun(ctx)
	}
	targets, err := s.targets(ctx, BulkRequest{Machines: req.Machines, Filter: req.Filter})
	if err != nil {
		return nil, err
	}
	batch := registry.NewBatch(req.Concurrency)
	replies := newReplies(targets)
	s.each(ctx, targets, func(ctx context.Context, id string) error {
		plan, err := s.registry.Deploy(ctx, id, req.Deployment, batch)
		if err != nil {
			return err
		}
		reply := s.deployReply(plan, req.DryRun)
		replies.put(id, &reply)
		return nil
	})
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, s.problem(err)
	}
	out := &deployManyOutput{DeployManyReply{DryRun: req.DryRun, Batch: batch.ID, Results: make([]DeployResult, 0, len(targets))}}
	for _, t := range targets {
		result := DeployResult{BulkResult: t, Reply: replies.of[t.ID]}
		if reply := result.Reply; reply != nil && reply.Plan != nil && len(reply.Plan.Problems) > 0 {
			result.fail(&reply.Plan.Problems[0])
		}
		if result.Problem == nil {
			out.Body.Done++
		}
		out.Body.Results = append(out.Body.Results, result)
	}
	out.Body.Refused = len(targets) - out.Body.Done
	return out, nil
}

// check reports what is wrong with the request as a whole.
func (req DeployManyRequest) check() error {
	invalid := &registry.InvalidError{}
	wrong := func(pointer, message string) {
		invalid.Fields = append(invalid.Fields, registry.FieldError{Pointer: pointer, Message: message})
	}
	if (len(req.Machines) == 0) == (strings.TrimSpace(req.Filter) == "") {
		wrong("/machines", "say which machines: either machines or a filter")
	}
	many := req.Filter != "" || len(req.Machines) > 1
	if many && req.Deployment.Seed.Hostname != "" {
		wrong("/deployment/seed/hostname", "a host name is for one machine; without one each is called by its own name")
	}
	if many && req.Deployment.Confirm != "" {
		wrong("/deployment/confirm", "it names the disk of one machine; for many, say erase, with the disks of all of them")
	}
	if len(invalid.Fields) > 0 {
		return refused(invalid)
	}
	return nil
}

// DeployMany deploys many machines. What became of each is in the reply, also where
// all were refused.
func (c *Client) DeployMany(ctx context.Context, req DeployManyRequest) (DeployManyReply, error) {
	var reply DeployManyReply
	err := c.do(ctx, http.MethodPost, deploymentsPath, req, &reply)
	return reply, err
}

// replies gathers the answers of many machines.
type replies struct {
	mu sync.Mutex
	of map[string]*DeployReply // by ID of the machine
}

func newReplies(targets []BulkResult) *replies {
	return &replies{of: make(map[string]*DeployReply, len(targets))}
}

func (r *replies) put(id string, reply *DeployReply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[id] = reply
}
