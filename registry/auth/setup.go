package auth

import (
	"context"
	"crypto/subtle"
	"fmt"

	"dragonfly/registry"
)

// SetupToken is the secret of the setup link, which lets whoever was shown it
// make the first account. Each start has another one.
func (a *Accounts) SetupToken() string { return a.setup }

// Setup makes the first account, an administrator. A wrong token, and any once
// there is an account, is [registry.ErrForbidden].
func (a *Accounts) Setup(ctx context.Context, token, name, password string) error {
	// Equal answers: whether an account exists is nobody's business.
	refused := fmt.Errorf("the setup link is wrong or was used already; see the log of the latest start: %w", registry.ErrForbidden)
	if subtle.ConstantTimeCompare([]byte(token), []byte(a.setup)) != 1 {
		return refused
	}
	actor := registry.ActorOf(ctx)
	actor.Name = "setup link"
	return a.create(registry.WithActor(ctx, actor), name, password, registry.Admin, func(d directory) error {
		if len(d.Users) > 0 {
			return refused
		}
		return nil
	})
}
