package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

// targetOf is the appliance elsewhere that a command speaks to; nil for the one on
// this host. What is asked for on the command line comes before the environment,
// and that before the context in use.
func targetOf(cmd *cobra.Command) (*remote, error) {
	text, _ := cmd.Flags().GetString("server")
	name, _ := cmd.Flags().GetString("context")
	switch {
	case text != "" && name != "":
		return nil, usageError{errors.New("want --context or --server, not both")}
	case text != "":
		return adHoc(cmd, text)
	case name != "":
		return contextNamed(name)
	case cmd.Flags().Changed("data-dir"):
		return nil, nil
	case os.Getenv(envPrefix+"SERVER") != "":
		return adHoc(cmd, os.Getenv(envPrefix+"SERVER"))
	}
	c, err := loadContexts()
	if err != nil || c.Current == "" {
		return nil, err
	}
	return contextNamed(c.Current)
}

// adHoc is a server that has no context.
func adHoc(cmd *cobra.Command, text string) (*remote, error) {
	url, err := parseServer(text)
	if err != nil {
		return nil, err
	}
	s := &remote{URL: url, Token: os.Getenv(envPrefix + "TOKEN")}
	if path, _ := cmd.Flags().GetString("ca"); path != "" {
		s.CA, err = readCA(path)
	}
	return s, err
}

func contextNamed(name string) (*remote, error) {
	if name == localContext {
		return nil, nil
	}
	c, err := loadContexts()
	if err != nil {
		return nil, err
	}
	at, err := c.find(name)
	if err != nil {
		return nil, err
	}
	s := c.Servers[at]
	if s.Token == "" {
		s.Token = os.Getenv(envPrefix + "TOKEN")
	}
	return &s, nil
}

// http is a client that trusts the certificates of s, and notes when s is asked.
func (s *remote) http(asked *atomic.Bool) *http.Client {
	return &http.Client{Transport: noting{s.transport(), asked}}
}

func (s *remote) transport() http.RoundTripper {
	if s.CA == "" {
		return http.DefaultTransport
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.CA)) // it was read from a file that had some
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return transport
}

// noting is a way to a server that notes when it is taken.
type noting struct {
	http.RoundTripper
	asked *atomic.Bool
}

// RoundTrip is [http.RoundTripper.RoundTrip].
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	n.asked.Store(true)
	return n.RoundTripper.RoundTrip(r)
}

// askedKey is where the context of a command has whether it asked a server elsewhere.
type askedKey struct{}

// askedBy is whether cmd has asked a server elsewhere.
func askedBy(cmd *cobra.Command) *atomic.Bool {
	asked, ok := cmd.Context().Value(askedKey{}).(*atomic.Bool)
	if !ok {
		asked = &atomic.Bool{}
		cmd.SetContext(context.WithValue(cmd.Context(), askedKey{}, asked))
	}
	return asked
}

// String is the server as an error message names it.
func (s *remote) String() string {
	if s.Name == "" {
		return s.URL
	}
	return s.URL + ", context " + s.Name
}

// askedOf is the error of cmd for people: which server was asked, where it was one
// elsewhere, and no URL of a single request. What is wrong on this host names no server.
func askedOf(cmd *cobra.Command, err error) string {
	text := err.Error()
	if request, ok := errors.AsType[*url.Error](err); ok {
		text = strings.Replace(text, request.Error(), request.Err.Error(), 1)
	}
	_, usage := errors.AsType[usageError](err)
	_, file := errors.AsType[*fs.PathError](err)
	if usage || file || cmd.Flags().Lookup("context") == nil || !askedBy(cmd).Load() {
		return text
	}
	s, unknown := targetOf(cmd)
	if unknown != nil || s == nil {
		return text
	}
	return text + s.remedy(err) + " (" + s.String() + ")"
}

// remedy is what to do about an error of a request to s, to stand behind it; empty
// where that is not known.
func (s *remote) remedy(err error) string {
	_, stranger := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nothing listens there; is the appliance running, and the port right?"
	case errors.Is(err, http.ErrSchemeMismatch):
		return ": the URL begins with http://, unless a proxy with TLS stands before the appliance"
	case stranger:
		return ": name the certificates that vouch for it with --ca FILE"
	case api.Status(err) == http.StatusUnauthorized && s.Token == "":
		return "; here: in DRAGONFLY_TOKEN, or in a context (dragonfly context --help)"
	}
	return ""
}
