package auth

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"dragonfly/registry"
)

// recheck is how often it is looked whether who asked may still be answered, for what
// takes longer: an event stream lasts for days, and ends with the session, the token or
// the account that it was asked for with.
const recheck = 10 * time.Second

// lasting is the context of a request that rule lets pass, until done is called. It ends
// when who asks is refused, and not because the database is away.
func (g *Gate) lasting(r *http.Request, rule Rule) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if ctx.Err() != nil {
			return
		}
		if err := g.still(r, rule); err != nil {
			cancel(err)
			return
		}
		timer.Reset(g.recheck)
	})
	timer.Reset(g.recheck) // not before timer is set
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// still is why who asked for r is not answered any more; nil while they are.
func (g *Gate) still(r *http.Request, rule Rule) error {
	ctx, cancel := context.WithTimeout(context.Background(), recheck)
	defer cancel()
	ctx, err := g.Sessions.again(ctx, r)
	if err != nil {
		return nil
	}
	actor, err := g.known(r.WithContext(ctx))
	switch {
	case err == nil && !registry.Role(actor.Role).Includes(registry.Role(rule)):
		return errUnknown
	case errors.Is(err, errUnknown), errors.Is(err, errNoAccount), errors.Is(err, errScope), errors.Is(err, ErrToken):
		return err
	}
	return nil
}

// again gives a context the session of a request, as it is now.
func (s *Sessions) again(ctx context.Context, r *http.Request) (context.Context, error) {
	of := s.plain
	if s.overTLS(r) {
		of = s.secure
	}
	id := ""
	if cookie, err := r.Cookie(of.Cookie.Name); err == nil {
		id = cookie.Value
	}
	return of.Load(ctx, id)
}
