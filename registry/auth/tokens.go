package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
)

// How long tokens live. A boot token has to last from the iPXE script until the
// agent has registered: minutes, of which a slow network spends most on the agent
// image. An agent whose token ran out, because the server was away for longer,
// restarts its machine after a few refusals and so gets a fresh one. A machine
// token is renewed at half its life while the agent polls.
const (
	bootTokenLife    = 15 * time.Minute
	machineTokenLife = 24 * time.Hour
)

// ErrToken is returned for a token that is forged, damaged, of another kind or
// expired. What it says may be shown to the bearer.
var ErrToken = errors.New("token is not valid")

// ErrExpired is the [ErrToken] of a token that was good once.
var ErrExpired = fmt.Errorf("%w: it expired", ErrToken)

// kind keeps a token for one purpose from passing as another.
type kind byte

const (
	bootKind    kind = 'b'
	machineKind kind = 'm'
	seedKind    kind = 's'
)

// A token is base64url(kind, 8 bytes of Unix seconds when it expires, subject,
// 16 bytes of HMAC-SHA256 over all before). It is self-contained, so that boots
// are answered while the database is away, and short, for it has to fit in a
// kernel command line.
//
// The subject of a boot token is the address and a few random bytes. Without them
// the scripts of one second would carry one token, and a stranger who asks for
// another machine's script could use up that machine's own. They name the boot: a
// machine token has them before the machine's ID.
const (
	tokenHead = 1 + 8
	tokenTail = 16
	bootNonce = 8

	bootSubject = len(registry.MAC{}) + bootNonce
)

// Tokens issues and checks the tokens of machines. Every server on one database
// shares the key.
type Tokens struct {
	macs sync.Pool // of [hash.Hash], ready for what is to be signed
	now  func() time.Time

	mu    sync.Mutex
	bound bindings
}

// Secrets keeps named secrets. Secret returns the named one; where there is none
// yet it stores and returns a fresh one.
type Secrets interface {
	Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error)
}

// NewTokens loads the key from secrets, or makes it at the first start.
func NewTokens(ctx context.Context, secrets Secrets) (*Tokens, error) {
	key, err := secrets.Secret(ctx, "token-key", func() (string, error) { return rand.Text() + rand.Text(), nil })
	if err != nil {
		return nil, fmt.Errorf("load the token key: %w", err)
	}
	t := &Tokens{now: time.Now}
	t.macs.New = func() any { return hmac.New(sha256.New, []byte(key)) }
	return t, nil
}

// Boot is a token for the agent that boots on the machine with mac.
func (t *Tokens) Boot(mac registry.MAC) string {
	subject := make([]byte, bootSubject)
	rand.Read(subject[copy(subject, mac[:]):]) //nolint:errcheck // it never fails
	return t.issue(bootKind, subject, bootTokenLife)
}

// CheckBoot returns what a boot token says, or [ErrToken].
func (t *Tokens) CheckBoot(token string) (b registry.BootToken, err error) {
	subject, _, err := t.check(bootKind, token)
	if err == nil && len(subject) != bootSubject {
		err = ErrToken
	}
	if err != nil {
		return b, err
	}
	nonce := subject[copy(b.MAC[:], subject):]
	b.Boot = hex.EncodeToString(nonce)
	return b, nil
}

// Machine is a token for the agent of a registered machine, in the boot that it
// registered from; empty: nobody knows which.
func (t *Tokens) Machine(id, boot string) string {
	nonce, _ := hex.DecodeString(boot)
	return t.issue(machineKind, append(nonce, id...), machineTokenLife)
}

// CheckMachine returns what a machine token says, or [ErrToken].
func (t *Tokens) CheckMachine(token string) (m registry.MachineToken, err error) {
	subject, left, err := t.check(machineKind, token)
	if err != nil {
		return m, err
	}
	if m.ID = string(subject); len(subject) > bootNonce && strings.HasPrefix(m.ID[bootNonce:], "m-") {
		m.Boot, m.ID = hex.EncodeToString(subject[:bootNonce]), m.ID[bootNonce:]
	}
	if left < machineTokenLife/2 {
		m.Renewed = t.Machine(m.ID, m.Boot)
	}
	return m, nil
}

// Seed is a token for what an installed system reads at its first boot. It is good
// for one deployment of one machine, and no longer than until the deadline; that it
// is good no more once the system has reported is for the deployment to know.
func (t *Tokens) Seed(machine, deployment string, deadline time.Time) string {
	return t.issue(seedKind, []byte(machine+" "+deployment), deadline.Sub(t.now()))
}

// CheckSeed returns the IDs of the machine and the deployment that a token was given
// to, or [ErrToken].
func (t *Tokens) CheckSeed(token string) (machine, deployment string, err error) {
	subject, _, err := t.check(seedKind, token)
	machine, deployment, _ = strings.Cut(string(subject), " ")
	return machine, deployment, err
}

func (t *Tokens) issue(k kind, subject []byte, life time.Duration) string {
	b := make([]byte, 0, tokenHead+len(subject)+tokenTail)
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint64(b, uint64(t.now().Add(life).Unix()))
	b = append(b, subject...)
	return base64.RawURLEncoding.EncodeToString(append(b, t.sign(b)...))
}

func (t *Tokens) check(want kind, token string) (subject []byte, left time.Duration, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < tokenHead+tokenTail {
		return nil, 0, ErrToken
	}
	body, sum := b[:len(b)-tokenTail], b[len(b)-tokenTail:]
	if !hmac.Equal(sum, t.sign(body)) || kind(body[0]) != want {
		return nil, 0, ErrToken
	}
	left = time.Unix(int64(binary.BigEndian.Uint64(body[1:])), 0).Sub(t.now())
	if left <= 0 {
		return nil, 0, fmt.Errorf("%w %s ago; boot the machine again for a fresh one", ErrExpired, -left.Round(time.Second))
	}
	return body[tokenHead:], left, nil
}

func (t *Tokens) sign(body []byte) []byte {
	h := t.macs.Get().(hash.Hash)
	defer t.macs.Put(h)
	h.Reset()
	h.Write(body)
	return h.Sum(nil)[:tokenTail]
}
