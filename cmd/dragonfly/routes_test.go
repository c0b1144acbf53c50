package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// unserved is an appliance that serves no port, with an account of each role,
// which is called after it.
func unserved(t *testing.T) *appliance {
	t.Helper()
	log, cfg := slog.New(slog.DiscardHandler), testConfig(t)
	db, err := openDatabase(t.Context(), databaseConfig{config: cfg}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.close(); err != nil {
			t.Error(err)
		}
	})
	standby, err := openStandby(cfg.DataDir, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.close(); err != nil {
			t.Error(err)
		}
	})
	a, err := newAppliance(t.Context(), cfg, db, standby, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range registry.Roles() {
		if err := a.accounts.CreateAccount(t.Context(), string(role), "correct horse battery", role); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// bearer is a token of the account called after a role.
func (a *appliance) bearer(t *testing.T, role registry.Role) string {
	t.Helper()
	ctx := registry.WithActor(t.Context(), registry.Actor{Name: string(role), Role: string(role)})
	secret, _, err := a.accounts.CreateToken(ctx, registry.Token{Name: "test", Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func denyPlainly(w http.ResponseWriter, _ *http.Request, status int, detail string) {
	http.Error(w, detail, status)
}

// gated is the gate before the routes of a. The agents' routes, which check their
// tokens, are real; the others only say that they were reached.
func (a *appliance) gated() (chi.Router, http.Handler) {
	router := a.router(http.NotFoundHandler(), denyPlainly)
	if err := a.routeOIDC(router, denyPlainly); err != nil {
		panic(err) // without an issuer there is nothing to be wrong
	}
	return router, a.gate(router, denyPlainly).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v1/agent/") {
			router.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

var parameter = regexp.MustCompile(`\{\w+\}|\*`)

// TestEveryRoute holds who may use which route: every route there is against
// every kind of caller. A line that changes here changes who may do what.
func TestEveryRoute(t *testing.T) {
	a := unserved(t)
	callers := []struct{ name, token string }{
		{"anonymous", ""}, {"boot", a.tokens.Boot(registry.MAC{0x52, 0x54, 0, 0, 0, 1})}, {"machine", a.tokens.Machine("m-1", "")},
		{"viewer", a.bearer(t, registry.Viewer)}, {"operator", a.bearer(t, registry.Operator)}, {"admin", a.bearer(t, registry.Admin)},
	}
	router, handler := a.gated()
	var lines []string
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		line := fmt.Sprintf("%-44s", method+" "+route)
		for _, caller := range callers {
			r := httptest.NewRequest(method, "http://10.0.0.2:3000"+parameter.ReplaceAllString(route, "x"), strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
			if strings.HasSuffix(route, "/next") {
				r.URL.RawQuery = "wait=0s"
			}
			if caller.token != "" {
				r.Header.Set("Authorization", "Bearer "+caller.token)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			line += fmt.Sprintf(" %s=%s", caller.name, verdict(w))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(lines, func(a, b string) int {
		_, a, _ = strings.Cut(a, " ")
		_, b, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	golden(t, "testdata/routes.golden", strings.Join(lines, "\n")+"\n")
}

// A token that is limited to a part of the API is good for that part and for nothing else
// that takes a role, whatever its own.
func TestScopedTokenOnEveryRoute(t *testing.T) {
	a := unserved(t)
	ctx := registry.WithActor(t.Context(), registry.Actor{Name: "admin", Role: "admin"})
	secret, _, err := a.accounts.CreateToken(ctx, registry.Token{Name: "scoped", Role: registry.Admin, Scopes: []string{"machines", "metrics"}})
	if err != nil {
		t.Fatal(err)
	}
	router, handler := a.gated()
	rules, within := policy(), 0
	err = chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !registry.Role(rules[method+" "+route]).Known() {
			return nil
		}
		r := httptest.NewRequest(method, "http://10.0.0.2:3000"+parameter.ReplaceAllString(route, "x"), nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if route == "/metrics" || route == "/api/v1/machines" || strings.HasPrefix(route, "/api/v1/machines/") {
			if within++; w.Code != http.StatusNoContent {
				t.Errorf("%s %s: %d %s", method, route, w.Code, w.Body)
			}
			return nil
		}
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "admin/scoped is limited to machines, metrics") ||
			w.Header().Get("WWW-Authenticate") != `Bearer error="insufficient_scope"` {
			t.Errorf("%s %s: %d %s", method, route, w.Code, w.Body)
		}
		return nil
	})
	if err != nil || within < 10 {
		t.Errorf("%d routes within its scopes, %v", within, err)
	}
}

// verdict is "yes" for a request that reached its route. A machine token reaches
// its own although the machine is gone.
func verdict(w *httptest.ResponseRecorder) string {
	if w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized && !strings.Contains(w.Body.String(), "record was removed") {
		return fmt.Sprint(w.Code)
	}
	return "yes"
}

// golden compares got with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was (UPDATE=1 to accept):\n%s", path, got)
	}
}

// A rule without a route is one for a route that was renamed: its route is open
// to nobody.
func TestEveryRuleHasARoute(t *testing.T) {
	router, _ := unserved(t).gated()
	rules := policy()
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		delete(rules, method+" "+route)
		return nil
	})
	if err != nil || len(rules) > 0 {
		t.Errorf("rules for routes that are not there: %v, %v", slices.Sorted(maps.Keys(rules)), err)
	}
}

// A path is routed and judged alike however it is written.
func TestGateAndRouterAgree(t *testing.T) {
	a := unserved(t)
	viewer := a.bearer(t, registry.Viewer)
	router := a.router(http.NotFoundHandler(), denyPlainly)
	handler := a.gate(router, denyPlainly).Wrap(router)
	for _, path := range []string{"/api/v1/users/ana", "/api/v1/users/a%2Fna", "/api/v1/users/%61na", "/api/v1/%75sers/ana", "/api/v1/users/ana%3F"} {
		r := httptest.NewRequest(http.MethodPut, path, strings.NewReader(`{"password":"correct horse battery"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+viewer)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden && w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if list, err := a.accounts.Accounts(t.Context()); err != nil || len(list) != len(registry.Roles()) {
		t.Errorf("a viewer made an account: %+v, %v", list, err)
	}
}

// Writes from a page of another origin are refused although the browser sends
// the cookie along.
func TestCrossOriginPost(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	if code, _, stderr := r.cli(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin"); code != 0 {
		t.Fatal(stderr)
	}
	signIn := func(origin string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/login",
			strings.NewReader(url.Values{"name": {"ana"}, "password": {"correct horse battery"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := signIn("http://evil.example"); code != http.StatusForbidden {
		t.Errorf("from another origin: %d", code)
	}
	if code := signIn(r.url); code != http.StatusSeeOther {
		t.Errorf("from our own: %d", code)
	}
}

// A machine's token is good for that machine, on the agents' routes.
func TestMachineTokens(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	first, second := registry.MAC{0x52, 0x54, 0, 0, 0, 1}, registry.MAC{0x52, 0x54, 0, 0, 0, 2}
	one, two := r.register(t, first), r.register(t, second)
	if next, err := (&api.Client{Base: r.url, Token: one.Token}).Next(t.Context(), 0); err != nil || next.Name != one.Name {
		t.Errorf("the first machine's token is good for %+v, %v; the other is %s", next, err, two.Name)
	}
	for what, err := range map[string]error{
		"register with a machine token": func() error {
			_, err := (&api.Client{Base: r.url, Token: two.Token}).Register(t.Context(), api.RegisterRequest{MAC: first})
			return err
		}(),
		"list machines with a machine token": func() error {
			_, _, err := (&api.Client{Base: r.url, Token: one.Token}).Machines(t.Context(), api.Selection{}, "", 10)
			return err
		}(),
	} {
		if api.Status(err) != http.StatusUnauthorized {
			t.Errorf("%s: %v", what, err)
		}
	}
}
