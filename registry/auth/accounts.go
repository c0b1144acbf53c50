package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/alexedwards/argon2id"

	"dragonfly/registry"
)

// Admin is the role that may do everything.
const Admin = "admin"

// ErrSignIn is returned for a wrong name or password, without telling which.
var ErrSignIn = errors.New("the name or the password is wrong")

// Store keeps accounts. A missing user is [registry.ErrNotFound].
type Store interface {
	User(ctx context.Context, name string) (hash, role string, err error)
	PutUser(ctx context.Context, name, hash, role string) error
	Users(ctx context.Context) ([]string, error)
}

// Accounts is the operators who may sign in.
type Accounts struct {
	store Store
	busy  chan struct{} // bounds the hashing: each takes 64 MiB and half a core
	decoy string        // checked for a name that does not exist, which then takes as long
}

// NewAccounts returns the accounts kept in store.
func NewAccounts(store Store) (*Accounts, error) {
	decoy, err := argon2id.CreateHash("nobody has this password", argon2id.DefaultParams)
	if err != nil {
		return nil, fmt.Errorf("prepare the password hash: %w", err)
	}
	return &Accounts{store: store, busy: make(chan struct{}, 2), decoy: decoy}, nil
}

// Any reports whether an account exists.
func (a *Accounts) Any(ctx context.Context) (bool, error) {
	names, err := a.store.Users(ctx)
	return len(names) > 0, err
}

var accountName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,31}$`)

const (
	minPassword = 10
	maxPassword = 256
)

// Put creates the account or replaces its password and role. It errs with
// [*registry.InvalidError] for a name or password that cannot be.
func (a *Accounts) Put(ctx context.Context, name, password, role string) error {
	var wrong []registry.FieldError
	if !accountName.MatchString(name) {
		wrong = append(wrong, registry.FieldError{Pointer: "/name",
			Message: "want a lower-case letter, then up to 31 letters, digits, dots, dashes or underscores"})
	}
	if len(password) < minPassword || len(password) > maxPassword {
		wrong = append(wrong, registry.FieldError{Pointer: "/password",
			Message: fmt.Sprintf("want %d to %d characters", minPassword, maxPassword)})
	}
	if len(wrong) > 0 {
		return &registry.InvalidError{Fields: wrong}
	}
	hash, err := argon2id.CreateHash(password, argon2id.DefaultParams)
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	return a.store.PutUser(ctx, name, hash, role)
}

// Check returns [ErrSignIn] unless the account exists and has this password.
func (a *Accounts) Check(ctx context.Context, name, password string) error {
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	hash, _, err := a.store.User(ctx, name)
	if errors.Is(err, registry.ErrNotFound) {
		hash = a.decoy
	} else if err != nil {
		return err
	}
	if len(password) > maxPassword {
		return ErrSignIn
	}
	match, hashErr := argon2id.ComparePasswordAndHash(password, hash)
	if hashErr != nil {
		return fmt.Errorf("check the password of %s: %w", name, hashErr)
	}
	if !match || err != nil {
		return ErrSignIn
	}
	return nil
}
