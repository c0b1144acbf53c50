package api

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

const (
	deploymentsPath = "/api/v1/deployments"
	deploymentPath  = deploymentsPath + "/{id}"
)

func (s *Server) mountDeployments(api huma.API) {
	tags := []string{"deployments"}
	huma.Register(api, huma.Operation{OperationID: "list-deployments", Method: http.MethodGet, Path: deploymentsPath,
		Summary: "List deployments, the newest first", Tags: tags, Errors: []int{422, 503}}, s.listDeployments)
	huma.Register(api, huma.Operation{OperationID: "get-deployment", Method: http.MethodGet, Path: deploymentPath,
		Summary: "One deployment, with how far it is", Tags: tags, Errors: []int{404, 503}}, s.getDeployment)
	huma.Register(api, huma.Operation{OperationID: "cancel-deployment", Method: http.MethodPost, Path: deploymentPath + "/cancel",
		Summary: "End a deployment", Tags: tags, Description: "Where nothing has been written the disk stays as it is, and the machine is what it was. " +
			"Else the machine has failed, and the reason says what is on its disk.", Errors: []int{404, 409, 503}}, s.cancelDeployment)
	huma.Register(api, huma.Operation{OperationID: "retry-deployment", Method: http.MethodPost, Path: deploymentPath + "/retry",
		Summary: "Ask anew for what has ended without success", Tags: tags, DefaultStatus: http.StatusCreated,
		Errors: []int{404, 409, 422, 423, 503}}, s.retryDeployment)
	huma.Register(api, huma.Operation{OperationID: "deployment-template", Method: http.MethodGet, Path: deploymentPath + "/template",
		Summary: "The template that a deployment carries out, secrets and all", Tags: tags, Errors: []int{404, 503},
		Responses: plainText("the template as it was rendered for the machine", "version: \"0.1\"\nname: debian-12\n")}, s.deploymentTemplate)
	huma.Register(api, huma.Operation{OperationID: "deploy-machine", Method: http.MethodPost, Path: machinePath + "/deploy",
		Summary: "Put an operating system on a machine, wipe its disk, or boot something once", Tags: tags, MaxBodyBytes: maxBody, DefaultStatus: http.StatusCreated,
		Description: "With dry_run nothing is changed: the answer says which disk would be written and what is on it, what would be carried out, and what the request would be refused for.",
		Errors:      []int{404, 409, 422, 423, 503}}, s.deployMachine)
	s.mountDeployMany(api)
	s.mountDeploymentLog(api)
}

// plainText describes an answer that is no JSON.
func plainText(description string, example any) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: description,
		Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}, Example: example}}}}
}

type deploymentsInput struct {
	State     []registry.DeploymentState `query:"state" maxItems:"8" enum:"pending,waiting,running,verifying,succeeded,failed,cancelled,timed_out" doc:"one of these" example:"running,verifying"`
	OS        string                     `query:"os" maxLength:"64" doc:"ID of an operating system" example:"debian-12"`
	Machine   string                     `query:"machine" maxLength:"128" doc:"ID or name"`
	Batch     string                     `query:"batch" maxLength:"32" doc:"those that were asked for together"`
	PageSize  int                        `query:"page_size" minimum:"1" maximum:"500" default:"100" doc:"at most this many"`
	PageToken string                     `query:"page_token" maxLength:"2000" doc:"next_page_token of the page before, with the same other parameters"`
}

type deploymentsOutput struct {
	Body struct {
		Deployments []Deployment `json:"deployments"`
		Next        string       `json:"next_page_token,omitempty" doc:"empty on the last page"`
	}
}

func (s *Server) listDeployments(ctx context.Context, in *deploymentsInput) (*deploymentsOutput, error) {
	q := registry.DeploymentQuery{States: in.State, OS: in.OS, Batch: in.Batch, Limit: in.PageSize}
	if in.PageToken != "" {
		token, err := parsePageToken(in.PageToken)
		at, errTime := time.Parse(time.RFC3339Nano, token.Position.Key)
		if err != nil || errTime != nil || token.List != in.list() {
			return nil, huma.Error422UnprocessableEntity("page_token is not one of this list: start again without it",
				&huma.ErrorDetail{Location: "query.page_token", Message: "want next_page_token of the page before, with the same other parameters"})
		}
		q.After = registry.DeploymentPosition{CreatedAt: at, ID: token.Position.ID}
	}
	if in.Machine != "" {
		m, err := s.registry.Machine(ctx, in.Machine)
		if err != nil {
			return nil, s.problem(err)
		}
		q.Machines = []string{m.ID}
	}
	found, err := s.registry.Deployments(ctx, q)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &deploymentsOutput{}
	out.Body.Deployments = make([]Deployment, 0, len(found))
	for _, d := range found {
		out.Body.Deployments = append(out.Body.Deployments, s.deployment(d))
	}
	if len(found) == q.Limit {
		last := found[len(found)-1].Position()
		out.Body.Next = pageToken{List: in.list(), Position: registry.Position{Key: last.CreatedAt.Format(time.RFC3339Nano), ID: last.ID}}.encode()
	}
	return out, nil
}

