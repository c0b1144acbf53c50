package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxMessage bounds a message of the join protocol: a JSON document each way.
const maxMessage = 64 << 10

// joinTimeout bounds one attempt to join, on both sides.
const joinTimeout = 10 * time.Second

// joinRequest is what a host that wants to join says.
type joinRequest struct {
	Secret  string `json:"secret"`
	Request []byte `json:"request"` // a certificate request (RFC 2986), DER
	Name    string `json:"name"`
	Address string `json:"address"`
}

// joinReply is all that makes a host a member.
type joinReply struct {
	Refused      string   `json:"refused,omitempty"` // why not; the rest is empty then
	Certificate  []byte   `json:"certificate,omitempty"`
	Authority    []byte   `json:"authority,omitempty"`
	AuthorityKey []byte   `json:"authority_key,omitempty"` // PKCS #8
	Seeds        []string `json:"seeds,omitempty"`
	SealingKey   []byte   `json:"sealing_key,omitempty"`
}

// Joiner is a host that wants to join the cluster of the member that made Token.
type Joiner struct {
	DataDir string
	Token   string
	Name    string // the host's, for people
	Address string // host:port where the members will reach it
}

// TokenAddress is the address of the member that made a token.
func TokenAddress(text string) (string, error) {
	t, err := parseToken(text)
	return t.address, err
}

// Join asks the member that made the token to let this host in, and makes the
// cluster folder. keep is handed the key that seals the cluster's secrets, before
// the folder is there. The host is a member once its database has started.
func (j Joiner) Join(ctx context.Context, keep func(sealingKey []byte) error) (*Folder, error) {
	if Exists(j.DataDir) {
		return nil, fmt.Errorf("join: %s exists: this host is in a cluster already", folderIn(j.DataDir))
	}
	t, err := parseToken(j.Token)
	if err != nil {
		return nil, err
	}
	if err := CheckAddress(j.Address); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	reply, err := ask(ctx, t, joinRequest{Secret: t.secret, Request: request, Name: j.Name, Address: j.Address})
	if err != nil {
		return nil, fmt.Errorf("join the cluster of %s: %w", t.address, err)
	}
	c, err := j.accept(t, key, reply)
	if err != nil {
		return nil, fmt.Errorf("join the cluster of %s: its answer: %w", t.address, err)
	}
	if err := keep(reply.SealingKey); err != nil {
		return nil, fmt.Errorf("join the cluster of %s: keep the sealing key: %w", t.address, err)
	}
	return create(j.DataDir, c)
}

// ask sends one request over TLS.
func ask(ctx context.Context, t token, request joinRequest) (reply joinReply, err error) {
	cfg, err := pinned(t)
	if err != nil {
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return reply, err
	}
	defer conn.Close() //nolint:errcheck // everything was said
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return reply, err
	}
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&reply); err != nil {
		return reply, fmt.Errorf("read its answer: %w", err)
	}
	if reply.Refused != "" {
		return reply, errors.New("refused: " + reply.Refused)
	}
	return reply, nil
}

// accept checks what a member answered. It is trusted, since its authority is
// pinned; what is checked is that nothing is missing.
func (j Joiner) accept(t token, key *ecdsa.PrivateKey, reply joinReply) (contents, error) {
	c := contents{member: Member{Name: j.Name, Address: j.Address, Seeds: reply.Seeds}, key: key, cert: reply.Certificate}
	if !sameHash(reply.Authority, t.authority) || len(reply.SealingKey) == 0 || len(reply.Seeds) == 0 {
		return c, errors.New("something is missing in it; are both hosts of the same version?")
	}
	ca, err := x509.ParseCertificate(reply.Authority)
	if err != nil {
		return c, err
	}
	caKey, err := parseKey("the authority's key", reply.AuthorityKey)
	if err != nil {
		return c, err
	}
	cert, err := x509.ParseCertificate(reply.Certificate)
	if err != nil {
		return c, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) || cert.CheckSignatureFrom(ca) != nil {
		return c, errors.New("the certificate is not for this host")
	}
	c.authority = &authority{ca, caKey}
	return c, nil
}

// Host is what a member needs to let others in.
type Host struct {
	Folder     *Folder
	SealingKey func() ([]byte, error) // what seals the cluster's secrets
	// Check says whether a host with this ID could join at this address now, and
	// which members there are. It must not wait.
	Check func(id, address string) (seeds []string, err error)
}

// Answer speaks the join protocol on a connection that [IsJoin], and closes it.
// It returns the ID of the member-to-be, or why there is none.
func (h Host) Answer(conn net.Conn) (id string, err error) {
	defer conn.Close() //nolint:errcheck // everything was said
	if err := conn.SetDeadline(time.Now().Add(joinTimeout)); err != nil {
		return "", err
	}
	var request joinRequest
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&request); err != nil {
		return "", fmt.Errorf("read the request: %w", err)
	}
	id, reply, err := h.admit(request)
	if err != nil {
		reply = joinReply{Refused: err.Error()}
	}
	return id, errors.Join(err, json.NewEncoder(conn).Encode(reply))
}

// admit checks a request and uses its token. Nothing is told to one without a
// good token but that.
func (h Host) admit(request joinRequest) (id string, reply joinReply, err error) {
	f := h.Folder
	csr, err := x509.ParseCertificateRequest(request.Request)
	if err != nil || csr.CheckSignature() != nil {
		return "", reply, errToken
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return "", reply, errToken
	}
	if id, err = idOf(csr.PublicKey); err != nil {
		return "", reply, err
	}
	if err := CheckAddress(request.Address); err != nil {
		return "", reply, err
	}
	check := func() (err error) {
		reply.Seeds, err = h.Check(id, request.Address)
		return err
	}
	if err := f.redeem(request.Secret, id, request.Address, check); err != nil {
		return "", reply, err
	}
	if reply.SealingKey, err = h.SealingKey(); err != nil {
		return "", reply, errors.New("this member cannot read its sealing key; its log says more")
	}
	name := request.Name
	if !isHostName(name) {
		name = id
	}
	if reply.Certificate, err = f.authority.sign(csr.PublicKey, name, request.Address, f.now()); err != nil {
		return "", reply, err
	}
	if reply.AuthorityKey, err = x509.MarshalPKCS8PrivateKey(f.authority.key); err != nil {
		return "", reply, err
	}
	reply.Authority = f.authority.cert.Raw
	return id, reply, nil
}
