package action

import (
	"strings"
	"testing"
)

func TestRescueWants(t *testing.T) {
	for keys, want := range map[string]string{
		"":              "SSH_KEYS is not set",
		" \n":           "SSH_KEYS has no key",
		"ssh-ed25519 A": "this agent has no tools",
	} {
		err := rescue(t.Context(), &Env{Root: t.TempDir(), Vars: map[string]string{"SSH_KEYS": keys}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", keys, err, want)
		}
	}
}
