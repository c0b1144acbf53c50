package rqlite_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
)

// authority is a certificate authority whose files lie in a folder of the test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a certificate and leaves it in name.pem and name-key.pem. Without an
// authority yet it signs itself.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	a.write(t, name+"-key.pem", "PRIVATE KEY", secret)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(a.file(name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// serveTLS gives a node a TLS listener that wants a client certificate of a, and
// returns its host and port.
func serveTLS(t *testing.T, a *authority) string {
	t.Helper()
	a.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	pair, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {},
		Transport: startNode(t, t.TempDir()).Client().Transport,
	})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // handshakes are to fail
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func TestRemoteOverTLS(t *testing.T) {
	a := newAuthority(t)
	address := "https://" + serveTLS(t, a)
	a.issue(t, "client", &x509.Certificate{})
	cfg, err := rqlite.Remote(address, rqlite.WithCA(a.file("ca.pem")), rqlite.WithCertificate(a.file("client.pem"), a.file("client-key.pem")))
	if err != nil {
		t.Fatal(err)
	}
	s, err := rqlite.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), create(1)); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Machines(t.Context(), registry.Query{}); err != nil || len(found) != 1 {
		t.Errorf("over TLS: %d machines, %v", len(found), err)
	}
}

func TestRemoteOverTLSTrustsNobodyElse(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	address := "https://" + serveTLS(t, ours)
	ours.issue(t, "client", &x509.Certificate{})
	theirs.issue(t, "client", &x509.Certificate{})
	for _, c := range []struct {
		what    string
		options []rqlite.Option
		want    string
	}{
		{"a server of another CA", []rqlite.Option{rqlite.WithCA(theirs.file("ca.pem"))}, "x509: certificate signed by unknown authority"},
		{"the host's CAs", nil, "x509: certificate signed by unknown authority"},
		{"no client certificate", []rqlite.Option{rqlite.WithCA(ours.file("ca.pem"))}, "certificate required"},
		{"a client certificate of another CA", []rqlite.Option{
			rqlite.WithCA(ours.file("ca.pem")), rqlite.WithCertificate(theirs.file("client.pem"), theirs.file("client-key.pem")),
		}, "certificate"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			cfg, err := rqlite.Remote(address, c.options...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rqlite.Open(t.Context(), cfg); err == nil || errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

func TestRemoteOptions(t *testing.T) {
	a := newAuthority(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ca, key := a.file("ca.pem"), a.file("ca-key.pem")
	for _, c := range []struct {
		what, address string
		option        rqlite.Option
		want          string // in the error; empty: accepted
	}{
		{"no files", "db", rqlite.WithCA(""), ""},
		{"no pair", "db", rqlite.WithCertificate("", ""), ""},
		{"a CA", "https://db", rqlite.WithCA(ca), ""},
		{"a pair", "https://db", rqlite.WithCertificate(ca, key), ""},
		{"a CA without TLS", "db", rqlite.WithCA(ca), "without https://"},
		{"a pair without TLS", "http://db", rqlite.WithCertificate(ca, key), "without https://"},
		{"a CA that is not there", "https://db", rqlite.WithCA(empty + "x"), "no such file"},
		{"a CA that is empty", "https://db", rqlite.WithCA(empty), "no certificate in PEM form"},
		{"half a pair", "https://db", rqlite.WithCertificate(ca, ""), "want both"},
		{"two halves of different pairs", "https://db", rqlite.WithCertificate(ca, ca), "read client certificate"},
	} {
		_, err := rqlite.Remote(c.address, c.option)
		if ok := err == nil; ok != (c.want == "") || !ok && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
}
