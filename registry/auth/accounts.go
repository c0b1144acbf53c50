package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/alexedwards/argon2id"

	"dragonfly/registry"
)

// ErrSignIn is returned for a wrong name or password, without telling which.
var ErrSignIn = errors.New("the name or the password is wrong")

// Store is what this package keeps. The audit log is written with the directory.
type Store interface {
	Directories
	SessionStore
	TokenUses
	Audit(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error)
}

// Accounts is the operators who may sign in, and their API tokens.
type Accounts struct {
	store   Store
	scopes  []string // that a token may be limited to
	book    *book
	lockout *lockout
	uses    *uses
	setup   string        // the secret of the setup link
	busy    chan struct{} // bounds the hashing: each takes 64 MiB and half a core
	decoy   string        // checked for a name that does not exist, which then takes as long
}

// NewAccounts returns the accounts kept in store. Their tokens may be limited to any of
// scopes, which are those of [Policy.Scopes].
func NewAccounts(store Store, scopes ...string) (*Accounts, error) {
	decoy, err := decoyHash(argon2id.DefaultParams)
	if err != nil {
		return nil, fmt.Errorf("prepare the password hash: %w", err)
	}
	return &Accounts{store: store, scopes: scopes, book: newBook(store), lockout: newLockout(), uses: newUses(store),
		setup: rand.Text(), busy: make(chan struct{}, 2), decoy: decoy}, nil
}

// Any reports whether an account exists. It errs when that is not known now.
func (a *Accounts) Any(ctx context.Context) (bool, error) {
	d, err := a.book.current(ctx)
	if len(d.Users) > 0 {
		return true, nil
	}
	return false, err
}

// Accounts lists the accounts by name; while the database is away, those that were
// known.
func (a *Accounts) Accounts(ctx context.Context) ([]registry.Account, error) {
	d, err := a.book.current(ctx)
	if err != nil && !d.standsIn(err) {
		return nil, err
	}
	list := make([]registry.Account, 0, len(d.Users))
	for _, name := range slices.Sorted(maps.Keys(d.Users)) {
		list = append(list, d.Users[name].account(name))
	}
	return list, nil
}

func (u user) account(name string) registry.Account {
	origin := "local"
	if u.Subject != "" {
		origin = "oidc"
	}
	return registry.Account{Name: name, Role: u.Role, Origin: origin, CreatedAt: u.CreatedAt}
}

// CreateAccount makes an account that signs in with a password. It errs with
// [*registry.InvalidError] for what cannot be, and [registry.ErrExists].
func (a *Accounts) CreateAccount(ctx context.Context, name, password string, role registry.Role) error {
	return a.create(ctx, name, password, role, func(directory) error { return nil })
}

