package ui

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"dragonfly/registry"
)

// Machines reads machines. *registry.Registry is one.
type Machines interface {
	// Machines returns the machines that match q, ordered by name.
	Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error)
	// Tally counts the machines that match the filter of q by what they have of a field.
	Tally(ctx context.Context, q registry.Query, by registry.TallyBy) ([]registry.Tally, error)
	// Glances returns what is held in memory of the machines with these IDs, as
	// far as they are there; of all where none is named.
	Glances(ids ...string) []registry.Glance
}

// Feed is the stream of events. *registry.Feed is one.
type Feed interface {
	// Next blocks until there are events numbered above after and returns a few
	// hundred of them at most, in order; it errs when ctx ends.
	Next(ctx context.Context, after int64) ([]registry.Event, error)
	// Last is the number of the newest event.
	Last() int64
}

// Sessions says who is signed in. The middleware that keeps them stands before
// this package's handler, and so does the gate that decides who may enter.
type Sessions interface {
	// SignIn errs for a wrong name or password. Where the accounts cannot be
	// read the error wraps [registry.ErrUnavailable].
	SignIn(ctx context.Context, name, password string) error
	SignOut(ctx context.Context) error
	// User is empty where nobody is signed in: the caller is on this host, and
	// no account exists yet.
	User(ctx context.Context) string
}

// Config is what the pages need. Every field but SignOn, Answering, Problems and OpenAPI must be
// set.
type Config struct {
	Machines    Machines
	Feed        Feed
	Sessions    Sessions
	Records     Records
	Deployments Deployments
	Orders      Orders
	Keeper      Keeper
	Many        Many
	Undoer      Undoer
	Preferences Preferences
	Systems     Systems
	Images      Images
	ImageJobs   ImageJobs
	Recipes     Recipes
	People      People
	Own         Own
	Tokens      Tokens
	Rules       Rules
	Defaults    Defaults
	// Checks are the parts of the appliance, and how each is; it must be quick.
	Checks func(ctx context.Context) []Check
	// Network is how the server stands on its networks; it must be quick. Probe asks
	// which other DHCP servers there are, and takes a few seconds; what it errs with is
	// for the operator.
	Network func() registry.Networks
	Probe   func(ctx context.Context) error
	// Audit is what people changed, below a number (0: the newest), of one object where it is named.
	Audit func(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error)
	// Explain is what a machine would be served if it booted now, and why.
	Explain func(ctx context.Context, m registry.Machine) (Explanation, error)
	// Setup makes the first account, given the one-time code of the server's log.
	Setup     func(ctx context.Context, code, name, password string) error
	Provider  [][2]string            // what is set up of the identity provider, for people; without secrets
	SignOn    string                 // path that leads to signing in at an identity provider; empty where there is none
	Answering []string               // where DHCP is answered, such as "eth0 10.77.0.2"; empty when boot services are off
	Problems  func() []string        // what is wrong now, each with what to do; it must be quick and safe for concurrent use
	OpenAPI   func() ([]byte, error) // the OpenAPI 3.1 document, as JSON; nil: there is no page for it
	Version   string
	Log       *slog.Logger
}

// UI is the handler of every page.
type UI struct {
	Config
	assets assets
	live   *live
	routes http.Handler
}

// New returns the pages. It errs when the assets were not built. It starts
// nothing: whatever runs in the background ends with the last open page.
func New(c Config) (*UI, error) {
	loaded, err := loadAssets()
	if err != nil {
		return nil, err
	}
	if c.Problems == nil {
		c.Problems = func() []string { return nil }
	}
	board := newBoard(c.Machines, c.Feed, c.Deployments)
	u := &UI{Config: c, assets: loaded, live: newLive(board, c.Log, time.Now())}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.StripPrefix("/static/", loaded))
	for pattern, page := range map[string]page{
		"GET /{$}":           toMachines,
		"GET /machines":      u.machines,
		"GET /machines/rows": u.machineRows,
		"GET /live":          u.serveLive,

		"GET /machines/count":    u.count,
		"GET /machines/complete": u.complete,
		"POST /machines/columns": u.chooseColumns,
		"POST /machines/views":   u.saveView,

		"GET /machines/{id}":         u.machine,
		"GET /machines/{id}/live":    u.machineLive,
		"POST /machines/{id}/lock":   u.lock,
		"POST /machines/{id}/unlock": u.unlock,
		"GET /machines/{id}/deploy":  u.deployForm,
		"POST /machines/{id}/deploy": u.deploy,
		"GET /machines/{id}/once":    u.onceForm,
		"POST /machines/{id}/once":   u.once,
		"GET /machines/{id}/edit":    u.editForm,
		"POST /machines/{id}/edit":   u.edit,
		"GET /machines/{id}/inline":  u.inlineForm,
		"POST /machines/{id}/inline": u.inline,
		"POST /machines/bulk":        u.bulk,
		"POST /undo":                 u.undo,

		"GET /machines/{id}/end/{end}":  u.askEnd,
		"POST /machines/{id}/end/{end}": u.end,

		"GET /deployments":              u.deployments,
		"GET /deployments/live":         u.deploymentsLive,
		"GET /deployments/{id}":         u.deployment,
		"GET /deployments/{id}/live":    u.deploymentLive,
		"GET /deployments/{id}/cancel":  u.askCancel,
		"POST /deployments/{id}/cancel": u.cancel,
		"GET /deployments/{id}/retry":   u.askRetry,
		"POST /deployments/{id}/retry":  u.retry,

		"GET /palette": u.palette,
		"GET /docs":    u.docs,
		"GET /login":   u.loginForm,
		"POST /login":  u.signIn,
		"GET /setup":   u.setupForm,
		"POST /setup":  u.setUp,
		"POST /logout": u.signOut,
		"/":            notFound,
	} {
		mux.Handle(pattern, u.handle(page))
	}
	for _, pages := range []map[string]page{u.keepersPages(), u.networkPages(), u.systemPages(), u.imagePages(), u.settingsPages(), u.firstPages()} {
		for pattern, page := range pages {
			mux.Handle(pattern, u.handle(page))
		}
	}
	u.routes = secure(mux)
	return u, nil
}

// ServeHTTP serves the pages.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.routes.ServeHTTP(w, r) }

// places are where the bar at the top leads to.
func places() []destination {
	return []destination{{"/machines", "Machines", "m"}, {"/deployments", "Deployments", "d"}, {"/systems", "Systems", "o"}, {"/network", "Network", "n"}, {"/health", "Health", "h"}, {"/settings", "Settings", "s"}}
}

// destination is a page; g and its Key lead there.
type destination struct{ Path, Title, Key string }

func toMachines(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/machines", http.StatusSeeOther)
	return nil
}

// frame is what every page shows around its content.
func (u *UI) frame(r *http.Request, title string) frame {
	return frame{Title: title, Version: cmp.Or(u.Version, "development"), assets: u.assets,
		User: u.Sessions.User(r.Context()), Path: r.URL.Path, Now: time.Now()}
}
