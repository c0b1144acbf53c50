package ui

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"dragonfly/registry"
)

func TestSetup(t *testing.T) {
	wantPage(t, get(t, newUI(t, newRack(0)), "/setup"), `action="/setup"`, "data-from-link", `autocomplete="new-password"`)
	for _, c := range []struct {
		name   string
		err    error
		status int
		says   string // in the page, or where it leads
	}{
		{"right", nil, http.StatusSeeOther, "/first"},
		{"wrong code", fmt.Errorf("refused: %w", registry.ErrForbidden), http.StatusForbidden, "The code is wrong or was used already."},
		{"bad name", &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/name", Message: "want a letter"}}}, 422, "Name: want a letter."},
		{"database away", fmt.Errorf("x: %w", registry.ErrUnavailable), 503, "nothing was saved"},
		{"our fault", fmt.Errorf("disk on fire"), 500, "The server&#39;s log says why."},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got [3]string
			d := &desk{}
			u := newUI(t, newRack(0), func(cfg *Config) {
				cfg.Sessions = d
				cfg.Setup = func(_ context.Context, code, name, password string) error {
					got = [3]string{code, name, password}
					return c.err
				}
			})
			w := post(t, u, "/setup", "token=CODE&name=+ana+&password=correct+horse")
			if got != [3]string{"CODE", "ana", "correct horse"} {
				t.Errorf("asked for %q", got)
			}
			if w.Code != c.status {
				t.Fatalf("status %d, want %d", w.Code, c.status)
			}
			if c.status == http.StatusSeeOther {
				if w.Header().Get("Location") != c.says || d.user != "ana" {
					t.Errorf("%q is led to %q", d.user, w.Header().Get("Location"))
				}
				return
			}
			wantTexts(t, w, c.says, `value="CODE"`, `value="ana"`)
		})
	}
}
