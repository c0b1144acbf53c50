package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Gate stands before every route of the operators. It lets a request pass when
// its session is signed in, when it came over the control socket, or, until the
// first account exists, when it came from this host itself.
type Gate struct {
	accounts *Accounts
	sessions *Sessions
	deny     func(w http.ResponseWriter, r *http.Request, status int, detail string)
}

// NewGate returns a gate; deny writes the refusal.
func NewGate(accounts *Accounts, sessions *Sessions, deny func(http.ResponseWriter, *http.Request, int, string)) *Gate {
	return &Gate{accounts: accounts, sessions: sessions, deny: deny}
}

type localKey struct{}

// WithControlSocket marks the connections of a listener whose file mode already
// decides who may connect; it is an [http.Server.ConnContext].
func WithControlSocket(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, localKey{}, true)
}

// Wrap guards next, except for the paths that open says are for everybody.
func (g *Gate) Wrap(next http.Handler, open func(*http.Request) bool) http.Handler {
	return g.sessions.manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open(r) || g.admit(w, r) {
			next.ServeHTTP(w, r)
		}
	}))
}

// admit reports whether r may pass; where not, it has been answered.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request) bool {
	if g.sessions.User(r.Context()) != "" || r.Context().Value(localKey{}) != nil {
		return true
	}
	accounts, err := g.accounts.Any(r.Context())
	switch {
	case err != nil:
		g.deny(w, r, http.StatusServiceUnavailable, "it cannot be checked who you are: "+err.Error())
	case !accounts && fromThisHost(r):
		return true
	case !accounts:
		g.deny(w, r, http.StatusForbidden, "no account exists yet, so only this host itself may enter; on it, run: dragonfly user create NAME")
	case wantsPage(r):
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		g.deny(w, r, http.StatusUnauthorized, "sign in first, at /login")
	}
	return false
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
