package auth

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// token makes a token of ana's.
func token(t *testing.T, accounts *Accounts, want registry.Token) (string, registry.Token) {
	t.Helper()
	secret, made, err := accounts.CreateToken(as(t, "ana", registry.Admin), want)
	if err != nil {
		t.Fatal(err)
	}
	return secret, made
}

func TestAPIToken(t *testing.T) {
	accounts := newAccounts(t)
	create(t, accounts, registry.Admin, "ana")
	secret, made := token(t, accounts, registry.Token{Name: "backup", Role: registry.Viewer})
	if !strings.HasPrefix(secret, "df_"+made.ID+"_") || made.Owner != "ana" {
		t.Errorf("made %s, %+v", secret, made)
	}
	actor, scopes, err := accounts.CheckToken(t.Context(), secret)
	if err != nil || actor != (registry.Actor{Name: "ana/backup", Role: "viewer"}) || len(scopes) > 0 {
		t.Errorf("it acts as %+v, of %q, %v", actor, scopes, err)
	}
	other, _ := token(t, accounts, registry.Token{Name: "other", Role: registry.Viewer})
	for name, bad := range map[string]string{
		"empty": "", "prefix": "df_", "no secret": "df_" + made.ID, "cut": secret[:len(secret)-1], "longer": secret + "A",
		"another's secret": "df_" + made.ID + other[len("df_")+10:], "long": "df_" + strings.Repeat("_", 1<<20),
	} {
		if _, _, err := accounts.CheckToken(t.Context(), bad); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token may be limited to parts of the API. What is kept of it names its role where a
// server that knows no scopes does not look, so that there it may do nothing.
func TestScopedAPIToken(t *testing.T) {
	store := registrytest.Memory()
	accounts, err := NewAccounts(store, "backup", "metrics")
	if err != nil {
		t.Fatal(err)
	}
	create(t, accounts, registry.Admin, "ana", "bob")
	secret, made := token(t, accounts, registry.Token{Name: "nightly", Owner: "bob", Role: registry.Admin, Scopes: []string{"metrics", "backup", "metrics"}})
	want := []string{"backup", "metrics"}
	if made.Role != registry.Admin || !slices.Equal(made.Scopes, want) {
		t.Errorf("made %+v", made)
	}
	actor, scopes, err := accounts.CheckToken(t.Context(), secret)
	if err != nil || actor.Role != "admin" || !slices.Equal(scopes, want) {
		t.Errorf("it acts as %+v, of %q, %v", actor, scopes, err)
	}
	if list, err := accounts.Tokens(as(t, "ana", registry.Admin)); err != nil || len(list) != 1 || !slices.Equal(list[0].Scopes, want) {
		t.Errorf("listed as %+v, %v", list, err)
	}
	if err := accounts.ChangeAccount(t.Context(), "bob", "", registry.Viewer); err != nil {
		t.Fatal(err)
	}
	if actor, _, err := accounts.CheckToken(t.Context(), secret); err != nil || actor.Role != "viewer" {
		t.Errorf("an admin's token of somebody who is now a viewer: %+v, %v", actor, err)
	}
	var kept struct {
		Tokens map[string]struct{ Role string }
	}
	data, _, err := store.Directory(t.Context(), -1)
	if err := errors.Join(err, json.Unmarshal(data, &kept)); err != nil || len(kept.Tokens) != 1 || kept.Tokens[made.ID].Role != "" {
		t.Errorf("kept as %s, %v", data, err)
	}
	_, _, err = accounts.CreateToken(as(t, "ana", registry.Admin), registry.Token{Name: "x", Role: registry.Viewer, Scopes: []string{"backup", "machine"}})
	if _, invalid := errors.AsType[*registry.InvalidError](err); !invalid || !strings.Contains(err.Error(), `"machine" is none of backup, metrics`) {
		t.Errorf("a scope that there is not: %v", err)
	}
}

func TestAPITokenIsKeptHashed(t *testing.T) {
	store := registrytest.Memory()
	accounts := accountsIn(t, store)
	create(t, accounts, registry.Admin, "ana")
	secret, _ := token(t, accounts, registry.Token{Name: "backup", Role: registry.Viewer})
	data, _, err := store.Directory(t.Context(), -1)
	if err != nil || strings.Contains(string(data), secret[14:]) || strings.Contains(string(data), password) {
		t.Errorf("the database knows a secret: %s, %v", data, err)
	}
}

func TestAPITokenEnds(t *testing.T) {
	accounts := newAccounts(t)
	create(t, accounts, registry.Admin, "ana", "bob")
	c := newClock()
	accounts.book.now = c.now
	short, _ := token(t, accounts, registry.Token{Name: "short", Role: registry.Viewer, ExpiresAt: c.at.Add(time.Hour)})
	revoked, made := token(t, accounts, registry.Token{Name: "revoked", Role: registry.Viewer})
	bobs, _ := token(t, accounts, registry.Token{Name: "x", Owner: "bob", Role: registry.Operator})
	if err := accounts.RevokeToken(as(t, "ana", registry.Admin), made.ID); err != nil {
		t.Fatal(err)
	}
	if err := accounts.ChangeAccount(t.Context(), "bob", "", registry.Viewer); err != nil {
		t.Fatal(err)
	}
	if actor, _, err := accounts.CheckToken(t.Context(), bobs); err != nil || actor.Role != "viewer" {
		t.Errorf("an operator's token of somebody who is now a viewer: %+v, %v", actor, err)
	}
	if err := accounts.DeleteAccount(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(time.Hour)
	for name, bad := range map[string]struct{ token, says string }{
		"expired": {short, "expired at 2026-11-24T09:00:00Z"}, "revoked": {revoked, "revoked"}, "owner gone": {bobs, "owner was removed"},
	} {
		if _, _, err := accounts.CheckToken(t.Context(), bad.token); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPITokensThatMayNotBeMade(t *testing.T) {
	accounts := newAccounts(t)
	create(t, accounts, registry.Admin, "ana")
	create(t, accounts, registry.Operator, "bob")
	now := time.Now()
	if _, _, err := accounts.CreateToken(as(t, "bob", registry.Operator), registry.Token{Name: "twice", Role: registry.Viewer}); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		by   context.Context
		want registry.Token
		err  error // nil: an InvalidError
	}{
		"more than oneself":    {as(t, "bob", registry.Operator), registry.Token{Name: "a", Role: registry.Admin}, registry.ErrForbidden},
		"for another":          {as(t, "bob", registry.Operator), registry.Token{Name: "a", Owner: "ana", Role: registry.Viewer}, registry.ErrForbidden},
		"more than the owner":  {as(t, "ana", registry.Admin), registry.Token{Name: "a", Owner: "bob", Role: registry.Admin}, registry.ErrForbidden},
		"by a token":           {as(t, "ana/ci", registry.Admin), registry.Token{Name: "a", Role: registry.Viewer}, registry.ErrForbidden},
		"by nobody":            {t.Context(), registry.Token{Name: "a", Owner: "bob", Role: registry.Viewer}, registry.ErrForbidden},
		"the name is taken":    {as(t, "bob", registry.Operator), registry.Token{Name: "twice", Role: registry.Viewer}, registry.ErrExists},
		"no such owner":        {as(t, "ana", registry.Admin), registry.Token{Name: "a", Owner: "eve", Role: registry.Viewer}, nil},
		"the console has none": {as(t, "console", registry.Admin), registry.Token{Name: "a", Role: registry.Viewer}, nil},
		"no name":              {as(t, "ana", registry.Admin), registry.Token{Role: registry.Viewer}, nil},
		"a slash in the name":  {as(t, "ana", registry.Admin), registry.Token{Name: "a/b", Role: registry.Viewer}, nil},
		"no role":              {as(t, "ana", registry.Admin), registry.Token{Name: "a"}, nil},
		"expired already":      {as(t, "ana", registry.Admin), registry.Token{Name: "a", Role: registry.Viewer, ExpiresAt: now.Add(-time.Second)}, nil},
		"in a thousand years":  {as(t, "ana", registry.Admin), registry.Token{Name: "a", Role: registry.Viewer, ExpiresAt: now.AddDate(1000, 0, 0)}, nil},
	} {
		_, _, err := accounts.CreateToken(try.by, try.want)
		_, invalid := errors.AsType[*registry.InvalidError](err)
		if try.err == nil && !invalid || try.err != nil && !errors.Is(err, try.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPITokensAreOnesOwn(t *testing.T) {
	accounts := newAccounts(t)
	create(t, accounts, registry.Admin, "ana")
	create(t, accounts, registry.Viewer, "bob")
	_, mine := token(t, accounts, registry.Token{Name: "mine", Role: registry.Viewer})
	token(t, accounts, registry.Token{Name: "his", Owner: "bob", Role: registry.Viewer})
	for name, want := range map[string]int{"ana": 2, "bob": 1, "bob/his": 1, "eve": 0} {
		role := registry.Viewer
		if name == "ana" {
			role = registry.Admin
		}
		if list, err := accounts.Tokens(as(t, name, role)); err != nil || len(list) != want {
			t.Errorf("%s sees %+v, %v; want %d", name, list, err, want)
		}
	}
	if err := accounts.RevokeToken(as(t, "bob", registry.Viewer), mine.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("bob revokes ana's: %v", err)
	}
}

// counted counts the writes of uses.
type counted struct {
	*registrytest.MemoryStore
	writes int
}

func (c *counted) TouchTokens(ctx context.Context, used map[string]time.Time) error {
	c.writes++
	return c.MemoryStore.TouchTokens(ctx, used)
}

func TestUsesAreCoalesced(t *testing.T) {
	store := &counted{MemoryStore: registrytest.Memory()}
	accounts := accountsIn(t, store)
	create(t, accounts, registry.Admin, "ana")
	c := newClock()
	accounts.uses.now = c.now
	secret, _ := token(t, accounts, registry.Token{Name: "backup", Role: registry.Viewer})
	for range 120 {
		if _, _, err := accounts.CheckToken(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		c.at = c.at.Add(time.Second)
	}
	if store.writes != 2 {
		t.Errorf("%d writes in two minutes", store.writes)
	}
	list, err := accounts.Tokens(as(t, "ana", registry.Admin))
	if err != nil || len(list) != 1 || !list[0].UsedAt.Equal(c.at.Add(-time.Second)) {
		t.Errorf("last used: %+v, %v; want %v", list, err, c.at.Add(-time.Second))
	}
}
