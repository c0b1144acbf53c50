package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"dragonfly/registry"
)

// Tokens checks and issues the tokens of machines.
type Tokens interface {
	CheckBoot(token string) (registry.MAC, error)
	CheckMachine(token string) (id, renewed string, err error)
	Machine(id string) string
}

// Server answers /api/v1. Who may call the operators' routes is decided before a
// request gets here; the agents' routes check their tokens themselves.
type Server struct {
	registry *registry.Registry
	tokens   Tokens
	accounts Accounts
	log      *slog.Logger
	frames   frames
	now      func() time.Time
}

// maxBody bounds a request: a registration of the largest machine is a quarter
// of it.
const maxBody = 1 << 20

// Config is what the API is about.
type Config struct {
	Registry *registry.Registry
	Tokens   Tokens
	Accounts Accounts
	Log      *slog.Logger
}

// Mount adds the API to router.
func Mount(router chi.Router, cfg Config) {
	s := &Server{registry: cfg.Registry, tokens: cfg.Tokens, accounts: cfg.Accounts, log: cfg.Log, now: time.Now}
	config := huma.DefaultConfig("Dragonfly", "v1")
	config.DocsPath = ""     // its page would load scripts from elsewhere
	config.SchemasPath = ""  // the schemas are in the OpenAPI document
	config.CreateHooks = nil // no $schema member in answers
	config.OpenAPIPath = "/openapi"
	config.Info.Description = "Machines, their hardware and what happens to them."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "boot or machine token of an agent"},
	}
	api := humachi.New(router, config)
	s.mountAgent(api)
	s.mountMachines(api)
	s.mountEvents(api)
	s.mountUsers(api)
}

func (s *Server) mountMachines(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-machines", Method: http.MethodGet, Path: "/api/v1/machines",
		Summary: "List machines by name", Tags: []string{"machines"},
	}, s.listMachines)
	huma.Register(api, huma.Operation{
		OperationID: "get-machine", Method: http.MethodGet, Path: "/api/v1/machines/{id}",
		Summary: "One machine with its hardware, by ID or name", Tags: []string{"machines"},
	}, s.getMachine)
	huma.Register(api, huma.Operation{
		OperationID: "instruct-machine", Method: http.MethodPost, Path: "/api/v1/machines/{id}/instruction",
		Summary: "Queue an instruction for the agent's next poll", Tags: []string{"machines"},
		MaxBodyBytes: maxBody,
	}, s.instruct)
}

type listInput struct {
	PageSize  int    `query:"page_size" minimum:"1" maximum:"1000" default:"100"`
	PageToken string `query:"page_token" maxLength:"128" doc:"next_page_token of the page before"`
}

type listOutput struct {
	Body struct {
		Machines []Machine `json:"machines"`
		Next     string    `json:"next_page_token,omitempty" doc:"empty on the last page"`
	}
}

func (s *Server) listMachines(ctx context.Context, in *listInput) (*listOutput, error) {
	machines, err := s.registry.Machines(ctx, registry.Query{After: registry.Position{Name: in.PageToken}, Limit: in.PageSize})
	if err != nil {
		return nil, s.problem(err)
	}
	out := &listOutput{}
	out.Body.Machines = make([]Machine, 0, len(machines))
	for _, m := range machines {
		out.Body.Machines = append(out.Body.Machines, machineOf(m, s.now(), false))
	}
	if len(machines) == in.PageSize {
		out.Body.Next = machines[len(machines)-1].Name
	}
	return out, nil
}

type machineInput struct {
	ID string `path:"id" maxLength:"128" doc:"ID or name"`
}

type machineOutput struct {
	Body Machine
}

func (s *Server) getMachine(ctx context.Context, in *machineInput) (*machineOutput, error) {
	m, err := s.registry.Machine(ctx, in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	return &machineOutput{Body: machineOf(m, s.now(), true)}, nil
}

type instructInput struct {
	ID   string `path:"id" maxLength:"128" doc:"ID or name"`
	Body struct {
		Instruction registry.Instruction `json:"instruction" enum:"wait,reboot,local_boot" doc:"wait takes back what is queued"`
	}
}

func (s *Server) instruct(ctx context.Context, in *instructInput) (*machineOutput, error) {
	m, err := s.registry.Instruct(ctx, in.ID, in.Body.Instruction)
	if err != nil {
		return nil, s.problem(err)
	}
	return &machineOutput{Body: machineOf(m, s.now(), true)}, nil
}
