package api

import (
	"log/slog"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"dragonfly/registry"
)

// Tokens checks and issues the tokens of machines.
type Tokens interface {
	CheckBoot(token string) (registry.BootToken, error)
	// BindBoot makes a boot token, which was checked, good for one machine only.
	BindBoot(token registry.BootToken, identity string) error
	CheckMachine(token string) (registry.MachineToken, error)
	// Machine is a token for the agent of a machine, in the boot it registered from.
	Machine(id, boot string) string
}

// Server answers /api/v1. Who may call the operators' routes is decided before a
// request gets here; the agents' routes check their tokens themselves.
type Server struct {
	registry *registry.Registry
	tokens   Tokens
	accounts Accounts
	requests Requests
	sealer   Sealer
	cluster  Cluster
	images   ImageStore
	backups  BackupKeeper
	log      *slog.Logger
	frames   frames
	beats    beats
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
	Requests Requests
	Sealer   Sealer
	Cluster  Cluster      // nil where the database is elsewhere
	Images   ImageStore   // nil: there are no routes for any
	Backups  BackupKeeper // nil: the same
	Log      *slog.Logger
	// Role is who may use a route, for the OpenAPI document; nil: it does not say.
	Role func(method, path string) string
}

// Mount adds the API to router. More operations may be registered with what it
// returns.
func Mount(router chi.Router, cfg Config) huma.API {
	s := &Server{registry: cfg.Registry, tokens: cfg.Tokens, accounts: cfg.Accounts, requests: cfg.Requests, sealer: cfg.Sealer,
		cluster: cfg.Cluster, images: cfg.Images, backups: cfg.Backups, log: cfg.Log, beats: beats{registry: cfg.Registry}, now: time.Now}
	config := huma.DefaultConfig("Dragonfly", "v1")
	config.DocsPath = ""     // its page would load scripts from elsewhere
	config.SchemasPath = ""  // the schemas are in the OpenAPI document
	config.CreateHooks = nil // no $schema member in answers
	config.Transformers = []huma.Transformer{problemOf(config.OpenAPI)}
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.OpenAPIPath = "/openapi"
	config.RejectUnknownQueryParameters = true // a filter that is misspelt would be no filter
	describe(&config, cfg.Role)
	api := humachi.New(router.With(s.once), config)
	s.mountAgent(api)
	s.mountMachines(api)
	s.mountBulk(api)
	s.mountImport(api)
	s.mountExport(api)
	s.mountApply(api)
	s.mountEvents(api)
	s.mountUsers(api)
	s.mountJournal(api)
	s.mountRules(api)
	s.mountDefaults(api)
	s.mountOSes(api)
	s.mountDeployments(api)
	s.mountCluster(api)
	if s.images != nil {
		s.mountImages(api)
	}
	if s.backups != nil {
		s.mountBackup(api)
	}
	return api
}
