package ui

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"dragonfly/registry"
)

// What is preferred is kept by account: tokens of different owners do not share it.
func TestPreferencesAreOfTheAccount(t *testing.T) {
	for actor, want := range map[string]string{"ana": "ana", "ana/backup": "ana", "bob/backup": "bob", "console": "console"} {
		r := httptest.NewRequest(http.MethodGet, "/machines", nil)
		r = r.WithContext(registry.WithActor(r.Context(), registry.Actor{Name: actor}))
		if got := accountIn(r); got != want {
			t.Errorf("%s: %s, want %s", actor, got, want)
		}
	}
}
