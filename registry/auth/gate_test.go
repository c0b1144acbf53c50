package auth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// house is a gate with a route for every rule; each answers who it was told asks.
type house struct {
	accounts *Accounts
	sessions *Sessions
	gate     *Gate
	handler  http.Handler
	begun    chan bool // gets a value when a stream has begun
}

func newHouse(t *testing.T, store Store) *house {
	t.Helper()
	accounts := accountsIn(t, store)
	h := &house{accounts: accounts, sessions: NewSessions(accounts), begun: make(chan bool, 1)}
	mux := http.NewServeMux()
	who := func(w http.ResponseWriter, r *http.Request) {
		actor := registry.ActorOf(r.Context())
		_, _ = io.WriteString(w, actor.Name+" "+actor.Role+" "+actor.From)
	}
	for _, route := range []string{"GET /open", "GET /greet", "GET /agent", "GET /view", "POST /operate", "POST /administer", "GET /forgotten"} {
		mux.HandleFunc(route, who)
	}
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		h.begun <- true
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := h.sessions.SignIn(r.Context(), r.FormValue("name"), r.FormValue("password")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := h.sessions.SignOut(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	h.gate = &Gate{Accounts: accounts, Sessions: h.sessions, Log: slog.New(slog.DiscardHandler),
		Policy: Policy{"GET /open": Everybody, "GET /greet": Recognised, "GET /agent": Agents, "GET /view": Viewer, "GET /stream": Viewer, "POST /operate": Operator,
			"POST /administer": Admin, "POST /login": Everybody, "POST /logout": Everybody},
		Route: func(r *http.Request) string {
			_, pattern := mux.Handler(r)
			_, path, _ := strings.Cut(pattern, " ")
			return path
		},
		Deny: func(w http.ResponseWriter, _ *http.Request, status int, detail string) { http.Error(w, detail, status) }}
	h.handler = h.gate.Wrap(mux)
	return h
}

// request is one request from another host.
func request(method, path string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr, r.Host = "10.0.0.9:1234", "10.0.0.2:3000"
	return r
}

func (h *house) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// signIn returns the cookie of a new session.
func (h *house) signIn(t *testing.T, name string, with ...*http.Cookie) *http.Cookie {
	t.Helper()
	r := request(http.MethodPost, "/login")
	r.Body = io.NopCloser(strings.NewReader(url.Values{"name": {name}, "password": {password}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range with {
		r.AddCookie(c)
	}
	w := h.do(r)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("sign in as %s: %d %s, %d cookies", name, w.Code, w.Body, len(cookies))
	}
	return cookies[0]
}

// look asks for /view with a cookie.
func (h *house) look(cookie *http.Cookie) *httptest.ResponseRecorder {
	r := request(http.MethodGet, "/view")
	r.AddCookie(cookie)
	return h.do(r)
}

func TestGateBeforeAndAfterTheFirstAccount(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	tests := []struct {
		name, remote, host, header string
		before, after              int
	}{
		{"this host", "127.0.0.1:1234", "127.0.0.1:3000", "", 200, 401},
		{"this host by name", "[::1]:1234", "localhost:3000", "", 200, 401},
		{"another host", "10.0.0.9:1234", "10.0.0.2:3000", "", 403, 401},
		{"another host that claims our name", "10.0.0.9:1234", "localhost:3000", "", 403, 401},
		{"a web page through the browser", "127.0.0.1:1234", "evil.example:3000", "", 403, 401},
		{"a proxy on this host", "127.0.0.1:1234", "localhost:3000", "X-Forwarded-For", 403, 401},
		{"no address at all", "@", "localhost", "", 403, 401},
	}
	status := func(remote, host, header string) int {
		r := request(http.MethodGet, "/view")
		r.RemoteAddr, r.Host = remote, host
		if header != "" {
			r.Header.Set(header, "10.0.0.9")
		}
		return h.do(r).Code
	}
	for _, tt := range tests {
		if got := status(tt.remote, tt.host, tt.header); got != tt.before {
			t.Errorf("%s, no account: %d, want %d", tt.name, got, tt.before)
		}
	}
	create(t, h.accounts, registry.Admin, "ana")
	for _, tt := range tests {
		if got := status(tt.remote, tt.host, tt.header); got != tt.after {
			t.Errorf("%s, with an account: %d, want %d", tt.name, got, tt.after)
		}
	}
	r := request(http.MethodPost, "/administer")
	if w := h.do(r.WithContext(WithControlSocket(r.Context(), nil))); w.Body.String() != "console admin control socket" {
		t.Errorf("the control socket: %d %s", w.Code, w.Body)
	}
}

func TestGateKeepsToThePolicy(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	bearer := map[string]string{"nobody": "", "machine": "Bearer bWFjaGluZQ", "made up": "Bearer df_abcdefghij_x", "other scheme": "Basic YW5hOng="}
	create(t, h.accounts, registry.Admin, "ana")
	for _, role := range registry.Roles() {
		secret, _ := token(t, h.accounts, registry.Token{Name: string(role), Role: role})
		bearer[string(role)] = "bearer " + secret
	}
	for _, tt := range []struct {
		route string
		want  map[string]int // 200 where missing
	}{
		{"GET /open", nil},
		{"HEAD /open", nil},
		{"GET /greet", nil},
		{"HEAD /greet", nil},
		{"GET /agent", nil},
		{"GET /view", map[string]int{"nobody": 401, "machine": 401, "made up": 401, "other scheme": 401}},
		{"HEAD /view", map[string]int{"nobody": 401, "machine": 401, "made up": 401, "other scheme": 401}},
		{"POST /operate", map[string]int{"nobody": 401, "machine": 401, "made up": 401, "other scheme": 401, "viewer": 403}},
		{"POST /administer", map[string]int{"nobody": 401, "machine": 401, "made up": 401, "other scheme": 401, "viewer": 403, "operator": 403}},
		{"GET /forgotten", map[string]int{"nobody": 403, "machine": 403, "made up": 403, "other scheme": 403, "viewer": 403, "operator": 403, "admin": 403}},
		{"GET /nothing", map[string]int{"nobody": 401, "machine": 401, "made up": 401, "other scheme": 401, "viewer": 404, "operator": 404, "admin": 404}},
	} {
		for who, header := range bearer {
			method, path, _ := strings.Cut(tt.route, " ")
			r := request(method, path)
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			want := tt.want[who]
			if want == 0 {
				want = http.StatusOK
			}
			w := h.do(r)
			if w.Code != want {
				t.Errorf("%s as %s: %d %s, want %d", tt.route, who, w.Code, w.Body, want)
			}
			if w.Code == http.StatusUnauthorized && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s as %s: 401 without WWW-Authenticate", tt.route, who)
			}
		}
	}
}

func TestGateTellsWhoAsks(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	create(t, h.accounts, registry.Operator, "bob")
	cookie := h.signIn(t, "bob")
	if w := h.look(cookie); w.Body.String() != "bob operator 10.0.0.9" {
		t.Errorf("a session: %d %q", w.Code, w.Body)
	}
	r := request(http.MethodGet, "/greet")
	if w := h.do(r); w.Body.String() != "  10.0.0.9" {
		t.Errorf("nobody, where somebody would be recognised: %d %q", w.Code, w.Body)
	}
	if r.AddCookie(cookie); h.do(r).Body.String() != "bob operator 10.0.0.9" {
		t.Errorf("a session is not recognised")
	}
	if r.Header.Set("Authorization", "Bearer df_abcdefghij_x"); h.do(r).Body.String() != "  10.0.0.9" {
		t.Errorf("a token that is not good is recognised")
	}
	if w := h.do(request(http.MethodGet, "/open")); w.Body.String() != "  10.0.0.9" {
		t.Errorf("nobody: %d %q", w.Code, w.Body)
	}
	if w := h.do(request(http.MethodGet, "/agent")); w.Body.String() != "  " {
		t.Errorf("an agent: %d %q", w.Code, w.Body)
	}
}

func TestGateSendsPeopleToTheForm(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	create(t, h.accounts, registry.Admin, "ana")
	r := request(http.MethodGet, "/view?after=x")
	r.Header.Set("Accept", "text/html")
	w := h.do(r)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/login?next=%2Fview%3Fafter%3Dx" {
		t.Errorf("a browser: %d %s", w.Code, to)
	}
	r.Header.Set("HX-Request", "true")
	if w := h.do(r); w.Code != http.StatusUnauthorized {
		t.Errorf("a part of a page: %d", w.Code)
	}
}

func TestGateWithoutStore(t *testing.T) {
	h := newHouse(t, registrytest.Broken(registry.ErrUnavailable))
	r := request(http.MethodGet, "/view")
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	if w := h.do(r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d; while it is unknown whether accounts exist nobody may pass", w.Code)
	}
	r.Header.Set("Authorization", "Bearer df_abcdefghij_x")
	if w := h.do(r); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a token that cannot be checked: %d", w.Code)
	}
	for _, path := range []string{"/open", "/greet"} {
		if w := h.do(request(http.MethodGet, path)); w.Code != http.StatusOK {
			t.Errorf("%s, which is open to everybody: %d", path, w.Code)
		}
	}
}

// BenchmarkGate is what a request with an API token pays to be let in.
func BenchmarkGate(b *testing.B) {
	accounts, err := NewAccounts(registrytest.Memory())
	if err != nil {
		b.Fatal(err)
	}
	if err := accounts.CreateAccount(b.Context(), "ana", password, registry.Admin); err != nil {
		b.Fatal(err)
	}
	ctx := registry.WithActor(b.Context(), registry.Actor{Name: "ana", Role: string(registry.Admin)})
	secret, _, err := accounts.CreateToken(ctx, registry.Token{Name: "bench", Role: registry.Viewer})
	if err != nil {
		b.Fatal(err)
	}
	passed := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	handler := (&Gate{Accounts: accounts, Sessions: NewSessions(accounts), Policy: Policy{"GET /view": Viewer},
		Route: func(*http.Request) string { return "/view" }}).Wrap(passed)
	r := request(http.MethodGet, "/view")
	r.Header.Set("Authorization", "Bearer "+secret)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusNoContent {
			b.Fatal(w.Code)
		}
	}
}

