package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/durable"
)

// The files of the folder. All but the last two are written once, together.
const (
	authorityFile    = "ca.crt"
	authorityKeyFile = "ca.key"
	certificateFile  = "node.crt"
	keyFile          = "node.key"
	memberFile       = "member.json"
	invitationsFile  = "invitations.json"
	begunFile        = "begun"
)

// Member is what a host is in its cluster.
type Member struct {
	ID      string   `json:"-"`       // hash of its public key
	Name    string   `json:"name"`    // the host's name, for people
	Address string   `json:"address"` // host:port where the other members reach it
	Seeds   []string `json:"seeds"`   // members there were when it joined; none at the first
}

// Folder is the folder in which a member keeps its part of a cluster. It is safe
// for concurrent use.
type Folder struct {
	dir       string
	member    Member
	authority *authority
	key       *ecdsa.PrivateKey
	cert      atomic.Pointer[tls.Certificate]
	now       func() time.Time
	mu        sync.Mutex // guards the invitations
}

// folderIn is the cluster folder of a data directory.
func folderIn(dataDir string) string { return filepath.Join(dataDir, "cluster") }

// Exists reports whether the host with this data directory is in a cluster.
func Exists(dataDir string) bool {
	_, err := os.Stat(folderIn(dataDir))
	return err == nil
}

// Found begins a cluster: it makes an authority, and this host its first member.
func Found(dataDir, name, address string) (*Folder, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	if Exists(dataDir) {
		return nil, fmt.Errorf("found cluster: %s exists: this host is in a cluster already", folderIn(dataDir))
	}
	now := time.Now()
	ca, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := ca.sign(key.Public(), name, address, now)
	if err != nil {
		return nil, err
	}
	return create(dataDir, contents{Member{Name: name, Address: address}, ca, key, cert})
}

// contents is what a new folder is filled with.
type contents struct {
	member    Member
	authority *authority
	key       *ecdsa.PrivateKey
	cert      []byte // DER
}

// create writes the folder whole or not at all.
func create(dataDir string, c contents) (*Folder, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp(dataDir, ".cluster-")
	if err != nil {
		return nil, fmt.Errorf("make cluster folder: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // it was renamed, or holds nothing that is used
	for name, data := range files {
		if err := durable.Create(filepath.Join(temporary, name), data); err != nil {
			return nil, fmt.Errorf("make cluster folder: %w", err)
		}
	}
	if err := errors.Join(os.Rename(temporary, folderIn(dataDir)), durable.SyncDir(dataDir)); err != nil {
		return nil, fmt.Errorf("make cluster folder: %w", err)
	}
	return Open(dataDir)
}

func (c contents) files() (map[string][]byte, error) {
	member, err1 := json.MarshalIndent(c.member, "", "  ")
	caKey, err2 := x509.MarshalPKCS8PrivateKey(c.authority.key)
	key, err3 := x509.MarshalPKCS8PrivateKey(c.key)
	return map[string][]byte{
		memberFile:       append(member, '\n'),
		authorityFile:    pemOf("CERTIFICATE", c.authority.cert.Raw),
		authorityKeyFile: pemOf("PRIVATE KEY", caKey),
		certificateFile:  pemOf("CERTIFICATE", c.cert),
		keyFile:          pemOf("PRIVATE KEY", key),
	}, errors.Join(err1, err2, err3)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Open reads the folder of a data directory; [registry.ErrNoCluster] where there is none.
func Open(dataDir string) (*Folder, error) {
	f := &Folder{dir: folderIn(dataDir), now: time.Now}
	if !Exists(dataDir) {
		return nil, registry.ErrNoCluster
	}
	err := f.load()
	if err != nil {
		return nil, fmt.Errorf("read cluster folder %s: %w; put back the copy you have, or move the folder away and join again", f.dir, err)
	}
	return f, nil
}

func (f *Folder) load() (err error) {
	text, err := f.read(memberFile)
	if err == nil {
		err = json.Unmarshal(text, &f.member)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", memberFile, err)
	}
	if err := CheckAddress(f.member.Address); err != nil {
		return fmt.Errorf("%s: %w", memberFile, err)
	}
	f.authority = &authority{}
	if f.authority.cert, err = f.readCertificate(authorityFile); err != nil {
		return err
	}
	if f.authority.key, err = f.readKey(authorityKeyFile); err != nil {
		return err
	}
	if f.key, err = f.readKey(keyFile); err != nil {
		return err
	}
	cert, err := f.readCertificate(certificateFile)
	if err != nil {
		return err
	}
	if !f.key.PublicKey.Equal(cert.PublicKey) {
		return fmt.Errorf("%s is not the certificate of %s", certificateFile, keyFile)
	}
	f.use(cert)
	f.member.ID, err = idOf(f.key.Public())
	return err
}

func (f *Folder) read(name string) ([]byte, error) { return os.ReadFile(filepath.Join(f.dir, name)) }

func (f *Folder) readPEM(name string) ([]byte, error) {
	text, err := f.read(name)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s is damaged", name)
	}
	return block.Bytes, nil
}

func (f *Folder) readCertificate(name string) (*x509.Certificate, error) {
	der, err := f.readPEM(name)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cert, nil
}

func (f *Folder) readKey(name string) (*ecdsa.PrivateKey, error) {
	der, err := f.readPEM(name)
	if err != nil {
		return nil, err
	}
	return parseKey(name, der)
}

func parseKey(name string, der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: want an elliptic curve key, found %T", name, key)
	}
	return ec, nil
}

// use shows cert from the next handshake on.
func (f *Folder) use(cert *x509.Certificate) {
	f.cert.Store(&tls.Certificate{Certificate: [][]byte{cert.Raw, f.authority.cert.Raw}, PrivateKey: f.key, Leaf: cert})
}

// Member is what this host is in the cluster.
func (f *Folder) Member() Member { return f.member }

// Begin notes that this host is a member, with data: from now on that may not be
// missing.
func (f *Folder) Begin() error {
	if f.Begun() {
		return nil
	}
	if err := durable.Replace(filepath.Join(f.dir, begunFile), nil); err != nil {
		return fmt.Errorf("note that this host is a member: %w", err)
	}
	return nil
}

// Begun reports whether the host was a member before.
func (f *Folder) Begun() bool {
	_, err := os.Stat(filepath.Join(f.dir, begunFile))
	return err == nil
}

// Recover makes the host the first of its cluster, whoever was that.
func (f *Folder) Recover() error {
	alone := f.member
	alone.Seeds = nil
	text, err := json.MarshalIndent(alone, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(f.dir, memberFile), append(text, '\n')); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	f.member = alone
	return nil
}

// Expires is when the certificate does.
func (f *Folder) Expires() time.Time { return f.cert.Load().Leaf.NotAfter }

// Renew makes a new certificate for the same key when less than a third of the
// old one's life is left, and returns whether it did. It takes effect at the next
// handshake.
func (f *Folder) Renew() (bool, error) {
	if f.Expires().Sub(f.now()) > certificateLife/3 {
		return false, nil
	}
	der, err := f.authority.sign(f.key.Public(), f.member.Name, f.member.Address, f.now())
	if err != nil {
		return false, err
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		err = durable.Replace(filepath.Join(f.dir, certificateFile), pemOf("CERTIFICATE", der))
	}
	if err != nil {
		return false, fmt.Errorf("renew certificate: %w", err)
	}
	f.use(cert)
	return true, nil
}
