package auth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dragonfly/registry/registrytest"
)

func openBox(t *testing.T, file string) *Box {
	t.Helper()
	box, err := OpenBox(file)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestBox(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.key")
	box := openBox(t, file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	sealed := box.Seal("oidc", "s3cret")
	if strings.Contains(sealed, "s3cret") || sealed == box.Seal("oidc", "s3cret") {
		t.Errorf("sealed as %s", sealed)
	}
	again := openBox(t, file)
	if secret, err := again.Open("oidc", sealed); err != nil || secret != "s3cret" {
		t.Errorf("after a restart: %q, %v", secret, err)
	}
	other := openBox(t, filepath.Join(t.TempDir(), "other.key"))
	for name, try := range map[string]struct {
		box                *Box
		name, sealed, says string
	}{
		"another key file": {other, "oidc", sealed, "put back the right key file"},
		"another name":     {box, "bmc/m-1", sealed, "was changed"},
		"one letter":       {box, "oidc", misspelt(sealed), "was changed"},
		"cut":              {box, "oidc", sealed[:25], "damaged"},
		"plain":            {box, "oidc", "s3cret", "not sealed"},
		"empty":            {box, "oidc", "", "not sealed"},
	} {
		_, err := try.box.Open(try.name, try.sealed)
		if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), try.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// misspelt is a text with another letter near its end.
func misspelt(text string) string {
	letter, at := "A", len(text)-3
	if text[at:at+1] == letter {
		letter = "B"
	}
	return text[:at] + letter + text[at+1:]
}

func TestKeyFilesThatAreNone(t *testing.T) {
	for name, try := range map[string]struct {
		text string
		mode os.FileMode
		says string
	}{
		"empty":              {"", 0o600, "damaged"},
		"cut":                {"dragonfly key 1 abcdef", 0o600, "damaged"},
		"readable by others": {"dragonfly key 1 " + strings.Repeat("ab", 32), 0o640, "chmod 600"},
	} {
		file := filepath.Join(t.TempDir(), "secrets.key")
		if err := os.WriteFile(file, []byte(try.text), try.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenBox(file); err == nil || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: %v", name, err)
		}
		if text, _ := os.ReadFile(file); string(text) != try.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestKeyFileIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.key")
	ids := make([]string, 8)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			if box, err := OpenBox(file); err == nil {
				ids[i] = box.id
			}
		})
	}
	group.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("keys %v", ids)
		}
	}
}

func TestSealedSecrets(t *testing.T) {
	store := registrytest.Memory()
	sealed := SealedSecrets{Secrets: store, Box: openBox(t, filepath.Join(t.TempDir(), "secrets.key"))}
	if _, err := store.Secret(t.Context(), "old", func() (string, error) { return "plain", nil }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"token-key": "fresh", "old": "plain"} {
		for range 2 {
			got, err := sealed.Secret(t.Context(), name, func() (string, error) { return "fresh", nil })
			if err != nil || got != want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
	stored, err := store.Secret(t.Context(), "token-key", nil)
	if err != nil || !IsSealed(stored) {
		t.Errorf("stored as %q, %v", stored, err)
	}
	other := SealedSecrets{Secrets: store, Box: openBox(t, filepath.Join(t.TempDir(), "other.key"))}
	if _, err := NewTokens(t.Context(), other); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "token-key") {
		t.Errorf("with another key file: %v", err)
	}
}

// Each key that another one takes the place of is kept, and none of them twice.
func TestReplacedKeysAreKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.key")
	key := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var keys []string // the host's own, and those of the clusters it joined
	for n := range 3 {
		other := filepath.Join(t.TempDir(), fmt.Sprint(n))
		if _, err := OpenBox(other); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key(other))
	}
	for _, k := range append(keys, keys[2]) {
		if err := ReplaceKey(file, []byte(k)); err != nil || key(file) != k {
			t.Fatalf("%v: the key is %q", err, key(file))
		}
	}
	kept, err := filepath.Glob(file + "*")
	if err != nil || len(kept) != 3 || key(file+".before-join") != keys[0] || key(file+".before-join-2") != keys[1] {
		t.Errorf("kept %v, %v", kept, err)
	}
	if err := ReplaceKey(file, []byte("no key")); err == nil || key(file) != keys[2] {
		t.Errorf("%v: the key is %q", err, key(file))
	}
}
