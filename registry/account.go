package registry

import (
	"errors"
	"slices"
	"time"
)

// Role is what somebody may do; each includes those below it.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // sees everything but the audit log and the accounts
	Operator Role = "operator" // changes machines
	Admin    Role = "admin"    // changes accounts, rules and settings
)

// Roles lists every role, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// Known reports whether r is a role.
func (r Role) Known() bool { return slices.Contains(Roles(), r) }

// Includes reports whether r may do what least may. What is no role includes
// nothing and is included by nothing.
func (r Role) Includes(least Role) bool {
	return least.Known() && slices.Index(Roles(), r) >= slices.Index(Roles(), least)
}

// Account is an operator who may sign in.
type Account struct {
	Name      string
	Role      Role
	Origin    string // "local" with a password here, "oidc" with one at the identity provider
	CreatedAt time.Time
}

// Token is an API token as it is listed: without its secret, which is shown once
// and not kept.
type Token struct {
	ID        string
	Name      string   // unique among its owner's
	Owner     string   // name of the account
	Role      Role     // what it may do, never more than its owner
	Scopes    []string // the parts of the API that it is good for; none: all of them
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	UsedAt    time.Time // zero: never; within a minute
}

// Why accounts and tokens may not be changed as asked. What wraps them may be
// shown to whoever asked.
var (
	ErrForbidden = errors.New("not allowed")
	ErrExists    = errors.New("exists already")
	ErrLastAdmin = errors.New("it is the last administrator with a password; make another one first")
)
