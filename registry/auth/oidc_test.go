package auth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// provider is a small OpenID provider: discovery, keys, authorisation that asks
// nobody, token and userinfo. It signs with RS256.
type provider struct {
	*httptest.Server
	key      *rsa.PrivateKey
	signs    *rsa.PrivateKey // the same, but for a forger
	claims   map[string]any  // of the ID token; what a test changes
	userinfo map[string]any
	asked    url.Values // of the last authorisation
	alg      string
	broken   bool          // answers discovery with an error
	silent   chan struct{} // where there is one, the first discovery closes it and is not answered
	held     atomic.Bool   // there was one that is not answered
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, signs: key, alg: "RS256"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.userinfo) })
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.claims = map[string]any{"iss": p.URL, "aud": "dragonfly", "sub": "0815", "exp": time.Now().Add(time.Hour).Unix(),
		"iat": time.Now().Unix(), "preferred_username": "Ana", "groups": []string{"everyone", "ops"}}
	return p
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (p *provider) discovery(w http.ResponseWriter, r *http.Request) {
	if p.silent != nil && p.held.CompareAndSwap(false, true) {
		close(p.silent)
		<-r.Context().Done()
		return
	}
	if p.broken {
		http.Error(w, "tea time", http.StatusTeapot)
		return
	}
	reply(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256"}})
}

func (p *provider) keys(w http.ResponseWriter, _ *http.Request) {
	b64 := base64.RawURLEncoding.EncodeToString
	reply(w, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
		"n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes())}}})
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.asked = r.URL.Query()
	back := url.Values{"state": {p.asked.Get("state")}, "code": {"the-code"}}
	http.Redirect(w, r, p.asked.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch {
	case id != "dragonfly" || secret != "s3cret":
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
	case r.FormValue("code") != "the-code" || p.asked.Get("code_challenge_method") != "S256" ||
		base64.RawURLEncoding.EncodeToString(challenge[:]) != p.asked.Get("code_challenge") ||
		r.FormValue("redirect_uri") != p.asked.Get("redirect_uri"):
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
	default:
		if _, set := p.claims["nonce"]; !set {
			p.claims["nonce"] = p.asked.Get("nonce")
		}
		reply(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": p.sign(p.claims)})
		delete(p.claims, "nonce")
	}
}

// sign is a JSON Web Token of claims.
func (p *provider) sign(claims map[string]any) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	body := part(map[string]string{"alg": p.alg, "kid": "1"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(body))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, p.signs, crypto.SHA256, sum[:])
	return body + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// desk is a server that signs in at a provider, and a browser.
type desk struct {
	*httptest.Server
	provider *provider
	accounts *Accounts
	browser  *http.Client
}

func newDesk(t *testing.T) *desk { return newDeskWith(t, nil) }

// newDeskWith is a desk whose server asks the provider by a client; nil: by its own.
func newDeskWith(t *testing.T, client *http.Client) *desk {
	t.Helper()
	d := &desk{provider: newProvider(t), accounts: accountsIn(t, registrytest.Memory())}
	sessions, deny := NewSessions(d.accounts), func(w http.ResponseWriter, _ *http.Request, status int, detail string) { http.Error(w, detail, status) }
	sign, err := NewOIDC(OIDCConfig{Issuer: d.provider.URL, ClientID: "dragonfly", ClientSecret: "s3cret", HTTP: client,
		Roles: map[string]registry.Role{"ops": registry.Admin, "everyone": registry.Viewer}},
		OIDCParts{Sessions: sessions, Box: openBox(t, filepath.Join(t.TempDir(), "key")), Deny: deny, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+OIDCBeginPath, sign.Begin)
	mux.HandleFunc("GET "+OIDCFinishPath, sign.Finish)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path+" "+sessions.User(r.Context()))
	})
	gate := &Gate{Accounts: d.accounts, Sessions: sessions, Deny: deny, Log: slog.New(slog.DiscardHandler),
		Policy: Policy{"GET /": Everybody}, Route: func(*http.Request) string { return "/" }}
	d.Server = httptest.NewServer(gate.Wrap(mux))
	t.Cleanup(d.Close)
	d.newBrowser(t)
	return d
}

func (d *desk) newBrowser(t *testing.T) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.browser = &http.Client{Jar: jar}
}

func (d *desk) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := d.browser.Get(d.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func (d *desk) roleOf(t *testing.T, name string) registry.Role {
	t.Helper()
	list, err := d.accounts.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Name == name && a.Origin == "oidc" {
			return a.Role
		}
	}
	return ""
}

func TestOIDC(t *testing.T) {
	d := newDesk(t)
	if code, body := d.get(t, "/login/oidc?next=/machines"); code != http.StatusOK || body != "/machines oidc:ana" {
		t.Fatalf("signed in: %d %s", code, body)
	}
	if role := d.roleOf(t, "oidc:ana"); role != registry.Admin {
		t.Errorf("the highest role of her groups: %q", role)
	}
	d.provider.claims["groups"] = "everyone" // one, as some providers write it
	d.provider.claims["preferred_username"] = "anna"
	if _, body := d.get(t, "/login/oidc"); body != "/ oidc:ana" || d.roleOf(t, "oidc:ana") != registry.Viewer {
		t.Errorf("with another group and another name: %s, %q", body, d.roleOf(t, "oidc:ana"))
	}
	for what, err := range map[string]error{
		"password": d.accounts.ChangeAccount(t.Context(), "oidc:ana", password, ""),
		"role":     d.accounts.ChangeAccount(t.Context(), "oidc:ana", "", registry.Admin),
	} {
		if err == nil || !strings.Contains(err.Error(), "identity provider") {
			t.Errorf("set her %s here: %v", what, err)
		}
	}
	if err := d.accounts.Check(t.Context(), "oidc:ana", ""); err == nil {
		t.Error("she can sign in without a password")
	}
	entries, err := d.accounts.Audit(t.Context(), "account/oidc:ana", 0, 10)
	if err != nil || len(entries) != 2 || entries[0].Action != "account.change" || entries[0].Actor.From != "127.0.0.1" {
		t.Errorf("audit: %+v, %v", entries, err)
	}
}

func TestOIDCGroupsFromUserInfo(t *testing.T) {
	d := newDesk(t)
	delete(d.provider.claims, "groups")
	d.provider.userinfo = map[string]any{"sub": "0815", "groups": []string{"ops"}}
	if _, body := d.get(t, "/login/oidc"); body != "/ oidc:ana" || d.roleOf(t, "oidc:ana") != registry.Admin {
		t.Errorf("%s, %q", body, d.roleOf(t, "oidc:ana"))
	}
	d.newBrowser(t)
	d.provider.userinfo["sub"] = "4711"
	if code, body := d.get(t, "/login/oidc"); code != http.StatusForbidden {
		t.Errorf("userinfo of somebody else: %d %s", code, body)
	}
}

func TestOIDCRefuses(t *testing.T) {
	forged, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		spoil func(*provider)
		code  int
	}{
		"no group with a role":   {func(p *provider) { p.claims["groups"] = []string{"sales"} }, 403},
		"groups of a wrong type": {func(p *provider) { p.claims["groups"] = map[string]int{"ops": 1} }, 403},
		"another client":         {func(p *provider) { p.claims["aud"] = "other" }, 502},
		"another issuer":         {func(p *provider) { p.claims["iss"] = "http://evil.example" }, 502},
		"another sign-in":        {func(p *provider) { p.claims["nonce"] = "replayed" }, 502},
		"expired":                {func(p *provider) { p.claims["exp"] = time.Now().Add(-time.Hour).Unix() }, 502},
		"unsigned":               {func(p *provider) { p.alg = "none" }, 502},
		"another algorithm":      {func(p *provider) { p.alg = "HS256" }, 502},
		"another key":            {func(p *provider) { p.signs = forged }, 502},
		"no provider":            {func(p *provider) { p.broken = true }, 502},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			try.spoil(d.provider)
			code, body := d.get(t, "/login/oidc")
			if code != try.code {
				t.Errorf("%d %s, want %d", code, body, try.code)
			}
			if any, _ := d.accounts.Any(t.Context()); any {
				t.Error("an account was made")
			}
		})
	}
}

