package registrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"dragonfly/registry"
)

// AccountStore is the storage registry/auth needs.
type AccountStore interface {
	Directory(ctx context.Context, known int64) (data []byte, version int64, err error)
	PutDirectory(ctx context.Context, data []byte, read int64, change registry.Change) error
	Audit(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error)
	Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error)
	sessionStore
}

type sessionStore interface {
	Session(ctx context.Context, id string) (data string, expires time.Time, err error)
	PutSession(ctx context.Context, id, data string, expires time.Time) error
	RenewSession(ctx context.Context, id string, expires time.Time) error
	DeleteSession(ctx context.Context, id string) error
	tokenUses
}

type tokenUses interface {
	TouchTokens(ctx context.Context, used map[string]time.Time) error
	TokensUsed(ctx context.Context) (map[string]time.Time, error)
}

// Accounts tests that a store keeps accounts, sessions and secrets. open returns
// an empty store, anew for each test.
func Accounts(t *testing.T, open func(t *testing.T) AccountStore) {
	t.Run("the directory", func(t *testing.T) { testDirectory(t, open(t)) })
	t.Run("of concurrent writes of the directory one wins", func(t *testing.T) { testDirectoryRace(t, open(t)) })
	t.Run("sessions", func(t *testing.T) { testSessions(t, open(t)) })
	t.Run("uses of tokens", func(t *testing.T) { testTokenUses(t, open(t)) })
	t.Run("secrets", func(t *testing.T) { testSecrets(t, open(t)) })
	t.Run("a secret is made once", func(t *testing.T) { testSecretRace(t, open(t)) })
}

// audited is a change with one entry for the audit log.
func audited(op, object string) registry.Change {
	return registry.Change{Op: op, Audit: []registry.AuditEntry{{At: noon(), Actor: registry.Actor{Name: "ana", Role: "admin", From: "10.0.0.9"},
		Action: "account.create", Object: object, After: []byte(`{"role":"viewer"}`)}}}
}

func testDirectory(t *testing.T, s AccountStore) {
	ctx := t.Context()
	data, version, err := s.Directory(ctx, -1)
	if err != nil || string(data) != "{}" || version != 0 {
		t.Errorf("at first: %s, %d, %v", data, version, err)
	}
	doc := `{"users":{"x'41'":{"hash":"$argon2id$v=19$a+/b"}}}`
	if err := s.PutDirectory(ctx, []byte(doc), 0, audited("one", "account/ana")); err != nil {
		t.Fatal(err)
	}
	if err := s.PutDirectory(ctx, []byte(doc), 0, audited("one", "account/ana")); err != nil {
		t.Errorf("the same operation again: %v", err)
	}
	err = s.PutDirectory(ctx, []byte(`{}`), 0, audited("two", "account/bob"))
	if lost, ok := errors.AsType[*registry.ConflictError](err); !ok || *lost != (registry.ConflictError{Object: "accounts", Read: 0, Stored: 1}) {
		t.Errorf("a write that read version 0 of 1: %v", err)
	}
	data, version, err = s.Directory(ctx, -1)
	if err != nil || string(data) != doc || version != 1 {
		t.Errorf("written: %s, %d, %v", data, version, err)
	}
	if data, version, err = s.Directory(ctx, 1); err != nil || data != nil || version != 1 {
		t.Errorf("still known: %s, %d, %v", data, version, err)
	}
	entries, err := s.Audit(ctx, "", 0, 10)
	if err != nil || len(entries) != 1 {
		t.Fatalf("audit: %d entries, %v; want what was written, once", len(entries), err)
	}
	entries[0].Seq = 0
	wantEqual(t, "entry", entries[0], audited("", "account/ana").Audit[0])
}

func testDirectoryRace(t *testing.T, s AccountStore) {
	errs := race(func(i int) error {
		return s.PutDirectory(t.Context(), fmt.Appendf(nil, `{"by":%d}`, i), 0, registry.Change{Op: fmt.Sprint("racer ", i)})
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantConflict(t, err, "accounts")
	}
	winner := slices.Index(errs, nil)
	data, version, err := s.Directory(t.Context(), -1)
	if want := fmt.Sprintf(`{"by":%d}`, winner); won != 1 || err != nil || version != 1 || string(data) != want {
		t.Errorf("%d won; %s, %d, %v; want %s", won, data, version, err, want)
	}
}

func testSessions(t *testing.T, s AccountStore) {
	ctx, soon := t.Context(), time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	if _, _, err := s.Session(ctx, "x'41'"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	for _, id := range []string{"x'41'", "b"} {
		if err := s.PutSession(ctx, id, `{"user":"`+id+`"}`, soon); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.RenewSession(ctx, "b", soon.Add(time.Hour)), s.RenewSession(ctx, "b", soon), s.RenewSession(ctx, "never", soon)); err != nil {
		t.Fatal(err)
	}
	for id, expires := range map[string]time.Time{"x'41'": soon, "b": soon.Add(time.Hour)} {
		data, got, err := s.Session(ctx, id)
		if err != nil || data != `{"user":"`+id+`"}` || !got.Equal(expires) {
			t.Errorf("session %s: %s, %v, %v; want %v", id, data, got, err, expires)
		}
	}
	if err := errors.Join(s.DeleteSession(ctx, "b"), s.DeleteSession(ctx, "never"), s.RenewSession(ctx, "b", soon)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "never"} {
		if _, _, err := s.Session(ctx, id); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("session %s, ended and then renewed: %v", id, err)
		}
	}
	past := time.Now().Add(-time.Hour)
	if err := errors.Join(s.PutSession(ctx, "old", "{}", past), s.PutSession(ctx, "new", "{}", soon)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Session(ctx, "old"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("expired, after another was stored: %v", err)
	}
}

func testTokenUses(t *testing.T, s AccountStore) {
	ctx := t.Context()
	touch := func(id string, at time.Time) {
		t.Helper()
		if err := s.TouchTokens(ctx, map[string]time.Time{id: at}); err != nil {
			t.Fatal(err)
		}
	}
	touch("a", noon())
	touch("a", noon().Add(-time.Hour))
	touch("b", noon())
	used, err := s.TokensUsed(ctx)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "uses", used, map[string]time.Time{"a": noon(), "b": noon()})
	if err := s.PutDirectory(ctx, []byte(`{"tokens":{"a":{}}}`), 0, registry.Change{Op: "revoke b"}); err != nil {
		t.Fatal(err)
	}
	used, err = s.TokensUsed(ctx)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "uses when b is gone", used, map[string]time.Time{"a": noon()})
}

func testSecrets(t *testing.T, s AccountStore) {
	ctx, broken := t.Context(), errors.New("no entropy")
	if _, err := s.Secret(ctx, "key", func() (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("a secret that cannot be made: %v", err)
	}
	for _, fresh := range []string{"one", "two"} {
		got, err := s.Secret(ctx, "key", func() (string, error) { return fresh, nil })
		if err != nil || got != "one" {
			t.Errorf("secret: %q, %v", got, err)
		}
	}
}

func testSecretRace(t *testing.T, s AccountStore) {
	got := make([]string, racers)
	errs := race(func(i int) (err error) {
		got[i], err = s.Secret(t.Context(), "key", func() (string, error) { return fmt.Sprint(i), nil })
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		wantEqual(t, fmt.Sprintf("secret of caller %d", i), got[i], got[0])
	}
}
