// Package trust is how the members of a cluster know each other: certificates,
// the tokens that let a host in, and the TLS they speak.
//
// A member's ID is the hash of its public key, and the raft log says which IDs
// are members. So a certificate proves who speaks, and the log whether that one
// still belongs: one that was removed is refused from then on, whatever
// certificate it has. The certificate authority of the cluster only lets a
// handshake begin.
//
// Every member has the authority's key, since every member has all there is to
// protect, and since the cluster must outlive the host it began on: any member
// can let a host in and renew its own certificate.
//
// A join token is good once, for a quarter of an hour, at the member that made
// it. It carries the hash of the authority's certificate, so that the host that
// joins knows whom it speaks to before it says the secret.
package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// How long certificates live. A member renews its own when a third of its life is
// left; see [Folder.Renew]. The authority's lives as long as the hardware.
const (
	authorityLife   = 20 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	clockSkew       = time.Hour // how far the clocks of two hosts may lie apart
)

// idOf is the ID of the member with a public key: "n-" and 100 bits of its
// SHA-256 hash, far more than anybody can search for a second key of.
func idOf(public any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("id of a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return "n-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:20]), nil
}

// authority signs the certificates of a cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Dragonfly cluster"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

// sign makes the certificate of the member called name that is reached at
// address, in DER form.
func (a *authority) sign(public any, name, address string, now time.Time) ([]byte, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %s: %w", address, err)
	}
	return der, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return n
}

// CheckAddress errs for an address that other hosts cannot reach a member at:
// it wants host:port, and a host that is not the unspecified address.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: want host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address %q: want a port from 1 to 65535", address)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("address %q: other hosts cannot reach it; want the address of this host in their network", address)
		}
		return nil
	}
	if !isHostName(host) {
		return fmt.Errorf("address %q: the host is neither an IP address nor a name", address)
	}
	return nil
}

// isHostName reports whether s is a host name (RFC 1123 section 2.1).
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
		}) {
			return false
		}
	}
	return true
}
