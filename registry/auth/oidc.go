package auth

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"dragonfly/registry"
)

// OIDCConfig says where operators sign in with OpenID Connect, and what their
// groups may do.
type OIDCConfig struct {
	Issuer       string // such as https://id.example.org/realms/ops
	ClientID     string
	ClientSecret string                   // empty for a public client
	GroupsClaim  string                   // of the ID token or the userinfo; "groups" where empty
	Roles        map[string]registry.Role // by group; whoever is in none of them stays out
	PublicURL    string                   // of this server, as browsers see it; from the request where empty
	HTTP         *http.Client             // nil: one with time limits of its own
}

// OIDC signs operators in at an identity provider, by the authorization code flow
// with PKCE, state and nonce (OpenID Connect Core 1.0 section 3.1, RFC 7636).
// Whoever comes back gets an account of that origin, whose role follows the
// groups at each sign-in.
type OIDC struct {
	cfg      OIDCConfig
	sessions *Sessions
	box      *Box // seals the cookie between the two halves of a sign-in
	deny     func(w http.ResponseWriter, r *http.Request, status int, detail string)
	log      *slog.Logger
	now      func() time.Time

	provider atomic.Pointer[oidc.Provider] // found at the first sign-in, so that we start without it
}

// The paths of the two halves of a sign-in. The second one is to be registered at
// the identity provider.
const (
	OIDCBeginPath  = "/login/oidc"
	OIDCFinishPath = "/login/oidc/callback"
)

// OIDCParts is what [NewOIDC] needs beside the configuration.
type OIDCParts struct {
	Sessions *Sessions
	Box      *Box
	Deny     func(w http.ResponseWriter, r *http.Request, status int, detail string)
	Log      *slog.Logger
}

// NewOIDC returns the sign-in at an identity provider. It does not ask there yet.
// Its two handlers must be behind the [Gate], open to everybody.
func NewOIDC(cfg OIDCConfig, parts OIDCParts) (*OIDC, error) {
	issuer, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http":
		return nil, fmt.Errorf("oidc issuer %q: want a URL such as https://id.example.org", cfg.Issuer)
	case cfg.ClientID == "":
		return nil, errors.New("oidc client id: it is missing")
	case len(cfg.Roles) == 0:
		return nil, errors.New("oidc role map: it is empty, so nobody could sign in; map at least one group, such as admin=ops")
	}
	cfg.GroupsClaim = cmp.Or(cfg.GroupsClaim, "groups")
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	bounded := *cfg.HTTP
	bounded.Transport = boundedTransport{cfg.HTTP.Transport}
	cfg.HTTP = &bounded
	return &OIDC{cfg: cfg, sessions: parts.Sessions, box: parts.Box, deny: parts.Deny, log: parts.Log, now: time.Now}, nil
}

// boundedTransport cuts answers, which the library reads whole.
type boundedTransport struct{ next http.RoundTripper }

const maxOIDCReply = 1 << 20

// RoundTrip is part of [http.RoundTripper].
func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxOIDCReply), resp.Body}
	}
	return resp, err
}

// flow is what has to be remembered until the browser comes back. It travels in
// a sealed cookie: a visitor who never comes back leaves nothing behind.
type flow struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Redirect string    `json:"redirect"`
	Next     string    `json:"next"`
	Expires  time.Time `json:"expires"`
}

const (
	flowCookie = "dragonfly-oidc"
	flowLife   = 10 * time.Minute
)

// Begin sends the browser to the identity provider.
func (o *OIDC) Begin(w http.ResponseWriter, r *http.Request) {
	config, err := o.client(r)
	if err != nil {
		o.refuse(w, r, err)
		return
	}
	f := flow{State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(),
		Redirect: config.RedirectURL, Next: ownPath(r.URL.Query().Get("next")), Expires: o.now().Add(flowLife)}
	text, err := json.Marshal(f)
	if err != nil {
		o.refuse(w, r, err)
		return
	}
	http.SetCookie(w, o.cookie(r, o.box.Seal(flowCookie, string(text)), int(flowLife.Seconds())))
	http.Redirect(w, r, config.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), http.StatusSeeOther)
}

// Finish signs in whoever comes back from the identity provider.
func (o *OIDC) Finish(w http.ResponseWriter, r *http.Request) {
	f, err := o.flowOf(r)
	http.SetCookie(w, o.cookie(r, "", -1)) // it is good once
	if err == nil {
		err = o.finish(r, f)
	}
	if err != nil {
		o.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, f.Next, http.StatusSeeOther)
}