// list tells lists apart: a page of one does not continue another.
func (in *deploymentsInput) list() uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%v\x00%s\x00%s\x00%s", in.State, in.OS, in.Machine, in.Batch))
}

type deploymentInput struct {
	ID string `path:"id" maxLength:"32" doc:"ID of a deployment" example:"d-4k2j7q3mzt5a"`
}

type deploymentOutput struct{ Body Deployment }

func (s *Server) getDeployment(ctx context.Context, in *deploymentInput) (*deploymentOutput, error) {
	d, err := s.registry.Deployment(ctx, in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	return &deploymentOutput{s.deployment(d)}, nil
}

func (s *Server) cancelDeployment(ctx context.Context, in *deploymentInput) (*deploymentOutput, error) {
	d, err := s.registry.Cancel(ctx, in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	return &deploymentOutput{s.deployment(d)}, nil
}

type deployOutput struct {
	Status int
	Body   DeployReply
}

func (s *Server) retryDeployment(ctx context.Context, in *deploymentInput) (*deployOutput, error) {
	plan, err := s.registry.Retry(ctx, in.ID, registry.Batch{})
	if err != nil {
		return nil, s.problem(err)
	}
	return &deployOutput{http.StatusCreated, s.deployReply(plan, false)}, nil
}

type textOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) deploymentTemplate(ctx context.Context, in *deploymentInput) (*textOutput, error) {
	recipe, err := s.registry.Recipe(ctx, in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	return &textOutput{"text/plain; charset=utf-8", []byte(recipe.Text)}, nil
}

type deployInput struct {
	ID     string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	DryRun bool   `query:"dry_run" doc:"tell what would be done; change nothing"`
	Body   registry.DeployRequest
}

func (s *Server) deployMachine(ctx context.Context, in *deployInput) (*deployOutput, error) {
	status := http.StatusCreated
	if in.DryRun {
		ctx, status = registry.WithDryRun(ctx), http.StatusOK
	}
	plan, err := s.registry.Deploy(ctx, in.ID, in.Body, registry.Batch{})
	if err != nil {
		return nil, s.problem(err)
	}
	return &deployOutput{status, s.deployReply(plan, in.DryRun)}, nil
}

// DeploymentSelection is which deployments are listed. The zero value is all.
type DeploymentSelection struct {
	States             []registry.DeploymentState
	OS, Machine, Batch string // Machine by ID or name
}

// Deployments lists one page of deployments, the newest first, and the token of the
// next page, empty on the last. The first page has the empty token.
func (c *Client) Deployments(ctx context.Context, s DeploymentSelection, token string, limit int) ([]Deployment, string, error) {
	var reply struct {
		Deployments []Deployment `json:"deployments"`
		Next        string       `json:"next_page_token"`
	}
	states := make([]string, len(s.States))
	for i, state := range s.States {
		states[i] = string(state)
	}
	query := url.Values{"os": {s.OS}, "machine": {s.Machine}, "batch": {s.Batch}, "page_size": {fmt.Sprint(limit)}, "page_token": {token}}
	if len(states) > 0 {
		query.Set("state", strings.Join(states, ","))
	}
	err := c.do(ctx, http.MethodGet, deploymentsPath+"?"+query.Encode(), nil, &reply)
	return reply.Deployments, reply.Next, err
}

// AllDeployments lists up to limit deployments of the selection, page by page.
func (c *Client) AllDeployments(ctx context.Context, s DeploymentSelection, limit int) (all []Deployment, err error) {
	for token := ""; len(all) < limit; {
		page, next, err := c.Deployments(ctx, s, token, min(limit-len(all), 500))
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if token = next; token == "" {
			break
		}
	}
	return slices.Clip(all), nil
}

func deploymentURL(id, rest string) string { return deploymentsPath + "/" + url.PathEscape(id) + rest }

// Deployment is one deployment.
func (c *Client) Deployment(ctx context.Context, id string) (Deployment, error) {
	var reply Deployment
	err := c.do(ctx, http.MethodGet, deploymentURL(id, ""), nil, &reply)
	return reply, err
}

// Deploy has something put on a machine's disk; for a dry run, it tells what would be
// done.
func (c *Client) Deploy(ctx context.Context, machine string, req registry.DeployRequest, dryRun bool) (DeployReply, error) {
	var reply DeployReply
	err := c.do(ctx, http.MethodPost, machineURL(machine, fmt.Sprintf("/deploy?dry_run=%v", dryRun)), req, &reply)
	return reply, err
}

// CancelDeployment ends a deployment.
func (c *Client) CancelDeployment(ctx context.Context, id string) (Deployment, error) {
	var reply Deployment
	err := c.do(ctx, http.MethodPost, deploymentURL(id, "/cancel"), nil, &reply)
	return reply, err
}

// RetryDeployment asks anew for what has ended without success.
func (c *Client) RetryDeployment(ctx context.Context, id string) (DeployReply, error) {
	var reply DeployReply
	err := c.do(ctx, http.MethodPost, deploymentURL(id, "/retry"), nil, &reply)
	return reply, err
}
