package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

const password = "correct horse battery"

func newAccounts(t *testing.T) *Accounts {
	t.Helper()
	return accountsIn(t, registrytest.Memory())
}

func accountsIn(t *testing.T, store Store) *Accounts {
	t.Helper()
	accounts, err := NewAccounts(store)
	if err != nil {
		t.Fatal(err)
	}
	return accounts
}

// create makes accounts with the usual password.
func create(t *testing.T, accounts *Accounts, role registry.Role, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := accounts.CreateAccount(t.Context(), name, password, role); err != nil {
			t.Fatal(err)
		}
	}
}

// as is a context for what an account asks for.
func as(t *testing.T, name string, role registry.Role) context.Context {
	t.Helper()
	return registry.WithActor(t.Context(), registry.Actor{Name: name, Role: string(role), From: "10.0.0.9"})
}

func TestAccounts(t *testing.T) {
	accounts := newAccounts(t)
	if any, err := accounts.Any(t.Context()); any || err != nil {
		t.Fatalf("at first: %v, %v", any, err)
	}
	create(t, accounts, registry.Admin, "ana")
	if err := accounts.Check(t.Context(), "ana", password); err != nil {
		t.Errorf("the right password: %v", err)
	}
	for _, try := range [][2]string{{"ana", "wrong horse battery"}, {"bob", password}, {"", ""}, {"ana", strings.Repeat("x", 1<<20)}} {
		if err := accounts.Check(t.Context(), try[0], try[1]); !errors.Is(err, ErrSignIn) {
			t.Errorf("%.20q: %v, want ErrSignIn", try, err)
		}
	}
	if err := accounts.CreateAccount(t.Context(), "ana", password, registry.Viewer); !errors.Is(err, registry.ErrExists) {
		t.Errorf("ana again: %v", err)
	}
	create(t, accounts, registry.Viewer, "bob")
	list, err := accounts.Accounts(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "ana" || list[0].Role != registry.Admin || list[1].Origin != "local" {
		t.Errorf("accounts: %+v, %v", list, err)
	}
}

func TestAccountsThatCannotBe(t *testing.T) {
	accounts := newAccounts(t)
	for _, try := range []struct {
		name, password, role, pointer string
	}{
		{"", password, "admin", "/name"},
		{"console", password, "admin", "/name"},
		{"localhost", password, "admin", "/name"},
		{"Ana", password, "admin", "/name"},
		{"a/../b", password, "admin", "/name"},
		{"oidc:ana", password, "admin", "/name"},
		{strings.Repeat("a", 33), password, "admin", "/name"},
		{"ana", "short", "admin", "/password"},
		{"ana", strings.Repeat("x", 257), "admin", "/password"},
		{"ana", password, "root", "/role"},
		{"ana", password, "", "/role"},
	} {
		err := accounts.CreateAccount(t.Context(), try.name, try.password, registry.Role(try.role))
		invalid, ok := errors.AsType[*registry.InvalidError](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Pointer != try.pointer {
			t.Errorf("%+v: %v, want a field error at %s", try, err, try.pointer)
		}
	}
	if any, err := accounts.Any(t.Context()); any || err != nil {
		t.Errorf("an account was made: %v, %v", any, err)
	}
}

func TestLastAdminStays(t *testing.T) {
	accounts := newAccounts(t)
	create(t, accounts, registry.Admin, "ana", "bob")
	create(t, accounts, registry.Viewer, "eve")
	if err := accounts.ChangeAccount(t.Context(), "bob", "", registry.Operator); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"delete": accounts.DeleteAccount(t.Context(), "ana"),
		"demote": accounts.ChangeAccount(t.Context(), "ana", "", registry.Viewer),
	} {
		if !errors.Is(err, registry.ErrLastAdmin) {
			t.Errorf("%s the last admin: %v", what, err)
		}
	}
	if err := accounts.DeleteAccount(t.Context(), "eve"); err != nil {
		t.Errorf("delete a viewer: %v", err)
	}
	if err := accounts.DeleteAccount(t.Context(), "eve"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("delete her again: %v", err)
	}
	if err := accounts.ChangeAccount(t.Context(), "eve", password, ""); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("change her: %v", err)
	}
}

// Two admins demote each other at once, on two servers: one of them must stay.
func TestAdminsCannotDemoteEachOther(t *testing.T) {
	store := registrytest.Memory()
	create(t, accountsIn(t, store), registry.Admin, "ana", "bob")
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i, name := range []string{"ana", "bob"} {
		accounts := accountsIn(t, store)
		group.Go(func() { errs[i] = accounts.ChangeAccount(t.Context(), name, "", registry.Viewer) })
	}
	group.Wait()
	won := slices.Index(errs, nil)
	if won < 0 || !errors.Is(errs[1-won], registry.ErrLastAdmin) {
		t.Errorf("both demoted: %v", errs)
	}
}