func (o *OIDC) finish(r *http.Request, f flow) error {
	who, err := o.identify(r, f)
	if err != nil {
		return err
	}
	role, ok := o.role(who.groups)
	if !ok {
		return fmt.Errorf("none of the groups of %s has a role here: %w", who.name, registry.ErrForbidden)
	}
	actor := registry.ActorOf(r.Context())
	actor.Name = who.name
	name, err := o.sessions.accounts.admitSubject(registry.WithActor(r.Context(), actor), subject{
		id: o.cfg.Issuer + "|" + who.subject, name: who.name, role: role})
	if err != nil {
		return err
	}
	o.log.Info("signed in at the identity provider", "user", name, "role", role)
	return o.sessions.start(r.Context(), name)
}

// errFlow is a return from the identity provider that nothing here began.
var errFlow = fmt.Errorf("%w: this sign-in was not begun here, or took too long; begin again at /login", ErrSignIn)

// flowOf is the sign-in that r ends.
func (o *OIDC) flowOf(r *http.Request) (f flow, err error) {
	cookie, err := r.Cookie(flowCookie)
	if err != nil {
		return f, errFlow
	}
	text, err := o.box.Open(flowCookie, cookie.Value)
	if err != nil || json.Unmarshal([]byte(text), &f) != nil || o.now().After(f.Expires) {
		return flow{}, errFlow
	}
	if state := r.URL.Query().Get("state"); subtle.ConstantTimeCompare([]byte(state), []byte(f.State)) != 1 {
		return flow{}, errFlow
	}
	return f, nil
}

func (o *OIDC) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: flowCookie, Value: value, Path: OIDCBeginPath, MaxAge: maxAge,
		HttpOnly: true, Secure: o.sessions.overTLS(r), SameSite: http.SameSiteLaxMode}
}

// client is the OAuth client, for the address that r came to.
func (o *OIDC) client(r *http.Request) (*oauth2.Config, error) {
	provider, err := o.discover(r.Context())
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(o.cfg.PublicURL, "/")
	if base == "" {
		base = "http://" + r.Host
		if o.sessions.overTLS(r) {
			base = "https://" + r.Host
		}
	}
	return &oauth2.Config{ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: provider.Endpoint(),
		RedirectURL: base + OIDCFinishPath, Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"}}, nil
}

// errProvider is a fault of the identity provider, or of our way to it.
var errProvider = errors.New("the identity provider does not answer as it should")

// discover reads what the identity provider says of itself, until it has said so once.
// Each sign-in asks for itself: none waits for another one's answer that does not come.
func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, error) {
	if known := o.provider.Load(); known != nil {
		return known, nil
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, o.cfg.HTTP), o.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	o.provider.Store(provider)
	return provider, nil
}

// refuse answers a sign-in that failed. What the provider said is for the log.
func (o *OIDC) refuse(w http.ResponseWriter, r *http.Request, err error) {
	o.log.Warn("sign in at the identity provider", "remote", r.RemoteAddr, "err", err)
	switch {
	case errors.Is(err, registry.ErrForbidden):
		o.deny(w, r, http.StatusForbidden, err.Error())
	case errors.Is(err, registry.ErrUnavailable):
		o.deny(w, r, http.StatusServiceUnavailable, registry.ErrUnavailable.Error())
	case errors.Is(err, errFlow), errors.Is(err, errProviderRefused):
		o.deny(w, r, http.StatusUnauthorized, err.Error())
	case errors.Is(err, errProvider):
		o.deny(w, r, http.StatusBadGateway, errProvider.Error()+"; the log of this server says why. An account with a password can sign in at /login")
	default:
		o.deny(w, r, http.StatusInternalServerError, "the sign-in failed by a fault of this server, which was logged")
	}
}

// ownPath is next where it is a path of this server, else the start: a sign-in
// must not lead to another host. Browsers read a backslash as a slash.
func ownPath(next string) string {
	at, err := url.Parse(next)
	if err != nil || at.IsAbs() || at.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		len(next) > 1024 || strings.ContainsFunc(next, func(c rune) bool { return c == '\\' || c < ' ' }) {
		return "/"
	}
	return next
}
