package auth

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"dragonfly/registry"
)

// Sessions remembers who is signed in. A session is good for as long as its
// account is there and has the epoch it had when the session began, which a new
// password changes.
type Sessions struct {
	plain    *scs.SessionManager
	secure   *scs.SessionManager // the same but for its cookie, for requests over TLS
	accounts *Accounts
	behind   string // host of a proxy with TLS
}

// What a session holds.
const (
	sessionUser  = "user"
	sessionEpoch = "epoch"
)

// NewSessions returns the sessions of accounts.
func NewSessions(accounts *Accounts) *Sessions {
	plain := scs.New()
	plain.Store = newSessionCache(accounts.store)
	plain.Codec = sessionCodec{}
	plain.HashTokenInStore = true
	plain.Lifetime = 12 * time.Hour
	plain.IdleTimeout = time.Hour
	plain.Cookie.Name = "dragonfly"
	plain.Cookie.HttpOnly = true
	plain.Cookie.SameSite = http.SameSiteLaxMode
	secure := *plain
	secure.Cookie.Secure = true
	secure.Cookie.Name = "__Host-dragonfly" // which no answer without TLS can plant
	return &Sessions{plain: plain, secure: &secure, accounts: accounts}
}

// BehindTLS says that whoever asks for host comes by way of a proxy that speaks TLS
// with them, and plain HTTP with us. It is for before the first request.
func (s *Sessions) BehindTLS(host string) { s.behind = host }

// overTLS reports whether the browser speaks TLS, with us or with the proxy.
func (s *Sessions) overTLS(r *http.Request) bool {
	return r.TLS != nil || s.behind != "" && strings.EqualFold(r.Host, s.behind)
}

// SignIn starts a session, under a new id so that a planted one is worthless.
// A wrong name or password is [ErrSignIn].
func (s *Sessions) SignIn(ctx context.Context, name, password string) error {
	if err := s.accounts.Check(ctx, name, password); err != nil {
		return err
	}
	return s.start(ctx, name)
}

// start signs an account in.
func (s *Sessions) start(ctx context.Context, name string) error {
	d, err := s.accounts.book.current(ctx)
	u, known := d.Users[name]
	if !known {
		if err == nil {
			err = ErrSignIn // removed a moment ago
		}
		return err
	}
	if err := s.plain.RenewToken(ctx); err != nil {
		return err
	}
	s.plain.Put(ctx, sessionUser, name)
	s.plain.Put(ctx, sessionEpoch, u.Epoch)
	return nil
}

// SignOut ends the session.
func (s *Sessions) SignOut(ctx context.Context) error { return s.plain.Destroy(ctx) }

// User is who is signed in; empty where nobody is.
func (s *Sessions) User(ctx context.Context) string {
	actor, _ := s.actor(ctx)
	return actor.Name
}

// actor is who is signed in, with their role of now; the zero Actor where nobody
// is. It errs when that is not known.
func (s *Sessions) actor(ctx context.Context) (registry.Actor, error) {
	name := s.plain.GetString(ctx, sessionUser)
	if name == "" {
		return registry.Actor{}, nil
	}
	d, err := s.accounts.book.current(ctx)
	if d.Users == nil {
		return registry.Actor{}, err
	}
	u, known := d.Users[name]
	if !known || u.Epoch != s.plain.GetString(ctx, sessionEpoch) {
		return registry.Actor{}, nil
	}
	return registry.Actor{Name: name, Role: string(u.Role)}, nil
}

// load is middleware that gives each request its session. failed answers where
// that cannot be read.
func (s *Sessions) load(next http.Handler, failed func(http.ResponseWriter, *http.Request, error)) http.Handler {
	plain, secure := *s.plain, *s.secure
	plain.ErrorFunc, secure.ErrorFunc = failed, failed
	overPlain, overTLS := plain.LoadAndSave(next), secure.LoadAndSave(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.overTLS(r) {
			overTLS.ServeHTTP(w, r)
		} else {
			overPlain.ServeHTTP(w, r)
		}
	})
}