// create makes an account where may allows it.
func (a *Accounts) create(ctx context.Context, name, password string, role registry.Role, may func(directory) error) error {
	if err := invalid(checkName(name), checkPassword(password), checkRole(role)); err != nil {
		return err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	return a.book.change(ctx, func(d *directory) (entry registry.AuditEntry, err error) {
		if err := may(*d); err != nil {
			return entry, err
		}
		if _, exists := d.Users[name]; exists {
			return entry, fmt.Errorf("account %s %w", name, registry.ErrExists)
		}
		return d.addUser(name, user{Hash: hash, Role: role, Epoch: rand.Text(), CreatedAt: a.book.now().UTC()})
	})
}

func (d *directory) addUser(name string, u user) (registry.AuditEntry, error) {
	if len(d.Users) >= maxUsers {
		return registry.AuditEntry{}, fmt.Errorf("there are %d accounts, which is the most; delete some: %w", maxUsers, registry.ErrForbidden)
	}
	d.Users[name] = u
	return audited("account.create", accountObject(name), nil, shown(name, u)), nil
}

func accountObject(name string) string { return "account/" + name }

// shown is what the audit log says of an account.
func shown(name string, u user) map[string]string {
	return map[string]string{"role": string(u.Role), "origin": u.account(name).Origin}
}

// ChangeAccount gives an account another password, another role, or both; empty
// leaves one as it is. A new password ends the sessions, and leaves the API tokens,
// which are revoked one by one. A new role counts from the next request on.
func (a *Accounts) ChangeAccount(ctx context.Context, name, password string, role registry.Role) error {
	hash := ""
	if role != "" || password == "" {
		if err := invalid(checkRole(role)); err != nil {
			return err
		}
	}
	if password != "" {
		if err := invalid(checkPassword(password)); err != nil {
			return err
		}
		var err error
		if hash, err = a.hash(ctx, password); err != nil {
			return err
		}
	}
	return a.book.change(ctx, func(d *directory) (registry.AuditEntry, error) {
		return d.changeUser(name, hash, role)
	})
}

// changeUser sets the hash and the role that are not empty.
func (d *directory) changeUser(name, hash string, role registry.Role) (entry registry.AuditEntry, err error) {
	u, ok := d.Users[name]
	if !ok {
		return entry, fmt.Errorf("account %.40q: %w", name, registry.ErrNotFound)
	}
	if u.Subject != "" {
		return entry, fmt.Errorf("account %s signs in at the identity provider, which has its password and decides its role by its groups: %w", name, registry.ErrForbidden)
	}
	before := shown(name, u)
	if role != "" && role != u.Role {
		if u.Role == registry.Admin && d.localAdmins() == 1 {
			return entry, fmt.Errorf("account %s: %w", name, registry.ErrLastAdmin)
		}
		u.Role = role
	}
	after := shown(name, u)
	if hash != "" {
		u.Hash, u.Epoch = hash, rand.Text()
		after["password"] = "changed"
	}
	if maps.Equal(before, after) {
		return entry, errUnchanged
	}
	d.Users[name] = u
	return audited("account.change", accountObject(name), before, after), nil
}

// ChangePassword gives whoever asks another password, when they know the one
// they have.
func (a *Accounts) ChangePassword(ctx context.Context, old, password string) error {
	name := registry.ActorOf(ctx).Name
	err := a.Check(ctx, name, old)
	if errors.Is(err, ErrSignIn) {
		return fmt.Errorf("the password you have is another one: %w", registry.ErrForbidden)
	}
	if err != nil {
		return err
	}
	return a.ChangeAccount(ctx, name, password, "")
}

// EndSessions signs whoever asks out, in every browser. API tokens stay.
func (a *Accounts) EndSessions(ctx context.Context) error {
	name := registry.ActorOf(ctx).Name
	return a.book.change(ctx, func(d *directory) (entry registry.AuditEntry, err error) {
		u, ok := d.Users[name]
		if !ok {
			return entry, fmt.Errorf("account %.40q: %w", name, registry.ErrNotFound)
		}
		u.Epoch = rand.Text()
		d.Users[name] = u
		return audited("account.sessions_end", accountObject(name), nil, nil), nil
	})
}

// DeleteAccount removes an account, its sessions and its API tokens.
func (a *Accounts) DeleteAccount(ctx context.Context, name string) error {
	return a.book.change(ctx, func(d *directory) (entry registry.AuditEntry, err error) {
		u, ok := d.Users[name]
		switch {
		case !ok:
			return entry, fmt.Errorf("account %.40q: %w", name, registry.ErrNotFound)
		case u.Role == registry.Admin && u.Hash != "" && d.localAdmins() == 1:
			return entry, fmt.Errorf("account %s: %w", name, registry.ErrLastAdmin)
		}
		delete(d.Users, name)
		d.deleteTokensOf(name)
		return audited("account.delete", accountObject(name), shown(name, u), nil), nil
	})
}

// Check returns [ErrSignIn] unless the account exists and has this password, or
// [*LockedError] when there were too many wrong ones. It needs no database once
// the accounts are known.
func (a *Accounts) Check(ctx context.Context, name, password string) error {
	from := registry.ActorOf(ctx).From
	if err := a.lockout.begin(name, from); err != nil {
		return err
	}
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	d, err := a.book.current(ctx)
	if d.Users == nil {
		a.lockout.forget(name, from)
		return err
	}
	u, known := d.Users[name]
	hash := u.Hash
	if hash == "" {
		hash, known = a.decoy, false
	}
	match, err := argon2id.ComparePasswordAndHash(password[:min(len(password), maxPassword+1)], hash)
	if err != nil {
		return fmt.Errorf("check the password of %s: %w", name, err)
	}
	if !match || !known {
		return ErrSignIn
	}
	a.lockout.succeed(name, from)
	return nil
}

// Audit is the audit log; see [registry.Records].
func (a *Accounts) Audit(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error) {
	return a.store.Audit(ctx, object, before, limit)
}

func (a *Accounts) hash(ctx context.Context, password string) (string, error) {
	select {
	case a.busy <- struct{}{}:
		defer func() { <-a.busy }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	hash, err := argon2id.CreateHash(password, argon2id.DefaultParams)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return hash, nil
}

var accountName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,31}$`)

const (
	minPassword = 10
	maxPassword = 256
)

func checkName(name string) *registry.FieldError {
	switch {
	case name == onConsole || name == onLocalhost:
		return &registry.FieldError{Pointer: "/name", Message: "the audit log calls those without an account so"}
	case accountName.MatchString(name):
		return nil
	}
	return &registry.FieldError{Pointer: "/name",
		Message: "want a lower-case letter, then up to 31 letters, digits, dots, dashes or underscores"}
}

func checkPassword(password string) *registry.FieldError {
	if len(password) >= minPassword && len(password) <= maxPassword {
		return nil
	}
	return &registry.FieldError{Pointer: "/password", Message: fmt.Sprintf("want %d to %d characters", minPassword, maxPassword)}
}

func checkRole(role registry.Role) *registry.FieldError {
	if role.Known() {
		return nil
	}
	return &registry.FieldError{Pointer: "/role", Message: "want viewer, operator or admin"}
}

// invalid is an [*registry.InvalidError] of the fields that are wrong, or nil.
func invalid(checks ...*registry.FieldError) error {
	var wrong []registry.FieldError
	for _, field := range checks {
		if field != nil {
			wrong = append(wrong, *field)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return &registry.InvalidError{Fields: wrong}
}
