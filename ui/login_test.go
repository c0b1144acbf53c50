package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dragonfly/registry"
)

func post(t *testing.T, u *UI, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	u.ServeHTTP(w, r)
	return w
}

func TestSignIn(t *testing.T) {
	wrong := errors.New("the hash of ana says no")
	away := fmt.Errorf("read ana: %w", registry.ErrUnavailable)
	for _, c := range []struct {
		name, form string
		err        error
		status     int
		says       string // in the page, or where it leads
	}{
		{"right", "name=ana&password=secret", nil, 303, "/machines"},
		{"on to the page that was asked for", "name=ana&password=secret&next=%2Fmachines%3Fafter%3Dm", nil, 303, "/machines?after=m"},
		{"not to another host", "name=ana&password=secret&next=%2F%2Fevil.example", nil, 303, "/machines"},
		{"wrong", "name=ana&password=guess", wrong, 401, "The name or the password is wrong."},
		{"no password", "name=ana", nil, 422, "Enter your name and your password."},
		{"nothing", "", nil, 422, "Enter your name and your password."},
		{"database away", "name=ana&password=secret", away, 503, "The database does not answer"},
		{"not a form", "%zz", nil, 400, "The form could not be read."},
		{"64 KiB", "name=" + strings.Repeat("a", 64<<10), nil, 400, "The form could not be read."},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &desk{err: c.err}
			w := post(t, newUI(t, newRack(0), func(cfg *Config) { cfg.Sessions = d }), "/login", c.form)
			if w.Code != c.status {
				t.Fatalf("status %d, want %d", w.Code, c.status)
			}
			if c.status == http.StatusSeeOther {
				if got := w.Header().Get("Location"); got != c.says || d.user != "ana" {
					t.Errorf("%q is led to %q", d.user, got)
				}
				return
			}
			body := wantTexts(t, w, c.says)
			if strings.Contains(body, "guess") || strings.Contains(body, "secret") || strings.Contains(body, "hash") {
				t.Error("the page gives away the password or the cause")
			}
			if strings.HasPrefix(c.form, "name=ana") && !strings.Contains(body, `value="ana"`) {
				t.Error("the name must be typed again")
			}
		})
	}
}

func TestLoginForm(t *testing.T) {
	w := get(t, newUI(t, newRack(0)), "/login?next="+url.QueryEscape("/machines?after=m&x=\""))
	wantPage(t, w, `action="/login"`, `value="/machines?after=m&amp;x=&#34;"`, `autocomplete="current-password"`, "dragonfly user create NAME", "dragonfly user passwd NAME")
}

func TestSignOut(t *testing.T) {
	d := &desk{user: "ana"}
	u := newUI(t, newRack(0), func(c *Config) { c.Sessions = d })
	if w := post(t, u, "/logout", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login" || d.user != "" {
		t.Errorf("status %d to %q, user %q", w.Code, w.Header().Get("Location"), d.user)
	}
	if w := get(t, u, "/logout"); w.Code == http.StatusSeeOther {
		t.Error("a link signs out")
	}
	wantPage(t, get(t, u, "/machines"), "No account exists yet", "dragonfly user create NAME")
}

func TestLocal(t *testing.T) {
	for next, want := range map[string]string{
		"/machines?after=m": "/machines?after=m", "/": "/", "": "/machines", "machines": "/machines",
		"//evil.example": "/machines", `/\evil.example`: "/machines", "/\t/evil.example": "/machines",
		"https://evil.example/": "/machines", "javascript:alert(1)": "/machines", "/%zz": "/machines",
	} {
		if got := local(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}
