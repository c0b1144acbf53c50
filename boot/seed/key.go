package seed

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
)

const maxKey = 16 << 10 // bytes of a line; the largest RSA key in use takes 3 KiB

// Key is a public SSH key.
type Key struct {
	Line        string // as in authorized_keys, options included
	Comment     string
	Fingerprint string // SHA256:...
}

// keyTypes are the types that today's OpenSSH takes.
var keyTypes = map[string]bool{
	ssh.KeyAlgoED25519: true, ssh.KeyAlgoSKED25519: true, ssh.KeyAlgoRSA: true, ssh.KeyAlgoSKECDSA256: true,
	ssh.KeyAlgoECDSA256: true, ssh.KeyAlgoECDSA384: true, ssh.KeyAlgoECDSA521: true,
}

// ErrPrivate refuses a private key that is given for a public one.
var ErrPrivate = errors.New("this is a private key: keep it, and give the .pub beside it")

// IsPrivate reports whether a text begins or has a private key, as OpenSSH, OpenSSL
// and PuTTY write one.
func IsPrivate(text string) bool {
	return strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "PuTTY-User-Key-File")
}

// bareBase64 is what the lines of a private key look like, between its first and last.
var bareBase64 = regexp.MustCompile(`^[A-Za-z0-9+/]{8,}={0,2}$`)

// ParseKey reads one line of an authorized_keys file (sshd(8)).
func ParseKey(line string) (Key, error) {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return Key{}, errors.New("the key is empty")
	case len(line) > maxKey:
		return Key{}, fmt.Errorf("the key has %d bytes; at most %d", len(line), maxKey)
	case IsPrivate(line):
		return Key{}, ErrPrivate
	case bareBase64.MatchString(line): // and not repeated: it may be of a private key
		return Key{}, errors.New("base64 alone is no public SSH key; want a line such as ssh-ed25519 AAAA... ana@example")
	case !isPlain(line):
		return Key{}, errors.New("want one key, on one line")
	}
	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return Key{}, fmt.Errorf("%s is no public SSH key; want a line such as ssh-ed25519 AAAA... ana@example", short(line))
	}
	if !keyTypes[public.Type()] {
		return Key{}, fmt.Errorf("a key of type %s is not taken any more by SSH servers; make an ed25519 key", public.Type())
	}
	if c, ok := public.(ssh.CryptoPublicKey); ok {
		if key, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
			return Key{}, fmt.Errorf("an RSA key of %d bits is too short; want 2048, or an ed25519 key", key.N.BitLen())
		}
	}
	return Key{Line: line, Comment: comment, Fingerprint: ssh.FingerprintSHA256(public)}, nil
}
