package sshkeys

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/boot/seed"
	"dragonfly/registry"
)

const (
	timeout   = 10 * time.Second // for all of a fetch
	maxBody   = 256 << 10        // bytes
	maxKeys   = 64               // of one address
	maxURL    = 512              // bytes
	redirects = 3
	keepFor   = 5 * time.Minute
	keepMost  = 256 // addresses
)

// Fetcher fetches keys. The zero value is ready.
type Fetcher struct {
	Client *http.Client // nil: one of its own; its redirects are replaced

	mu   sync.Mutex
	kept map[string]answer // by address
}

// answer is what an address had.
type answer struct {
	keys []string
	at   time.Time
}

// IsURL reports whether a key is the address of keys.
func IsURL(key string) bool {
	return strings.HasPrefix(key, "https://") || strings.HasPrefix(key, "http://")
}

// Expand is keys with those that an address has in its place, each key once. The
// error is a [*registry.InvalidError] whose pointers are indices, such as "/2".
func (f *Fetcher) Expand(ctx context.Context, keys []string) (all []string, err error) {
	var wrong []registry.FieldError
	for i, key := range keys {
		found := []string{key}
		if IsURL(key) {
			if found, err = f.Fetch(ctx, key); err != nil {
				wrong = append(wrong, registry.FieldError{Pointer: fmt.Sprintf("/%d", i), Message: err.Error()})
			}
		}
		for _, k := range found {
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	if len(wrong) > 0 {
		return nil, &registry.InvalidError{Fields: wrong}
	}
	return all, nil
}

// Check reports which of keys are addresses that would not be asked, as Expand does.
// Nobody is asked.
func Check(keys []string) error {
	var wrong []registry.FieldError
	for i, key := range keys {
		if !IsURL(key) {
			continue
		}
		if _, err := check(key); err != nil {
			wrong = append(wrong, registry.FieldError{Pointer: fmt.Sprintf("/%d", i), Message: err.Error()})
		}
	}
	if len(wrong) > 0 {
		return &registry.InvalidError{Fields: wrong}
	}
	return nil
}

// Fetch is the keys that an address has: one at least, lines of authorized_keys. One
// without a comment is given the name of whoever published it. What an address had
// is taken to be so for five minutes.
func (f *Fetcher) Fetch(ctx context.Context, address string) ([]string, error) {
	u, err := check(address)
	if err != nil {
		return nil, err
	}
	if keys, ok := f.known(u.String()); ok {
		return keys, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := f.get(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w; else give the keys themselves in place of their address", u, err)
	}
	keys, err := parse(body, owner(u))
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", u, err)
	}
	f.keep(u.String(), keys)
	return keys, nil
}

// check takes an address of https only: who can change an answer on its way could
// sign in to every machine.
func check(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || len(address) > maxURL || u.Host == "":
		return nil, fmt.Errorf("%.60q is no address of keys; want one such as https://github.com/ana.keys", address)
	case u.Scheme != "https":
		return nil, fmt.Errorf("%.60q: want https, or anybody on the way could add a key; fetch them yourself and give the keys", address)
	case u.User != nil:
		return nil, errors.New("an address of keys has no password in it: keys are public")
	}
	u.Fragment = ""
	return u, nil
}

func (f *Fetcher) get(ctx context.Context, u *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/plain")
	request.Header.Set("User-Agent", "dragonfly")
	response, err := f.client().Do(request)
	if err != nil {
		return nil, explain(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errors.New("there is no such page (404); is the name right?")
	default:
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, explain(err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer is larger than %d bytes, so it is no list of keys", maxBody)
	}
	return body, nil
}

func (f *Fetcher) client() *http.Client {
	client := http.Client{}
	if f.Client != nil {
		client = *f.Client
	}
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		switch {
		case r.URL.Scheme != "https":
			return errors.New("it leads to an address without https")
		case len(via) > redirects:
			return fmt.Errorf("it leads on more than %d times", redirects)
		}
		return nil
	}
	return &client
}

// explain is an error without the address, which is said once already.
func explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", timeout)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// parse reads a list of keys. Empty lines and comments are passed over; a line that is
// no key is an error, since the whole is then most likely a page of something else.
func parse(body []byte, owner string) (keys []string, err error) {
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, maxBody+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := seed.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if key.Comment == "" {
			key.Line += " " + owner
		}
		if !slices.Contains(keys, key.Line) {
			keys = append(keys, key.Line)
		}
	}
	switch {
	case lines.Err() != nil:
		return nil, lines.Err()
	case len(keys) == 0:
		return nil, errors.New("no key is published there")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("%d keys are published there; at most %d are taken", len(keys), maxKeys)
	}
	return keys, nil
}

// owner is who publishes keys: ana@github.com for https://github.com/ana.keys.
func owner(u *url.URL) string {
	name := strings.TrimSuffix(path.Base(u.Path), ".keys")
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || name == "" || name == "." {
		return u.Hostname()
	}
	return name + "@" + u.Hostname()
}

func (f *Fetcher) known(address string) ([]string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.kept[address]
	return a.keys, ok && time.Since(a.at) < keepFor
}

// keep remembers an answer. Where there are too many, those that are of no use any
// more go, or else all.
func (f *Fetcher) keep(address string, keys []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) >= keepMost {
		for old, a := range f.kept {
			if time.Since(a.at) >= keepFor {
				delete(f.kept, old)
			}
		}
		if len(f.kept) >= keepMost {
			clear(f.kept)
		}
	}
	if f.kept == nil {
		f.kept = map[string]answer{}
	}
	f.kept[address] = answer{keys, time.Now()}
}
