package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"dragonfly/registry/api"
)

// run is cli that must succeed.
func (r *rig) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	code, stdout, stderr := r.cli(t, stdin, args...)
	if code != 0 {
		t.Fatalf("%v: %s", args, stderr)
	}
	return stdout
}

func TestUsersFromTheCommandLine(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	r.run(t, "correct horse battery\n", "user", "create", "bob", "--role", "viewer", "--password-stdin")
	r.run(t, "another horse\n", "user", "passwd", "bob", "--password-stdin")
	r.run(t, "", "user", "role", "bob", "operator")
	if got := r.run(t, "", "user", "list", "-o", "name"); got != "ana\nbob\n" {
		t.Errorf("names: %q", got)
	}
	if got := r.run(t, "", "user", "list"); !strings.HasPrefix(got, "NAME  ROLE      ORIGIN  CREATED\n") || !strings.Contains(got, "bob   operator  local") {
		t.Errorf("table:\n%s", got)
	}
	if got := r.run(t, "", "user", "list", "-o", "yaml"); !strings.Contains(got, "  name: bob\n") || !strings.Contains(got, "  role: operator\n") {
		t.Errorf("yaml:\n%s", got)
	}
	var users []api.User
	if err := json.Unmarshal([]byte(r.run(t, "", "user", "list", "-o", "json")), &users); err != nil || len(users) != 2 {
		t.Errorf("json: %+v, %v", users, err)
	}
	for _, try := range []struct {
		args, says string
	}{
		{"user create ana --password-stdin", "dragonfly user passwd ana"},
		{"user passwd eve --password-stdin", "not found"},
		{"user role eve admin", "not found"},
		{"user role ana viewer", "last administrator"},
		{"user delete ana --yes", "last administrator"},
		{"user role bob oprator", "did you mean operator?"},
		{"user delete bob", "--yes"},
		{"user list -o jsn", "did you mean json?"},
	} {
		if code, _, stderr := r.cli(t, "correct horse battery\n", strings.Fields(try.args)...); code == 0 || !strings.Contains(stderr, try.says) {
			t.Errorf("%s: %d %q, want %q", try.args, code, stderr, try.says)
		}
	}
	r.run(t, "", "user", "delete", "bob", "--yes")
	if got := r.run(t, "", "user", "list", "-o", "name"); got != "ana\n" {
		t.Errorf("bob was deleted: %q", got)
	}
}

func TestTokensFromTheCommandLine(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	secret := strings.TrimSpace(r.run(t, "", "token", "create", "ci", "--owner", "ana", "--role", "viewer", "--expires", "90d"))
	client := &api.Client{Base: r.url, Token: secret}
	if self, err := client.Self(t.Context()); err != nil || self.Name != "ana/ci" || self.Role != "viewer" || self.From != "127.0.0.1" {
		t.Errorf("the token is %+v, %v", self, err)
	}
	if err := client.DeleteUser(t.Context(), "ana"); api.Status(err) != http.StatusForbidden || !strings.Contains(err.Error(), "needs the role admin") {
		t.Errorf("a viewer deletes an account: %v", err)
	}
	if _, err := client.Instruct(t.Context(), "m-1", "reboot"); api.Status(err) != http.StatusForbidden {
		t.Errorf("a viewer instructs a machine: %v", err)
	}
	id := strings.TrimSpace(r.run(t, "", "token", "list", "-o", "name"))
	if got := r.run(t, "", "token", "list"); !strings.Contains(got, id) || strings.Contains(got, secret) {
		t.Errorf("list:\n%s", got)
	}
	for _, try := range []struct {
		args, says string
	}{
		{"token create ci", "want the account"},
		{"token create ci --owner ana", "exists already"},
		{"token create x --owner eve", "there is no account"},
		{"token create x --owner ana --scope metrics,everything", "\"everything\" is none of apply, audit, "},
		{"token create x --owner ana --scope=", "--scope is empty"},
		{"token create x --owner ana --expires 90y", "such as 12h or 90d"},
		{"token create x --owner ana --expires 9999d", "within ten years"},
		{"token revoke nonsense --yes", "not found"},
	} {
		if code, _, stderr := r.cli(t, "", strings.Fields(try.args)...); code == 0 || !strings.Contains(stderr, try.says) {
			t.Errorf("%s: %d %q, want %q", try.args, code, stderr, try.says)
		}
	}
	metrics := &api.Client{Base: r.url, Token: strings.TrimSpace(r.run(t, "", "token", "create", "prometheus", "--owner", "ana", "--scope", "metrics"))}
	if got := r.run(t, "", "token", "list"); !regexp.MustCompile(`prometheus +viewer +metrics `).MatchString(got) || !regexp.MustCompile(`ci +viewer +all `).MatchString(got) {
		t.Errorf("list:\n%s", got)
	}
	if _, err := metrics.Self(t.Context()); api.Status(err) != http.StatusForbidden || !strings.Contains(err.Error(), "ana/prometheus is limited to metrics") {
		t.Errorf("a token for metrics asks who it is: %v", err)
	}
	scrape, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	scrape.Header.Set("Authorization", "Bearer "+metrics.Token)
	resp, err := http.DefaultClient.Do(scrape)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a token for metrics is answered %s by /metrics", resp.Status)
	}
	r.run(t, "", "token", "revoke", id, "--yes")
	if _, err := client.Self(t.Context()); api.Status(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked: %v", err)
	}
	t.Setenv("DRAGONFLY_TOKEN", strings.TrimSpace(r.run(t, "", "token", "create", "nightly", "--owner", "ana", "--role", "admin", "--scope", "backup")))
	r.run(t, "", "backup", "--server", r.url, "-o", t.TempDir()+"/")
	code, _, stderr := r.cli(t, "", "user", "list", "--server", r.url)
	if code != exitNotAllowed || !strings.Contains(stderr, "this token is not for that: ana/nightly is limited to backup") {
		t.Errorf("a token for backups lists the users: %d %s", code, stderr)
	}
	entries, err := r.admin(t).Audit(t.Context(), api.AuditQuery{Object: "token/" + id})
	if err != nil || len(entries) != 2 || entries[0].Action != "token.revoke" || entries[1].Actor.Name != "console" {
		t.Errorf("audit: %+v, %v", entries, err)
	}
}

// admin is a client with a token of ana's.
func (r *rig) admin(t *testing.T) *api.Client {
	t.Helper()
	return &api.Client{Base: r.url, Token: strings.TrimSpace(r.run(t, "", "token", "create", "admin", "--owner", "ana", "--role", "admin"))}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"12h": 12 * time.Hour, "90d": 90 * 24 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := expiry(text, now); err != nil || got.Sub(now) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "d", "-1d", "-5h", "90", "99999d", "1.5d"} {
		if got, err := expiry(text, now); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got, err := expiry("", now); err != nil || !got.IsZero() {
		t.Errorf("never: %v, %v", got, err)
	}
}
