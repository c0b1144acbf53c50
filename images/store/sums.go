package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// maxSums bounds a file of sums, and a signature.
const maxSums = 4 << 20

// expected is what a file has to be; the zero value is anything.
type expected struct {
	sum     []byte // SHA-256 or SHA-512
	checked string // how that is known, as registry.ImageOrigin has it
}

// newHash is the hash that sum is of.
func (e expected) newHash() hash.Hash {
	if len(e.sum) == sha512.Size {
		return sha512.New()
	}
	return sha256.New()
}

// expect finds out what the file of an import has to be.
func (s *Store) expect(ctx context.Context, j *job) (expected, error) {
	src := j.ask.Source
	if src.SHA256 != "" {
		sum, err := hex.DecodeString(src.SHA256)
		return expected{sum, "sha256"}, err
	}
	if src.Sums == "" {
		return expected{}, nil
	}
	text, err := s.get(ctx, j, src.Sums)
	if err != nil {
		return expected{}, err
	}
	e := expected{checked: "sums"}
	if src.Key != "" {
		e.checked = "signature"
		if text, err = s.signed(ctx, j, text); err != nil {
			return expected{}, err
		}
	}
	u, err := url.Parse(src.URL)
	if err != nil {
		return expected{}, err
	}
	if e.sum, err = findSum(string(text), path.Base(u.Path)); err != nil {
		return expected{}, fmt.Errorf("%s: %w", src.Sums, err)
	}
	return e, nil
}

// get is the body of a small file.
func (s *Store) get(ctx context.Context, j *job, url string) (body []byte, err error) {
	err = s.retry(ctx, j.rest, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, finalError{err}
		}
		req.Header.Set("User-Agent", "dragonfly")
		resp, err := s.clientFor(j.ask.Source.Key != "").Do(req)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false, statusError(url, resp)
		}
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxSums+1))
		if len(body) > maxSums {
			return false, finalError{fmt.Errorf("GET %s: more than %d bytes, which is no file of sums", url, maxSums)}
		}
		return false, err
	})
	return body, err
}

// signed is what of text is signed by the key of an import.
func (s *Store) signed(ctx context.Context, j *job, text []byte) ([]byte, error) {
	src := j.ask.Source
	keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(src.Key))
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	if src.Signature == "" {
		block, _ := clearsign.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s is not signed in itself; name the URL of its signature", src.Sums)
		}
		if _, err := block.VerifySignature(keys, nil); err != nil {
			return nil, fmt.Errorf("the signature in %s: %w", src.Sums, err)
		}
		return block.Plaintext, nil
	}
	signature, err := s.get(ctx, j, src.Signature)
	if err != nil {
		return nil, err
	}
	check := openpgp.CheckDetachedSignature
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte("-----BEGIN")) {
		check = openpgp.CheckArmoredDetachedSignature
	}
	if _, err := check(keys, bytes.NewReader(text), bytes.NewReader(signature), nil); err != nil {
		return nil, fmt.Errorf("the signature %s of %s: %w", src.Signature, src.Sums, err)
	}
	return text, nil
}

// The two ways in which files of sums are written: by sha256sum(1), and by it with
// --tag, as BSD has it.
var (
	gnuSum = regexp.MustCompile(`^([0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})(?:\s+\*?(\S.*))?$`)
	bsdSum = regexp.MustCompile(`^SHA(?:256|512) ?\((.+)\) ?= ?([0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})$`)
)

// findSum finds the sum of a file in a file of sums. A file with one sum and no name
// is about whatever it lies beside.
func findSum(text, name string) ([]byte, error) {
	var found [][]byte
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		sum, of := "", ""
		if m := gnuSum.FindStringSubmatch(line); m != nil {
			sum, of = m[1], m[2]
		} else if m := bsdSum.FindStringSubmatch(line); m != nil {
			sum, of = m[2], m[1]
		}
		if sum == "" || (path.Base(of) != name && (of != "" || strings.TrimSpace(text) != line)) {
			continue
		}
		b, err := hex.DecodeString(sum)
		if err != nil {
			return nil, err
		}
		found = append(found, b)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("it has no SHA-256 or SHA-512 sum of %.200q", name)
	}
	for _, sum := range found[1:] {
		if len(sum) == len(found[0]) && !bytes.Equal(sum, found[0]) {
			return nil, errors.New("it has two sums of " + name)
		}
	}
	return found[0], nil
}