func TestAccountsAreAudited(t *testing.T) {
	accounts := newAccounts(t)
	ctx := as(t, "root", registry.Admin)
	if err := errors.Join(accounts.CreateAccount(ctx, "ana", password, registry.Admin),
		accounts.CreateAccount(ctx, "bob", password, registry.Viewer),
		accounts.ChangeAccount(ctx, "bob", "another horse", registry.Operator),
		accounts.ChangeAccount(ctx, "bob", "", registry.Operator), // changes nothing
		accounts.DeleteAccount(ctx, "bob")); err != nil {
		t.Fatal(err)
	}
	entries, err := accounts.Audit(t.Context(), "account/bob", 0, 10)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, want := range []string{
		`account.delete {"origin":"local","role":"operator"} null`,
		`account.change {"origin":"local","role":"viewer"} {"origin":"local","password":"changed","role":"operator"}`,
		`account.create null {"origin":"local","role":"viewer"}`,
	} {
		e := entries[i]
		if got := fmt.Sprintf("%s %s %s", e.Action, orNull(e.Before), orNull(e.After)); got != want {
			t.Errorf("entry %d: %s, want %s", i, got, want)
		}
		if e.Actor.Name != "root" || e.Actor.From != "10.0.0.9" || e.At.IsZero() {
			t.Errorf("entry %d is by %+v at %v", i, e.Actor, e.At)
		}
		if text := string(e.Before) + string(e.After); strings.Contains(text, "argon2") || strings.Contains(text, "horse") {
			t.Errorf("entry %d tells a secret: %s", i, text)
		}
	}
}

func orNull(j json.RawMessage) string {
	if j == nil {
		return "null"
	}
	return string(j)
}

func TestSetup(t *testing.T) {
	accounts := newAccounts(t)
	for _, token := range []string{"", "wrong", accounts.SetupToken() + "x"} {
		if err := accounts.Setup(t.Context(), token, "ana", password); !errors.Is(err, registry.ErrForbidden) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	if err := accounts.Setup(t.Context(), accounts.SetupToken(), "ana", "short"); err == nil {
		t.Error("a short password was taken")
	}
	if err := accounts.Setup(t.Context(), accounts.SetupToken(), "ana", password); err != nil {
		t.Fatal(err)
	}
	if err := accounts.Setup(t.Context(), accounts.SetupToken(), "eve", password); !errors.Is(err, registry.ErrForbidden) {
		t.Errorf("the link a second time: %v", err)
	}
	if list, _ := accounts.Accounts(t.Context()); len(list) != 1 || list[0].Role != registry.Admin {
		t.Errorf("accounts: %+v", list)
	}
	if entries, err := accounts.Audit(t.Context(), "account/ana", 0, 10); err != nil || len(entries) != 1 || entries[0].Actor.Name != "setup link" {
		t.Errorf("audit: %+v, %v", entries, err)
	}
}

// flaky is a store that can go away.
type flaky struct {
	*registrytest.MemoryStore
	mu   sync.Mutex
	gone bool
}

func (s *flaky) away(gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = gone
}

func (s *flaky) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return registry.ErrUnavailable
	}
	return nil
}

func (s *flaky) Directory(ctx context.Context, known int64) ([]byte, int64, error) {
	if err := s.err(); err != nil {
		return nil, 0, err
	}
	return s.MemoryStore.Directory(ctx, known)
}

func (s *flaky) Session(ctx context.Context, id string) (string, time.Time, error) {
	if err := s.err(); err != nil {
		return "", time.Time{}, err
	}
	return s.MemoryStore.Session(ctx, id)
}

func (s *flaky) PutSession(ctx context.Context, id, data string, expires time.Time) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.MemoryStore.PutSession(ctx, id, data, expires)
}

func (s *flaky) RenewSession(ctx context.Context, id string, expires time.Time) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.MemoryStore.RenewSession(ctx, id, expires)
}

func (s *flaky) DeleteSession(ctx context.Context, id string) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.MemoryStore.DeleteSession(ctx, id)
}

func TestPasswordsWhileTheDatabaseIsAway(t *testing.T) {
	store := &flaky{MemoryStore: registrytest.Memory()}
	create(t, accountsIn(t, store), registry.Admin, "ana")
	accounts := accountsIn(t, store)
	store.away(true)
	if err := accounts.Check(t.Context(), "ana", password); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("nothing is known yet: %v", err)
	}
	store.away(false)
	now := time.Now()
	accounts.book.now = func() time.Time { now = now.Add(2 * believedFor); return now }
	if err := accounts.Check(t.Context(), "ana", password); err != nil {
		t.Errorf("the database is back: %v", err)
	}
	store.away(true)
	if err := accounts.Check(t.Context(), "ana", password); err != nil {
		t.Errorf("it is away again, and ana is known: %v", err)
	}
	if err := accounts.CreateAccount(t.Context(), "bob", password, registry.Viewer); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a change: %v", err)
	}
	if list, err := accounts.Accounts(t.Context()); err != nil || len(list) != 1 || list[0].Name != "ana" {
		t.Errorf("a list of what is known: %+v, %v", list, err)
	}
	if _, err := accountsIn(t, store).Accounts(t.Context()); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a list where nothing is known: %v", err)
	}
}
