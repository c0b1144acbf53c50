package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

func newTokens(t *testing.T) *Tokens {
	t.Helper()
	tokens, err := NewTokens(t.Context(), registrytest.Memory())
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestBootToken(t *testing.T) {
	mac := registry.MAC{0x52, 0x54, 0, 1, 2, 3}
	tokens := newTokens(t)
	token := tokens.Boot(mac)
	if got, err := tokens.CheckBoot(token); err != nil || got != mac {
		t.Fatalf("own token: %v, %v", got, err)
	}
	for name, bad := range map[string]string{
		"empty":            "",
		"garbage":          "not base64 !",
		"short":            "Yg",
		"one bit flipped":  flip(token),
		"of another kind":  tokens.Machine("m-1"),
		"of another key":   newTokens(t).Boot(mac),
		"with a long tail": token + strings.Repeat("A", 64<<10),
	} {
		if got, err := tokens.CheckBoot(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%s: accepted for %v, %v", name, got, err)
		}
	}
	tokens.now = func() time.Time { return time.Now().Add(bootTokenLife + time.Second) }
	if _, err := tokens.CheckBoot(token); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its life: %v", err)
	}
}

func flip(token string) string {
	b := []byte(token)
	b[12] ^= 1
	return string(b)
}

func TestMachineTokenIsRenewed(t *testing.T) {
	tokens := newTokens(t)
	token := tokens.Machine("m-1")
	if id, renewed, err := tokens.CheckMachine(token); err != nil || id != "m-1" || renewed != "" {
		t.Fatalf("fresh: %q, %q, %v", id, renewed, err)
	}
	tokens.now = func() time.Time { return time.Now().Add(machineTokenLife/2 + time.Minute) }
	id, renewed, err := tokens.CheckMachine(token)
	if err != nil || id != "m-1" || renewed == "" {
		t.Fatalf("past half its life: %q, %q, %v", id, renewed, err)
	}
	tokens.now = func() time.Time { return time.Now().Add(machineTokenLife + time.Minute) }
	if id, _, err := tokens.CheckMachine(renewed); err != nil || id != "m-1" {
		t.Errorf("the renewed one, when the first is over: %q, %v", id, err)
	}
}

func newAccounts(t *testing.T) *Accounts {
	t.Helper()
	accounts, err := NewAccounts(registrytest.Memory())
	if err != nil {
		t.Fatal(err)
	}
	return accounts
}

func TestAccounts(t *testing.T) {
	accounts := newAccounts(t)
	if any, err := accounts.Any(t.Context()); any || err != nil {
		t.Fatalf("at first: %v, %v", any, err)
	}
	if err := accounts.Put(t.Context(), "ana", "correct horse battery", Admin); err != nil {
		t.Fatal(err)
	}
	if err := accounts.Check(t.Context(), "ana", "correct horse battery"); err != nil {
		t.Errorf("the right password: %v", err)
	}
	for _, try := range [][2]string{{"ana", "wrong horse battery"}, {"bob", "correct horse battery"}, {"", ""}, {"ana", strings.Repeat("x", 1<<20)}} {
		if err := accounts.Check(t.Context(), try[0], try[1]); !errors.Is(err, ErrSignIn) {
			t.Errorf("%.20q: %v, want ErrSignIn", try, err)
		}
	}
	for _, try := range [][2]string{{"", "long enough indeed"}, {"Ana", "long enough indeed"}, {"a/../b", "long enough indeed"}, {"ana", "short"}} {
		if _, ok := errors.AsType[*registry.InvalidError](accounts.Put(t.Context(), try[0], try[1], Admin)); !ok {
			t.Errorf("account %q was accepted", try)
		}
	}
}

// guarded is a handler behind a gate; accounts may be added later.
func guarded(t *testing.T) (*Accounts, http.Handler) {
	t.Helper()
	accounts := newAccounts(t)
	sessions := NewSessions(accounts)
	gate := NewGate(accounts, sessions, func(w http.ResponseWriter, _ *http.Request, status int, detail string) {
		http.Error(w, detail, status)
	})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.SignIn(r.Context(), r.FormValue("name"), r.FormValue("password")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) { _ = sessions.SignOut(r.Context()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "in as "+sessions.User(r.Context()))
	})
	return accounts, gate.Wrap(mux, func(r *http.Request) bool { return r.URL.Path == "/login" })
}

func TestGate(t *testing.T) {
	accounts, handler := guarded(t)
	tests := []struct {
		name, remote, host, header string
		before, after              int // the status before and after the first account exists
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
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = remote, host
		if header != "" {
			r.Header.Set(header, "10.0.0.9")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, tt := range tests {
		if got := status(tt.remote, tt.host, tt.header); got != tt.before {
			t.Errorf("%s, no account: %d, want %d", tt.name, got, tt.before)
		}
	}
	if err := accounts.Put(t.Context(), "ana", "correct horse battery", Admin); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		if got := status(tt.remote, tt.host, tt.header); got != tt.after {
			t.Errorf("%s, with an account: %d, want %d", tt.name, got, tt.after)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r.WithContext(WithControlSocket(r.Context(), nil)))
	if w.Code != http.StatusOK {
		t.Errorf("the control socket: %d", w.Code)
	}
}

func TestGateWithoutStore(t *testing.T) {
	accounts, err := NewAccounts(registrytest.Broken(registry.ErrUnavailable))
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(accounts, NewSessions(accounts), func(w http.ResponseWriter, _ *http.Request, status int, _ string) { w.WriteHeader(status) })
	handler := gate.Wrap(http.NotFoundHandler(), func(*http.Request) bool { return false })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d; while it is unknown whether accounts exist nobody may pass", w.Code)
	}
}

func TestSession(t *testing.T) {
	accounts, handler := guarded(t)
	if err := accounts.Put(t.Context(), "ana", "correct horse battery", Admin); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page := func(accept string) (int, string) {
		r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/machines?after=x", nil)
		r.Header.Set("Accept", accept)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body) + resp.Header.Get("Location")
	}
	post := func(path string, form url.Values) int {
		resp, err := client.PostForm(server.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if code, to := page("text/html"); code != http.StatusSeeOther || !strings.Contains(to, "/login?next=%2Fmachines%3Fafter%3Dx") {
		t.Errorf("a browser that is not signed in: %d %s", code, to)
	}
	if code := post("/login", url.Values{"name": {"ana"}, "password": {"wrong horse battery"}}); code != http.StatusUnauthorized {
		t.Errorf("wrong password: %d", code)
	}
	if code := post("/login", url.Values{"name": {"ana"}, "password": {"correct horse battery"}}); code != http.StatusOK {
		t.Errorf("right password: %d", code)
	}
	if code, body := page("text/html"); code != http.StatusOK || body != "in as ana" {
		t.Errorf("signed in: %d %s", code, body)
	}
	post("/logout", nil)
	if code, _ := page("application/json"); code != http.StatusUnauthorized {
		t.Errorf("signed out: %d", code)
	}
}
