package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"dragonfly/registry"
)

// identity is who the identity provider says it was.
type identity struct {
	subject string // never given to another
	name    string
	groups  []string
}

// errProviderRefused is the provider's word, or that of the person who did not
// go through with it.
var errProviderRefused = errors.New("the identity provider did not sign you in")

// identify exchanges the code in r for the identity it stands for.
func (o *OIDC) identify(r *http.Request, f flow) (who identity, err error) {
	query := r.URL.Query()
	if code := query.Get("error"); code != "" {
		return who, fmt.Errorf("%w: %.60q %.200q", errProviderRefused, code, query.Get("error_description"))
	}
	config, err := o.client(r)
	if err != nil {
		return who, err
	}
	config.RedirectURL = f.Redirect
	ctx := oidc.ClientContext(r.Context(), o.cfg.HTTP)
	token, err := config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return who, fmt.Errorf("%w: exchange the code: %w", errProvider, err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := o.provider.Load().Verifier(&oidc.Config{ClientID: o.cfg.ClientID, Now: o.now}).Verify(ctx, raw)
	if err != nil {
		return who, fmt.Errorf("%w: verify the ID token: %w", errProvider, err)
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(f.Nonce)) != 1 {
		return who, fmt.Errorf("%w: the ID token is for another sign-in", errProvider)
	}
	claims := map[string]json.RawMessage{}
	if err := verified.Claims(&claims); err != nil {
		return who, fmt.Errorf("%w: claims of the ID token: %w", errProvider, err)
	}
	if _, there := claims[o.cfg.GroupsClaim]; !there { // some keep the ID token small
		o.addUserInfo(ctx, claims, verified.Subject, oauth2.StaticTokenSource(token))
	}
	return identity{subject: verified.Subject, name: nameIn(claims, verified.Subject), groups: textsIn(claims[o.cfg.GroupsClaim])}, nil
}

// addUserInfo adds what the userinfo endpoint says of the same subject.
func (o *OIDC) addUserInfo(ctx context.Context, claims map[string]json.RawMessage, subject string, token oauth2.TokenSource) {
	info, err := o.provider.Load().UserInfo(ctx, token)
	if err != nil || info.Subject != subject { // another subject: OpenID Connect Core 1.0 section 5.3.2
		o.log.Debug("userinfo", "err", err)
		return
	}
	more := map[string]json.RawMessage{}
	if err := info.Claims(&more); err != nil {
		o.log.Debug("userinfo", "err", err)
		return
	}
	for name, value := range more {
		if _, there := claims[name]; !there {
			claims[name] = value
		}
	}
}

// nameIn is what to call somebody. The prefix and the characters keep it apart
// from accounts with a password and from the names of tokens.
func nameIn(claims map[string]json.RawMessage, subject string) string {
	name := subject
	for _, claim := range []string{"preferred_username", "email"} {
		if texts := textsIn(claims[claim]); len(texts) == 1 && texts[0] != "" {
			name = texts[0]
			break
		}
	}
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("._@-", c) {
			return c
		}
		return '-'
	}, strings.ToLower(name))
	return "oidc:" + clean[:min(len(clean), 64)]
}

// textsIn is a claim that is a text or a list of texts; nothing for any other.
func textsIn(claim json.RawMessage) []string {
	var many []string
	if json.Unmarshal(claim, &many) == nil {
		return many
	}
	var one string
	if json.Unmarshal(claim, &one) == nil {
		return []string{one}
	}
	return nil
}

// role is the highest one that any of the groups has.
func (o *OIDC) role(groups []string) (highest registry.Role, ok bool) {
	for _, group := range groups {
		if role, mapped := o.cfg.Roles[group]; mapped && !highest.Includes(role) {
			highest, ok = role, true
		}
	}
	return highest, ok
}

// ParseRoleMap reads which groups have which role: admin=ops,viewer=everyone. A
// role may have several groups, a group one role.
func ParseRoleMap(text string) (map[string]registry.Role, error) {
	roles := map[string]registry.Role{}
	for part := range strings.SplitSeq(text, ",") {
		name, group, ok := strings.Cut(strings.TrimSpace(part), "=")
		role := registry.Role(name)
		switch {
		case !ok || group == "" || !role.Known():
			return nil, fmt.Errorf("role map %q: want ROLE=GROUP, where ROLE is viewer, operator or admin", part)
		case roles[group] != "":
			return nil, fmt.Errorf("role map: group %s has the role %s already", group, roles[group])
		}
		roles[group] = role
	}
	return roles, nil
}

// subject is somebody whom an identity provider vouches for.
type subject struct {
	id   string // issuer and subject
	name string
	role registry.Role
}

// admitSubject returns the name of the account of s, which is made or given its
// role of now as needed. It keeps its name when the provider gives another one.
func (a *Accounts) admitSubject(ctx context.Context, s subject) (name string, err error) {
	if d, err := a.book.current(ctx); err == nil {
		if name, u, ok := d.bySubject(s.id); ok && u.Role == s.role {
			return name, nil
		}
	}
	err = a.book.change(ctx, func(d *directory) (entry registry.AuditEntry, err error) {
		var u user
		var known bool
		if name, u, known = d.bySubject(s.id); known {
			before := shown(name, u)
			u.Role = s.role
			d.Users[name] = u
			return audited("account.change", accountObject(name), before, shown(name, u)), nil
		}
		name = s.name
		if _, taken := d.Users[name]; taken {
			return entry, fmt.Errorf("account %s belongs to somebody else at the identity provider; an admin may delete it: %w", name, registry.ErrForbidden)
		}
		return d.addUser(name, user{Subject: s.id, Role: s.role, Epoch: rand.Text(), CreatedAt: a.book.now().UTC()})
	})
	return name, err
}

func (d directory) bySubject(id string) (string, user, bool) {
	for name, u := range d.Users {
		if u.Subject == id {
			return name, u, true
		}
	}
	return "", user{}, false
}