// follow asks for /stream until ctx ends, and closes ended when it has been answered.
func (h *house) follow(ctx context.Context, with func(*http.Request)) (ended chan struct{}) {
	r := request(http.MethodGet, "/stream").WithContext(ctx)
	with(r)
	ended = make(chan struct{})
	go func() { h.do(r); close(ended) }()
	<-h.begun
	return ended
}

// A stream ends with what it was asked for with, and lasts while that is good.
func TestStreamsEndWithTheirRight(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	h.gate.recheck = time.Millisecond
	admin := as(t, "ana", registry.Admin)
	create(t, h.accounts, registry.Admin, "ana")
	bearer := func(want registry.Token) (header func(*http.Request), id string) {
		secret, made := token(t, h.accounts, want)
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }, made.ID
	}
	signedIn := func(name string) (header func(*http.Request)) {
		create(t, h.accounts, registry.Viewer, name)
		cookie := h.signIn(t, name)
		return func(r *http.Request) { r.AddCookie(cookie) }
	}
	good, _ := bearer(registry.Token{Name: "good", Role: registry.Viewer})
	stays := h.follow(t.Context(), good)
	revoked, id := bearer(registry.Token{Name: "revoked", Role: registry.Viewer})
	left, dismissed, renamed := signedIn("left"), signedIn("dismissed"), signedIn("renamed")
	for _, c := range []struct {
		name string
		with func(*http.Request)
		end  func() error
	}{
		{"a token that is revoked", revoked, func() error { return h.accounts.RevokeToken(admin, id) }},
		{"an account that is removed", dismissed, func() error { return h.accounts.DeleteAccount(admin, "dismissed") }},
		{"a password that is changed", renamed, func() error { return h.accounts.ChangeAccount(admin, "renamed", password+"!", "") }},
		{"a session that has ended", left, func() error {
			r := request(http.MethodPost, "/logout")
			left(r)
			if w := h.do(r); w.Code != http.StatusOK {
				return errors.New(w.Body.String())
			}
			return nil
		}},
	} {
		ended := h.follow(t.Context(), c.with)
		if err := c.end(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatalf("%s: its stream goes on", c.name)
		}
	}
	select {
	case <-stays:
		t.Error("a stream ended whose token is good")
	default:
	}
}
