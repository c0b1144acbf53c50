package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestOIDCSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := config{OIDCIssuer: "https://id.example.org", OIDCClientID: "dragonfly", OIDCClientSecretFile: file,
		OIDCGroupsClaim: "groups", OIDCRoleMap: "admin=ops"}
	if got, err := full.oidc(); err != nil || got.ClientSecret != "s3cret" || got.Roles["ops"] != registry.Admin {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := (config{}).oidc(); err != nil || got.Issuer != "" {
		t.Errorf("none: %+v, %v", got, err)
	}
	for says, change := range map[string]func(*config){
		"oidc-issuer is missing": func(c *config) { c.OIDCIssuer = "" },
		"want one of them":       func(c *config) { c.OIDCClientSecret = "other" },
		"no such file":           func(c *config) { c.OIDCClientSecretFile += "x" },
		"oidc-role-map":          func(c *config) { c.OIDCRoleMap = "root=ops" },
	} {
		c := full
		change(&c)
		if _, err := c.oidc(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

func TestOIDCRoutes(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	if code, body := r.get(t, "/login/oidc"); code != 404 || !strings.Contains(body, "No OpenID provider") {
		t.Errorf("none is set up: %d %s", code, body)
	}
	r.end(t)
	cfg.OIDCIssuer, cfg.OIDCClientID, cfg.OIDCRoleMap = "http://127.0.0.1:1", "dragonfly", "admin=ops"
	r = start(t, cfg)
	defer r.end(t)
	if code, body := r.get(t, "/login/oidc"); code != 502 || !strings.Contains(body, "identity provider does not answer") {
		t.Errorf("it does not answer: %d %s", code, body)
	}
}