func TestOIDCProviderAway(t *testing.T) {
	d := newDesk(t)
	d.provider.broken = true
	if code, body := d.get(t, "/login/oidc"); code != http.StatusBadGateway || strings.Contains(body, "tea time") {
		t.Errorf("no discovery: %d %s", code, body)
	}
	d.provider.broken = false
	if code, body := d.get(t, "/login/oidc"); code != http.StatusOK {
		t.Errorf("it is back: %d %s", code, body)
	}
}

// A sign-in to which the provider says nothing keeps nobody else from signing in.
func TestOIDCProviderSilent(t *testing.T) {
	d := newDeskWith(t, &http.Client{}) // which does not give up by itself
	d.provider.silent = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+OIDCBeginPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	defer func() { cancel(); <-ended }()
	<-d.provider.silent
	d.browser.Timeout = time.Minute
	if code, body := d.get(t, "/login/oidc"); code != http.StatusOK {
		t.Errorf("the next one: %d %s", code, body)
	}
}

// Somebody else's answer, planted in the browser: the state in its cookie is
// another one, or there is none.
func TestOIDCForgedReturn(t *testing.T) {
	d := newDesk(t)
	for _, begun := range []bool{false, true} {
		if begun {
			d.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if code, _ := d.get(t, "/login/oidc"); code != http.StatusSeeOther {
				t.Fatalf("begin: %d", code)
			}
		}
		if code, body := d.get(t, "/login/oidc/callback?code=the-code&state=forged"); code != http.StatusUnauthorized || !strings.Contains(body, "not begun here") {
			t.Errorf("begun %v: %d %s", begun, code, body)
		}
	}
}

func TestOIDCNameIsTaken(t *testing.T) {
	d := newDesk(t)
	d.get(t, "/login/oidc")
	d.newBrowser(t)
	d.provider.claims["sub"] = "4711"
	if code, body := d.get(t, "/login/oidc"); code != http.StatusForbidden || !strings.Contains(body, "belongs to somebody else") {
		t.Errorf("another subject of the same name: %d %s", code, body)
	}
}

func TestOIDCConfig(t *testing.T) {
	roles := map[string]registry.Role{"ops": registry.Admin}
	for _, cfg := range []OIDCConfig{
		{Issuer: "id.example.org", ClientID: "a", Roles: roles}, {Issuer: "ftp://id", ClientID: "a", Roles: roles},
		{Issuer: "https://id.example.org", Roles: roles}, {Issuer: "https://id.example.org", ClientID: "a"},
	} {
		if _, err := NewOIDC(cfg, OIDCParts{}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	got, err := ParseRoleMap("admin=ops, viewer=everyone,viewer=cn=guests")
	if err != nil || fmt.Sprint(got) != "map[cn=guests:viewer everyone:viewer ops:admin]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "ops", "root=ops", "admin=", "admin=ops,viewer=ops"} {
		if got, err := ParseRoleMap(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	for next, want := range map[string]string{"/machines?a=b": "/machines?a=b", "": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/", "machines": "/"} {
		if got := ownPath(next); got != want {
			t.Errorf("next %q: %q, want %q", next, got, want)
		}
	}
}
