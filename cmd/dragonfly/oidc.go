package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/httprate"
	"github.com/spf13/pflag"

	"dragonfly/registry/auth"
)

func oidcFlags(flags *pflag.FlagSet) {
	flags.String("oidc-issuer", "", "`URL` of an OpenID provider where operators sign in; register SERVER"+auth.OIDCFinishPath+" there")
	flags.String("oidc-client-id", "", "client ID at the OpenID provider")
	flags.String("oidc-client-secret", "", "client secret at the OpenID provider; others on this host can read flags, so better:")
	flags.String("oidc-client-secret-file", "", "`file` with the client secret")
	flags.String("oidc-groups-claim", "groups", "claim with the groups of somebody")
	flags.String("oidc-role-map", "", "which groups have which role, such as admin=ops,viewer=everyone; nobody else may enter")
}

// oidc is the configuration of the sign-in at an OpenID provider; without an
// issuer the zero value.
func (c config) oidc() (cfg auth.OIDCConfig, err error) {
	if c.OIDCIssuer == "" {
		if c.OIDCClientID+c.OIDCClientSecret+c.OIDCClientSecretFile+c.OIDCRoleMap != "" {
			err = errors.New("oidc-issuer is missing: without it the other oidc settings mean nothing")
		}
		return cfg, err
	}
	secret := c.OIDCClientSecret
	if c.OIDCClientSecretFile != "" {
		if secret != "" {
			return cfg, errors.New("oidc-client-secret and oidc-client-secret-file: want one of them")
		}
		text, err := os.ReadFile(c.OIDCClientSecretFile)
		if err != nil {
			return cfg, fmt.Errorf("oidc-client-secret-file: %w", err)
		}
		secret = strings.TrimSpace(string(text))
	}
	roles, err := auth.ParseRoleMap(c.OIDCRoleMap)
	if err != nil {
		return cfg, fmt.Errorf("oidc-role-map: %w", err)
	}
	return auth.OIDCConfig{Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: secret,
		GroupsClaim: c.OIDCGroupsClaim, Roles: roles, PublicURL: c.PublicURL}, nil
}

// routeOIDC adds the sign-in at the OpenID provider; where there is none, its
// routes say so.
func (a *appliance) routeOIDC(router chi.Router, refuse refusal) error {
	absent := func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusNotFound, "no OpenID provider is set up here; sign in at /login")
	}
	begin, finish := absent, absent
	if a.cfg.OIDCIssuer != "" {
		cfg, err := a.cfg.oidc()
		if err != nil {
			return err
		}
		provider, err := auth.NewOIDC(cfg, auth.OIDCParts{Sessions: a.sessions, Box: a.box, Deny: refuse, Log: a.log})
		if err != nil {
			return err
		}
		begin, finish = provider.Begin, provider.Finish
	}
	limited := router.With(httprate.LimitBy(signIns, time.Minute, peer))
	limited.Get(auth.OIDCBeginPath, begin)
	limited.Get(auth.OIDCFinishPath, finish)
	return nil
}

// signOn is the path that leads to the identity provider; empty without one.
func (c config) signOn() string {
	if c.OIDCIssuer == "" {
		return ""
	}
	return "/login/oidc"
}

// provider is what is set up of the identity provider, for people: no secret is in it.
func (c config) provider() [][2]string {
	if c.OIDCIssuer == "" {
		return nil
	}
	secret := map[bool]string{true: "set", false: "none: a public client"}[c.OIDCClientSecret+c.OIDCClientSecretFile != ""]
	return [][2]string{{"Issuer", c.OIDCIssuer}, {"Client ID", c.OIDCClientID}, {"Client secret", secret}, {"Groups are in the claim", c.OIDCGroupsClaim},
		{"Roles by group", c.OIDCRoleMap}, {"To be registered there", c.PublicURL + auth.OIDCFinishPath}}
}
