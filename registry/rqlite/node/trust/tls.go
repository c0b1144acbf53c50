package trust

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
)

// What is spoken on the cluster port, as it is negotiated (RFC 7301).
const (
	memberProtocol = "dragonfly-member/1"
	joinProtocol   = "dragonfly-join/1"
)

// Admit says whether the bearer of an ID may speak now; nil if so.
type Admit func(id string) error

// ServerConfig is for the cluster port. Members show a certificate, and are
// asked about before they are heard; whoever wants to join shows none, and is
// told apart by [IsJoin].
func (f *Folder) ServerConfig(admit Admit) *tls.Config {
	member := f.config()
	member.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert.Load(), nil }
	member.NextProtos = []string{memberProtocol}
	member.ClientAuth = tls.RequireAndVerifyClientCert
	member.ClientCAs = f.pool()
	member.VerifyConnection = func(state tls.ConnectionState) error { return admitPeer(state, admit) }

	join := f.config()
	join.GetCertificate = member.GetCertificate
	join.NextProtos = []string{joinProtocol}

	member.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == joinProtocol {
			return join, nil
		}
		return nil, nil // go on with this one
	}
	return member
}

// ClientConfig is for connections to the member at address.
func (f *Folder) ClientConfig(address string, admit Admit) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	cfg := f.config()
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.cert.Load(), nil }
	cfg.NextProtos = []string{memberProtocol}
	cfg.RootCAs = f.pool()
	cfg.ServerName = host
	cfg.VerifyConnection = func(state tls.ConnectionState) error { return admitPeer(state, admit) }
	return cfg, nil
}

// config is what both sides have in common. Sessions are not resumed: who may
// speak is asked at every handshake.
func (f *Folder) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, Time: f.now}
}

func (f *Folder) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.authority.cert)
	return pool
}

func admitPeer(state tls.ConnectionState, admit Admit) error {
	if state.NegotiatedProtocol != memberProtocol {
		return errors.New("the peer does not speak " + memberProtocol)
	}
	id, err := PeerID(state)
	if err != nil {
		return err
	}
	return admit(id)
}

// PeerID is the ID of the member at the other end.
func PeerID(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the peer showed no certificate")
	}
	return idOf(state.PeerCertificates[0].PublicKey)
}

// IsJoin reports whether the other end wants to join, and so is nobody yet.
func IsJoin(state tls.ConnectionState) bool { return state.NegotiatedProtocol == joinProtocol }

// pinned is for a host that knows nothing of the cluster but the hash of its
// authority's certificate, from the token.
func pinned(t token) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(t.address)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{joinProtocol},
		ServerName:         host,
		InsecureSkipVerify: true, // verified below, against the one authority that is pinned
		VerifyConnection: func(state tls.ConnectionState) error {
			chain := state.PeerCertificates
			if len(chain) != 2 || !sameHash(chain[1].Raw, t.authority) {
				return fmt.Errorf("the host at %s is not of the cluster that the token was made in", t.address)
			}
			roots := x509.NewCertPool()
			roots.AddCert(chain[1])
			_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
			return err
		},
	}, nil
}

func sameHash(der []byte, want string) bool {
	sum, err := hex.DecodeString(want)
	have, _ := hex.DecodeString(hashOf(der)) // it was just encoded
	return err == nil && subtle.ConstantTimeCompare(have, sum) == 1
}
