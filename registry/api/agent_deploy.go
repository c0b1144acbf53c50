package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// ClaimRequest is the body of POST /api/v1/agent/deployment/claim. The boot that
// claims a deployment first carries it out; the same one may claim it again, after
// it lost its connection.
type ClaimRequest struct {
	BootID string `json:"boot_id" minLength:"8" maxLength:"64" pattern:"^[0-9A-Za-z-]+$" doc:"of the kernel that runs: /proc/sys/kernel/random/boot_id"`
}

// Work is what an agent carries out: its actions in their order, from ResumeFrom
// on.
//
// Each action is reported when it begins and when it ended, and each report is sent
// again until the server has taken it. Before the first byte of a disk is changed a
// report that says Wrote must have been taken. Where the last action ends this boot
// (reboot, kexec, poweroff), its success is reported before it is done.
type Work struct {
	Deployment string                  `json:"deployment"`
	Kind       registry.DeploymentKind `json:"kind"`
	Attempt    int                     `json:"attempt" doc:"goes into every report: those of another attempt are refused"`
	Disk       registry.DeploymentDisk `json:"disk,omitzero" doc:"what is written; another disk in its place is a failure, and is not touched"`
	Actions    []registry.RecipeAction `json:"actions"`
	ResumeFrom int                     `json:"resume_from" doc:"index of the first action that has not succeeded"`
	Wrote      bool                    `json:"wrote,omitempty" doc:"this boot has begun to change the disk"`
	Token      string                  `json:"token,omitempty" doc:"a fresh machine token; set when the old one is about to expire"`
}

// ReportRequest is the body of POST /api/v1/agent/deployment/report. The same
// report may be sent any number of times.
type ReportRequest struct {
	Deployment string               `json:"deployment" maxLength:"32"`
	Attempt    int                  `json:"attempt" minimum:"1"`
	Action     int                  `json:"action" minimum:"0" maximum:"1000" doc:"index of the action it is about"`
	State      registry.ActionState `json:"state" enum:"running,succeeded,failed"`
	Message    string               `json:"message,omitempty" maxLength:"4096" doc:"how the action ended; why, where it failed"`
	Wrote      bool                 `json:"wrote,omitempty" doc:"the disk is about to be changed, or was"`
	Progress   *registry.Progress   `json:"progress,omitempty"`
	LinesFrom  int                  `json:"lines_from,omitempty" minimum:"0" maximum:"1000000000" doc:"number of the first of lines; they are counted from 0 in each attempt"`
	Lines      []string             `json:"lines,omitempty" maxItems:"500" doc:"of the log; control characters are taken out, and each is cut at 1000 bytes"`
}

// ReportReply tells the agent whether to go on.
type ReportReply struct {
	Do     string `json:"do" enum:"continue,cancel" doc:"cancel: stop as soon as possible, and wait for instructions"`
	Reason string `json:"reason,omitempty" doc:"why it is to stop"`
	Token  string `json:"token,omitempty" doc:"a fresh machine token; set when the old one is about to expire"`
}

// What a [ReportReply] says.
const (
	ReportContinue = "continue"
	ReportCancel   = "cancel"
)

const agentDeployment = agentPath + "deployment/"

func (s *Server) mountAgentDeployment(api huma.API, security []map[string][]string) {
	check := huma.Middlewares{authorise(api, s.tokens.CheckMachine)}
	huma.Register(api, huma.Operation{
		OperationID: "claim-deployment", Method: http.MethodPost, Path: agentDeployment + "claim",
		Summary: "Take up the machine's deployment (machine token)", Tags: []string{"agent"}, Security: security,
		MaxBodyBytes: maxForm, Errors: []int{401, 409, 422, 503}, Middlewares: check,
	}, s.claimDeployment)
	huma.Register(api, huma.Operation{
		OperationID: "report-deployment", Method: http.MethodPost, Path: agentDeployment + "report",
		Summary: "Tell what became of an action, and learn whether to go on (machine token)", Tags: []string{"agent"}, Security: security,
		MaxBodyBytes: maxBody, Errors: []int{401, 404, 409, 413, 422, 503}, Middlewares: check,
	}, s.reportDeployment)
}

type workOutput struct{ Body Work }

func (s *Server) claimDeployment(ctx context.Context, in *struct{ Body ClaimRequest }) (*workOutput, error) {
	who := bearer[registry.MachineToken](ctx)
	d, recipe, err := s.registry.ClaimByAgent(ctx, who.ID, registry.AgentBoot{Token: who.Boot, ID: in.Body.BootID})
	if stale, is := errors.AsType[*registry.StaleBootError](err); is { // its agent restarts, and registers again
		return nil, huma.Error401Unauthorized(stale.Error())
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil, huma.Error401Unauthorized("this machine's record was removed; boot it again to register")
	}
	if err != nil {
		return nil, s.problem(err)
	}
	return &workOutput{Work{Deployment: d.ID, Kind: d.Kind, Attempt: d.Attempt, Disk: d.Disk, Actions: recipe.Actions, ResumeFrom: d.Action, Wrote: d.Wrote, Token: who.Renewed}}, nil
}

type reportOutput struct{ Body ReportReply }

func (s *Server) reportDeployment(ctx context.Context, in *struct{ Body ReportRequest }) (*reportOutput, error) {
	r, who := in.Body, bearer[registry.MachineToken](ctx)
	cancel, err := s.registry.Report(ctx, who.ID, registry.ActionReport{Deployment: r.Deployment, Boot: who.Boot, Attempt: r.Attempt,
		Action: r.Action, State: r.State, Message: r.Message, Wrote: r.Wrote, Progress: r.Progress, LinesFrom: r.LinesFrom, Lines: r.Lines})
	if err != nil {
		return nil, s.problem(err)
	}
	if cancel != "" {
		return &reportOutput{ReportReply{Do: ReportCancel, Reason: cancel, Token: who.Renewed}}, nil
	}
	return &reportOutput{ReportReply{Do: ReportContinue, Token: who.Renewed}}, nil
}

// Claim takes up the machine's deployment; 409 where there is none to take up. The
// token must be the machine token.
func (c *Client) Claim(ctx context.Context, bootID string) (Work, error) {
	var reply Work
	err := c.do(ctx, http.MethodPost, agentDeployment+"claim", ClaimRequest{BootID: bootID}, &reply)
	return reply, err
}

// Report tells what became of an action, and learns whether to go on. The token must
// be the machine token.
func (c *Client) Report(ctx context.Context, report ReportRequest) (ReportReply, error) {
	var reply ReportReply
	err := c.do(ctx, http.MethodPost, agentDeployment+"report", report, &reply)
	return reply, err
}
