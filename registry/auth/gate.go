package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// Gate stands before every route. It finds out who asks, lets them pass where
// the [Policy] allows it, and gives the request's context a [registry.Actor].
type Gate struct {
	Accounts *Accounts
	Sessions *Sessions
	Policy   Policy
	// Route is the pattern of the route that will answer a request, found as the
	// router finds it; empty where none will.
	Route func(*http.Request) string
	// Deny writes a refusal.
	Deny func(w http.ResponseWriter, r *http.Request, status int, detail string)
	Log  *slog.Logger

	recheck time.Duration // see [recheck]
}

type localKey struct{}

// WithControlSocket marks the connections of a listener whose file mode already
// decides who may connect; it is an [http.Server.ConnContext].
func WithControlSocket(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, localKey{}, true)
}

// Wrap guards next.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	g.recheck = cmp.Or(g.recheck, recheck)
	guarded := g.Sessions.load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.serve(w, r, next)
	}), g.refuse)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rule, _ := g.Policy.of(r.Method, g.Route(r)); rule == Agents {
			next.ServeHTTP(w, r) // a machine has no session; its token is checked by the route
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// serve hands r on where the policy allows it. A path that no route answers is
// told only to those who may look around.
func (g *Gate) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rule := Viewer
	if pattern := g.Route(r); pattern != "" {
		var listed bool
		if rule, listed = g.Policy.of(r.Method, pattern); !listed {
			g.Log.Error("a route has no rule, so nobody may use it", "method", r.Method, "route", pattern)
			g.Deny(w, r, http.StatusForbidden, "no rule says who may use this, so nobody may; this is a fault of the server")
			return
		}
	}
	actor := registry.Actor{From: from(r)}
	if rule != Everybody {
		known, err := g.who(r)
		switch {
		case rule == Recognised && err != nil: // then nobody in particular
		case err != nil:
			g.refuse(w, r, err)
			return
		case rule != Recognised && !registry.Role(known.Role).Includes(registry.Role(rule)):
			g.Deny(w, r, http.StatusForbidden, fmt.Sprintf("this needs the role %s; %s has the role %s", rule, known.Name, known.Role))
			return
		default:
			actor = known
		}
	}
	ctx := r.Context()
	if registry.Role(rule).Known() && ctx.Value(localKey{}) == nil {
		var done func()
		ctx, done = g.lasting(r, rule)
		defer done()
	}
	next.ServeHTTP(w, r.WithContext(registry.WithActor(ctx, actor)))
}

// Why it is not known who asks.
var (
	errUnknown   = errors.New("sign in first, at /login, or send an API token as Authorization: Bearer df_TOKEN")
	errNoAccount = errors.New("no account exists yet, so only this host itself may enter; open the setup link of the log, or on this host run: dragonfly user create NAME")
	errScope     = errors.New("this token is not for that")
	errMachine   = fmt.Errorf("%w: this needs an API token (df_...); the tokens of machines are for /api/v1/agent/ only", ErrToken)
)

// The names of who has no account; no account may have them.
const (
	onConsole   = "console"   // on the control socket
	onLocalhost = "localhost" // on this host, while there is no account
)

// who finds out who asks.
func (g *Gate) who(r *http.Request) (registry.Actor, error) {
	actor, err := g.known(r)
	actor.From = from(r)
	return actor, err
}

func (g *Gate) known(r *http.Request) (registry.Actor, error) {
	ctx := r.Context()
	if ctx.Value(localKey{}) != nil {
		return registry.Actor{Name: onConsole, Role: string(registry.Admin)}, nil
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if token = strings.TrimSpace(token); !strings.HasPrefix(token, tokenPrefix) {
			return registry.Actor{}, errMachine
		}
		actor, scopes, err := g.Accounts.CheckToken(ctx, token)
		if err == nil && len(scopes) > 0 && !slices.Contains(scopes, scopeOf(g.Route(r))) {
			return registry.Actor{}, fmt.Errorf("%w: %s is limited to %s", errScope, actor.Name, strings.Join(scopes, ", "))
		}
		return actor, err
	}
	if actor, err := g.Sessions.actor(ctx); err != nil || actor.Name != "" {
		return actor, err
	}
	accounts, err := g.Accounts.Any(ctx)
	switch {
	case err != nil:
		return registry.Actor{}, err
	case accounts:
		return registry.Actor{}, errUnknown
	case fromThisHost(r):
		return registry.Actor{Name: onLocalhost, Role: string(registry.Admin)}, nil
	}
	return registry.Actor{}, errNoAccount
}

// refuse answers a request of somebody who is not known.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNoAccount):
		g.Deny(w, r, http.StatusForbidden, err.Error())
	case errors.Is(err, errUnknown) && wantsPage(r):
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	case errors.Is(err, errUnknown):
		w.Header().Set("WWW-Authenticate", "Bearer")
		g.Deny(w, r, http.StatusUnauthorized, err.Error())
	case errors.Is(err, errScope): // RFC 6750 section 3.1
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		g.Deny(w, r, http.StatusForbidden, err.Error())
	case errors.Is(err, ErrToken):
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		g.Deny(w, r, http.StatusUnauthorized, err.Error())
	default:
		g.Log.Warn("it cannot be checked who asks", "err", err)
		w.Header().Set("Retry-After", "2")
		g.Deny(w, r, http.StatusServiceUnavailable, "it cannot be checked who you are: "+registry.ErrUnavailable.Error())
	}
}

// from is the address a request came from, for the audit log.
func from(r *http.Request) string {
	if r.Context().Value(localKey{}) != nil {
		return "control socket"
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return peer.Addr().Unmap().String()
}

// fromThisHost reports whether the request was made on this host, to this host.
// The Host header has to say so too, or a web page elsewhere could reach us
// through the operator's browser (DNS rebinding); and a proxy on this host
// speaks for others.
func fromThisHost(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

// wantsPage reports whether a person is looking: a page, and not one of its parts.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") &&
		r.Header.Get("HX-Request") == "" && !strings.HasPrefix(r.URL.Path, "/api/")
}
