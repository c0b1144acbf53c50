package registrytest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"dragonfly/registry"
)

// AccountStore is the storage registry/auth needs.
type AccountStore interface {
	User(ctx context.Context, name string) (hash, role string, err error)
	PutUser(ctx context.Context, name, hash, role string) error
	Users(ctx context.Context) ([]string, error)
	Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error)
}

// Accounts tests that a store keeps users and secrets. open returns an empty
// store, anew for each test.
func Accounts(t *testing.T, open func(t *testing.T) AccountStore) {
	t.Run("users", func(t *testing.T) { testUsers(t, open(t)) })
	t.Run("secrets", func(t *testing.T) { testSecrets(t, open(t)) })
	t.Run("a secret is made once", func(t *testing.T) { testSecretRace(t, open(t)) })
}

func testUsers(t *testing.T, s AccountStore) {
	ctx := t.Context()
	if _, _, err := s.User(ctx, "ana"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("unknown user: %v", err)
	}
	for _, u := range [][3]string{{"bob", "h1", "viewer"}, {"ana", "h2", "viewer"}, {"x'41'", "$argon2id$v=19$a+/b", "admin"}, {"bob", "h3", "admin"}} {
		if err := s.PutUser(ctx, u[0], u[1], u[2]); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][2]string{"bob": {"h3", "admin"}, "ana": {"h2", "viewer"}, "x'41'": {"$argon2id$v=19$a+/b", "admin"}} {
		hash, role, err := s.User(ctx, name)
		if err != nil || hash != want[0] || role != want[1] {
			t.Errorf("user %s: %s, %s, %v; want %v", name, hash, role, err, want)
		}
	}
	names, err := s.Users(ctx)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "users", names, []string{"ana", "bob", "x'41'"})
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
