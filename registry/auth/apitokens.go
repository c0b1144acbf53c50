package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// tokenPrefix begins every API token, so that people and secret scanners know
// one when they see it: df_, the ID, _, the secret.
const tokenPrefix = "df_"

// apiToken is an API token as it is kept. Its hash is a plain SHA-256: the secret
// has more than 256 random bits, so there is nothing that a slow hash would keep
// from being guessed, and it is checked with every request.
type apiToken struct {
	Name      string        `json:"name"`
	Owner     string        `json:"owner"`
	Role      registry.Role `json:"role,omitempty"` // empty where Scoped has it
	Scoped    *scoped       `json:"scoped,omitempty"`
	Hash      string        `json:"hash"` // SHA-256 of the whole token, in hex
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
}

// scoped is what a token may that is good for parts of the API only. The role is here, so
// that a server too old to know scopes finds none, and refuses the token.
type scoped struct {
	Role   registry.Role `json:"role"`
	Scopes []string      `json:"scopes"`
}

// may is what a token may do, and where; no scopes: everywhere.
func (t apiToken) may() (registry.Role, []string) {
	if t.Scoped != nil {
		return t.Scoped.Role, t.Scoped.Scopes
	}
	return t.Role, nil
}

func (t apiToken) listed(id string, used time.Time) registry.Token {
	role, scopes := t.may()
	return registry.Token{ID: id, Name: t.Name, Owner: t.Owner, Role: role, Scopes: scopes,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, UsedAt: used}
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// CreateToken makes an API token as want says: Name, Role, perhaps Scopes, ExpiresAt and
// Owner, which is whoever asks where it is empty. It may do no more than its
// owner and no more than whoever asks. secret is the token itself; it cannot be
// shown again.
func (a *Accounts) CreateToken(ctx context.Context, want registry.Token) (secret string, made registry.Token, err error) {
	actor, now := registry.ActorOf(ctx), a.book.now().UTC()
	if want.Owner == "" {
		want.Owner = actor.Account()
	}
	want.Scopes = slices.Compact(slices.Sorted(slices.Values(want.Scopes)))
	if err := a.checkToken(want, now); err != nil {
		return "", made, err
	}
	if err := mayGive(actor, want); err != nil {
		return "", made, err
	}
	id := strings.ToLower(rand.Text()[:10])
	secret = tokenPrefix + id + "_" + rand.Text() + rand.Text()
	t := apiToken{Name: want.Name, Owner: want.Owner, Role: want.Role, Hash: hashToken(secret),
		CreatedAt: now, ExpiresAt: want.ExpiresAt}
	if len(want.Scopes) > 0 {
		t.Role, t.Scoped = "", &scoped{want.Role, want.Scopes}
	}
	err = a.book.change(ctx, func(d *directory) (registry.AuditEntry, error) {
		return d.addToken(id, t)
	})
	if err != nil {
		return "", made, err
	}
	return secret, t.listed(id, time.Time{}), nil
}

// mayGive refuses what actor may not hand to others.
func mayGive(actor registry.Actor, want registry.Token) error {
	role := registry.Role(actor.Role)
	switch {
	case actor.Account() != actor.Name: // or one that leaks could outlive itself
		return fmt.Errorf("an API token cannot make another; sign in: %w", registry.ErrForbidden)
	case !role.Includes(want.Role):
		return fmt.Errorf("you are %s and cannot make a token for %s: %w", role, want.Role, registry.ErrForbidden)
	case want.Owner != actor.Account() && role != registry.Admin:
		return fmt.Errorf("only an admin makes tokens for others: %w", registry.ErrForbidden)
	}
	return nil
}

// maxOwned bounds the tokens of one account.
const maxOwned = 100

func (d *directory) addToken(id string, t apiToken) (entry registry.AuditEntry, err error) {
	owner, ok := d.Users[t.Owner]
	if !ok {
		return entry, &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/owner",
			Message: fmt.Sprintf("there is no account %.40q; a token acts for one", t.Owner)}}}
	}
	if role, _ := t.may(); !owner.Role.Includes(role) {
		return entry, fmt.Errorf("%s is %s and cannot own a token for %s: %w", t.Owner, owner.Role, role, registry.ErrForbidden)
	}
	owned := 0
	for _, other := range d.Tokens {
		if other.Owner != t.Owner {
			continue
		}
		if owned++; other.Name == t.Name {
			return entry, fmt.Errorf("token %s of %s %w", t.Name, t.Owner, registry.ErrExists)
		}
	}
	if owned >= maxOwned || len(d.Tokens) >= maxTokens {
		return entry, fmt.Errorf("there are too many tokens (%d of %s, %d in all); revoke some: %w", owned, t.Owner, len(d.Tokens), registry.ErrForbidden)
	}
	d.Tokens[id] = t
	return audited("token.create", tokenObject(id), nil, t.shown()), nil
}

