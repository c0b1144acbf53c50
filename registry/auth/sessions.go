package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Sessions remembers who is signed in, in memory: a restart signs everybody out.
type Sessions struct {
	manager  *scs.SessionManager
	accounts *Accounts
}

const sessionUser = "user"

// NewSessions returns sessions for accounts.
func NewSessions(accounts *Accounts) *Sessions {
	manager := scs.New()
	manager.Lifetime = 12 * time.Hour
	manager.IdleTimeout = time.Hour
	manager.Cookie.Name = "dragonfly"
	manager.Cookie.HttpOnly = true
	manager.Cookie.SameSite = http.SameSiteLaxMode
	return &Sessions{manager: manager, accounts: accounts}
}

// SignIn starts a session, under a new id so that a planted one is worthless.
// A wrong name or password is [ErrSignIn].
func (s *Sessions) SignIn(ctx context.Context, name, password string) error {
	if err := s.accounts.Check(ctx, name, password); err != nil {
		return err
	}
	if err := s.manager.RenewToken(ctx); err != nil {
		return err
	}
	s.manager.Put(ctx, sessionUser, name)
	return nil
}

// SignOut ends the session.
func (s *Sessions) SignOut(ctx context.Context) error { return s.manager.Destroy(ctx) }

// User is who is signed in; empty where nobody is.
func (s *Sessions) User(ctx context.Context) string { return s.manager.GetString(ctx, sessionUser) }
