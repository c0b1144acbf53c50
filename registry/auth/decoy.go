package auth

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/alexedwards/argon2id"
)

// decoyHash is a hash of no password, which takes as long to check as one with the
// parameters p (version 19 is that of RFC 9106). It is made up: making one costs 64 MiB and a third of a start.
func decoyHash(p *argon2id.Params) (string, error) {
	noise := make([]byte, p.SaltLength+p.KeyLength)
	if _, err := rand.Read(noise); err != nil {
		return "", err
	}
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.Memory, p.Iterations, p.Parallelism,
		text(noise[:p.SaltLength]), text(noise[p.SaltLength:])), nil
}