func tokenObject(id string) string { return "token/" + id }

// shown is what the audit log says of a token.
func (t apiToken) shown() map[string]string {
	role, scopes := t.may()
	s := map[string]string{"name": t.Name, "owner": t.Owner, "role": string(role)}
	if len(scopes) > 0 {
		s["scopes"] = strings.Join(scopes, ", ")
	}
	if !t.ExpiresAt.IsZero() {
		s["expires_at"] = t.ExpiresAt.Format(time.RFC3339)
	}
	return s
}

// Tokens lists API tokens by owner and name: an admin's view has all of them,
// anybody else's their own. While the database is away, it is what was known of them.
func (a *Accounts) Tokens(ctx context.Context) ([]registry.Token, error) {
	d, err := a.book.current(ctx)
	if err != nil && !d.standsIn(err) {
		return nil, err
	}
	used, err := a.uses.all(ctx)
	if err != nil && !errors.Is(err, registry.ErrUnavailable) {
		return nil, err
	}
	list := []registry.Token{}
	for id, t := range d.Tokens {
		if mayManage(registry.ActorOf(ctx), t) {
			list = append(list, t.listed(id, used[id]))
		}
	}
	slices.SortFunc(list, func(a, b registry.Token) int { return strings.Compare(a.Owner+"/"+a.Name, b.Owner+"/"+b.Name) })
	return list, nil
}

// RevokeToken ends an API token. One that is somebody else's is
// [registry.ErrNotFound] but for an admin.
func (a *Accounts) RevokeToken(ctx context.Context, id string) error {
	return a.book.change(ctx, func(d *directory) (entry registry.AuditEntry, err error) {
		t, ok := d.Tokens[id]
		if !ok || !mayManage(registry.ActorOf(ctx), t) {
			return entry, fmt.Errorf("token %.40q: %w", id, registry.ErrNotFound)
		}
		delete(d.Tokens, id)
		return audited("token.revoke", tokenObject(id), t.shown(), nil), nil
	})
}

func mayManage(actor registry.Actor, t apiToken) bool {
	return actor.Role == string(registry.Admin) || actor.Account() == t.Owner
}

// CheckToken returns who acts with an API token, and the scopes that it is limited to, or
// [ErrToken]. Who is called after the owner and the token; their role is the lesser of
// the two.
func (a *Accounts) CheckToken(ctx context.Context, token string) (who registry.Actor, scopes []string, err error) {
	d, err := a.book.current(ctx)
	if d.Users == nil {
		return who, nil, err
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(token, tokenPrefix), "_")
	t, ok := d.Tokens[id]
	if !ok || subtle.ConstantTimeCompare([]byte(hashToken(token)), []byte(t.Hash)) != 1 {
		return who, nil, fmt.Errorf("%w: it is not known; perhaps it was revoked, or its owner was removed", ErrToken)
	}
	if late := a.book.now().Sub(t.ExpiresAt); !t.ExpiresAt.IsZero() && late >= 0 {
		return who, nil, fmt.Errorf("%w: it expired at %s; make a new one", ErrToken, t.ExpiresAt.Format(time.RFC3339))
	}
	role, scopes := t.may()
	if owner := d.Users[t.Owner].Role; !owner.Includes(role) {
		role = owner
	}
	a.uses.mark(ctx, id)
	return registry.Actor{Name: t.Owner + "/" + t.Name, Role: string(role)}, scopes, nil
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// maxTokenLife keeps an expiry a date that JSON and people can read.
const maxTokenLife = 10 * 366 * 24 * time.Hour

func (a *Accounts) checkToken(want registry.Token, now time.Time) error {
	var name, scope, expiry, owner *registry.FieldError
	if !tokenName.MatchString(want.Name) {
		name = &registry.FieldError{Pointer: "/name", Message: "want 1 to 64 letters, digits, dots, dashes or underscores"}
	}
	for _, s := range want.Scopes {
		if !slices.Contains(a.scopes, s) {
			scope = &registry.FieldError{Pointer: "/scopes", Message: fmt.Sprintf("%.40q is none of %s", s, strings.Join(a.scopes, ", "))}
		}
	}
	if left := want.ExpiresAt.Sub(now); !want.ExpiresAt.IsZero() && (left <= 0 || left > maxTokenLife) {
		expiry = &registry.FieldError{Pointer: "/expires_at", Message: "want a time to come, within ten years"}
	}
	if want.Owner == "" {
		owner = &registry.FieldError{Pointer: "/owner", Message: "want the account that the token acts for"}
	}
	return invalid(name, checkRole(want.Role), scope, expiry, owner)
}

// deleteTokensOf removes what acts for an account that goes.
func (d *directory) deleteTokensOf(owner string) {
	maps.DeleteFunc(d.Tokens, func(_ string, t apiToken) bool { return t.Owner == owner })
}
