package auth

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dragonfly/registry/durable"
)

// ErrSealed is returned for a secret that cannot be opened. What it says names
// the key file to put right, and no secret.
var ErrSealed = errors.New("the secret cannot be opened")

// Box seals secrets before they are stored, with AES-256-GCM and a key from a
// file that stays on the host: a copy of the database alone opens nothing. Every
// server on one database needs the same key file.
type Box struct {
	aead cipher.AEAD
	file string
	id   string // of the key, the start of its hash; says which file a secret needs
}

const (
	keyHeader  = "dragonfly key 1 "
	sealPrefix = "sealed:1:" // then the key's id, a colon, and base64 of nonce and text
)

// OpenBox reads the key file, or makes it, readable by its owner alone. It errs
// for a file that is no key, or that others may read.
func OpenBox(file string) (*Box, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if info, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s may be read by others (mode %v): chmod 600 it", file, info.Mode().Perm())
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), strings.TrimSpace(keyHeader)+" ")
	key, err := hex.DecodeString(encoded)
	if !ok || err != nil || len(key) != 32 {
		return nil, fmt.Errorf("key file %s is damaged: want %q and 64 hexadecimal digits; put back the copy you have", file, keyHeader)
	}
	return newBox(key, file)
}

func newBox(key []byte, file string) (*Box, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	sum := sha256.Sum256(key)
	return &Box{aead: aead, file: file, id: hex.EncodeToString(sum[:4])}, err
}

// makeKey writes a fresh key whole or not at all, and never over another: what
// is there by then is read.
func makeKey(file string) ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key) //nolint:errcheck // it never fails
	err := durable.Create(file, []byte(keyHeader+hex.EncodeToString(key)+"\n"))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}

// Seal encrypts a secret. It opens again under the same name only, so that one
// stored secret cannot be swapped for another.
func (b *Box) Seal(name, secret string) string {
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(secret)+b.aead.Overhead())
	rand.Read(nonce) //nolint:errcheck // it never fails
	sealed := b.aead.Seal(nonce, nonce, []byte(secret), []byte(name))
	return sealPrefix + b.id + ":" + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open decrypts what Seal made of a secret, or returns [ErrSealed].
func (b *Box) Open(name, sealed string) (string, error) {
	id, encoded, ok := strings.Cut(strings.TrimPrefix(sealed, sealPrefix), ":")
	if !ok || !IsSealed(sealed) {
		return "", fmt.Errorf("%s: %w: it is not sealed, or damaged", name, ErrSealed)
	}
	if id != b.id {
		return "", fmt.Errorf("%s: %w: it was sealed with key %s, and %s holds key %s; put back the right key file", name, ErrSealed, id, b.file, b.id)
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(raw) < b.aead.NonceSize() {
		return "", fmt.Errorf("%s: %w: it is damaged", name, ErrSealed)
	}
	secret, err := b.aead.Open(nil, raw[:b.aead.NonceSize()], raw[b.aead.NonceSize():], []byte(name))
	if err != nil {
		return "", fmt.Errorf("%s: %w: it was changed after it was sealed", name, ErrSealed)
	}
	return string(secret), nil
}

// IsSealed reports whether text looks like what Seal makes.
func IsSealed(text string) bool { return strings.HasPrefix(text, sealPrefix) }

// SealedSecrets is secrets that are kept sealed.
type SealedSecrets struct {
	Secrets Secrets
	Box     *Box
}

// Secret is [Secrets.Secret]. One that was stored before there was a key file is
// returned as it is.
func (s SealedSecrets) Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error) {
	stored, err := s.Secrets.Secret(ctx, name, func() (string, error) {
		secret, err := fresh()
		if err != nil {
			return "", err
		}
		return s.Box.Seal(name, secret), nil
	})
	if err != nil || !IsSealed(stored) {
		return stored, err
	}
	return s.Box.Open(name, stored)
}

// ReplaceKey makes text, the content of another host's key file, this host's. One
// that was there is kept beside it, since something may have been sealed with it.
func ReplaceKey(file string, text []byte) error {
	temporary := file + ".new"
	defer os.Remove(temporary)
	if err := durable.Replace(temporary, text); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if _, err := OpenBox(temporary); err != nil {
		return err
	}
	if err := keepAside(file, text); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if err := errors.Join(os.Rename(temporary, file), durable.SyncDir(filepath.Dir(file))); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	return nil
}

// keepAside gives a file a second name, beside it, unless its content is text or it is
// not there.
func keepAside(file string, text []byte) error {
	before, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(before, text) {
		return nil
	}
	name := file + ".before-join"
	for n := 2; err == nil; n++ {
		if err = os.Link(file, name); err == nil {
			return nil
		}
		if errors.Is(err, fs.ErrExist) { // of an earlier one
			name, err = fmt.Sprintf("%s.before-join-%d", file, n), nil
		}
	}
	return err
}
