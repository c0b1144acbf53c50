package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"

	"dragonfly/boot/ipxe"
	"dragonfly/boot/metadata"
	"dragonfly/images/store"
	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/auth"
	"dragonfly/ui"
)

// signIns bounds the guesses at a password: per minute and address.
const signIns = 10

// routes is everything that is served over HTTP. What machines boot goes around
// the gate and around every wrapper, so that files leave by sendfile.
func (a *appliance) routes() (http.Handler, error) {
	pages, err := ui.New(ui.Config{Machines: a.registry, Feed: a.registry.Feed(), Sessions: a.sessions, Setup: a.accounts.Setup, SignOn: a.cfg.signOn(),
		Records: a.registry, Deployments: a.registry, Orders: a.registry, Keeper: a.registry, Many: a.registry, Preferences: a.store, Systems: a.registry, Images: a.images, ImageJobs: a.images, Recipes: a.recipes(), Explain: a.explainToPeople, Checks: a.checks, Network: a.network, Probe: a.probe, Audit: a.accounts.Audit,
		People: a.accounts, Own: a.accounts, Tokens: a.accounts, Undoer: a.registry, Rules: a.registry, Defaults: a.registry, Provider: a.cfg.provider(),
		Answering: a.answering(), Problems: a.problems, OpenAPI: func() ([]byte, error) { return json.Marshal(a.api.OpenAPI()) }, Version: version(), Log: a.log})
	if err != nil {
		return nil, err
	}
	a.offerSetup(context.Background())
	refuse := deny(pages)
	router := a.router(pages, refuse)
	if err := a.routeOIDC(router, refuse); err != nil {
		return nil, err
	}
	guarded := http.NewCrossOriginProtection().Handler(a.gate(router, refuse).Wrap(router))

	mux := http.NewServeMux()
	mux.Handle("/boot/", a.bootFiles())
	mux.Handle(store.Path, a.images)
	mux.Handle(metadata.Path, a.seeds)
	mux.Handle("/", guarded)
	return hurried(bodyWithin, mux), nil
}

// gate stands before router.
func (a *appliance) gate(router chi.Routes, refuse refusal) *auth.Gate {
	return &auth.Gate{Accounts: a.accounts, Sessions: a.sessions, Policy: policy(), Route: routeIn(router), Deny: refuse, Log: a.log}
}

// refusal answers what may not be or is not there.
type refusal func(w http.ResponseWriter, r *http.Request, status int, detail string)

// router is every route behind the gate. Who may use one is said in [policy]; one
// that is not there answers nobody.
func (a *appliance) router(pages http.Handler, refuse refusal) chi.Router {
	router := chi.NewRouter()
	router.Use(middleware.GetHead, paced, slim)
	a.api = api.Mount(router, api.Config{Registry: a.registry, Tokens: a.tokens, Accounts: a.accounts, Cluster: a.db.cluster(), Images: a.images, Backups: a.backups,
		Requests: a.store, Sealer: a.box, Log: a.log, Role: ruleOf})
	a.mountExplain()
	a.mountNetwork()
	a.mountTinkerbell()
	router.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	router.Get("/readyz", a.ready)
	router.Method(http.MethodGet, "/metrics", a.metrics())
	guesses := router.With(httprate.LimitBy(signIns, time.Minute, peer))
	for route := range pagePolicy() {
		method, pattern, _ := strings.Cut(route, " ")
		if route == "POST /login" || route == "POST /setup" {
			guesses.Method(method, pattern, pages)
			continue
		}
		router.Method(method, pattern, pages)
	}
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		detail := "there is no " + r.URL.Path
		if strings.HasPrefix(r.URL.Path, "/api/") {
			detail += "; /openapi.json lists what there is"
		}
		refuse(w, r, http.StatusNotFound, detail)
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusMethodNotAllowed, r.Method+" is not for "+r.URL.Path)
	})
	return router
}

// routeIn finds the pattern of the route that router will take, as it does: by
// the escaped path where there is one, or a request could pass the gate by one
// rule and be answered by another route. A HEAD is taken for a GET.
func routeIn(router chi.Routes) func(*http.Request) string {
	return func(r *http.Request) string {
		path := r.URL.RawPath
		if path == "" {
			path = r.URL.Path
		}
		pattern := router.Find(chi.NewRouteContext(), r.Method, path)
		if pattern == "" && r.Method == http.MethodHead {
			pattern = router.Find(chi.NewRouteContext(), http.MethodGet, path)
		}
		return pattern
	}
}

// peer is the address a request came from. A proxy in between is one peer: what
// it says of others is not believed.
func peer(r *http.Request) (string, error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, nil // the control socket
	}
	return httprate.CanonicalizeIP(host), nil
}

// deny refuses a program with a problem document and a person with a page.
func deny(pages *ui.UI) refusal {
	return func(w http.ResponseWriter, r *http.Request, status int, detail string) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			api.WriteProblem(w, status, detail)
			return
		}
		pages.Deny(w, r, status, detail)
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// ready answers 200 when the database does, else 503. Both tell a viewer what an
// operator should mend; it names folders and causes, which are nobody else's business.
func (a *appliance) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	body := api.Readiness{Status: api.Ready, Problems: a.problems(), LastBackup: a.backups.known(ctx).Good.At}
	status := http.StatusOK
	if !a.registry.Outage().Since.IsZero() {
		body.Status, status = "degraded", http.StatusServiceUnavailable // problems says why
	} else if err := a.store.Ping(ctx); err != nil {
		a.log.Debug("readiness", "err", err)
		body.Problems = append(body.Problems, "the database does not answer")
		body.Status, status = "not ready", http.StatusServiceUnavailable
	}
	if !registry.Role(registry.ActorOf(ctx).Role).Includes(registry.Viewer) {
		body.Problems, body.LastBackup = nil, time.Time{}
	}
	writeJSON(w, status, body)
}

// problems is what an operator should mend, each with how.
func (a *appliance) problems() []string {
	found := append(a.outageProblems(), a.db.problems()...)
	if short := a.spaceProblem(); short != "" {
		found = append(found, short)
	}
	if full := a.registry.Full(); full != nil {
		found = append(found, full.Error())
	}
	found = append(found, a.networkProblems()...)
	if problem := a.tinkerbellProblem(); problem != "" {
		found = append(found, problem)
	}
	build := ": run `dragonfly image build --out " + a.cfg.ImageDir + "`"
	kernel := filepath.Join(a.cfg.ImageDir, runtime.GOARCH, "vmlinuz")
	if _, err := os.Stat(kernel); err != nil {
		found = append(found, "there is no agent image in "+a.cfg.ImageDir+", so no machine can register"+build)
	}
	for _, name := range ipxe.Programs() {
		if _, err := os.Stat(filepath.Join(a.cfg.ImageDir, "nbp", name)); err != nil {
			return append(found, "the boot program "+name+" is missing in "+a.cfg.ImageDir+"/nbp, so some machines cannot boot from the network"+build)
		}
	}
	return found
}

// answering lists the interfaces that network boots are answered on.
func (a *appliance) answering() (on []string) {
	for _, b := range a.ports.boot {
		on = append(on, b.on.String())
	}
	return on
}
