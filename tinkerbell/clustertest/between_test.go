package clustertest

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// between stands between the product and the API server.
type between struct {
	config *rest.Config
	// instead answers a request in place of the API server; false: it does not.
	instead atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	way     atomic.Pointer[httputil.ReverseProxy]
	tooOld  atomic.Int32 // watches that were told so

	mu      sync.Mutex
	watches map[*watched]bool
}

func newBetween(t *testing.T) *between {
	b := &between{watches: map[*watched]bool{}}
	b.leadTo(t, api)
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	t.Cleanup(b.closeWatches) // first: the server waits for them
	b.config = &rest.Config{Host: front.URL}
	return b
}

// leadTo has another API server answer from now on.
func (b *between) leadTo(t *testing.T, config *rest.Config) {
	to, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	if proxy.Transport, err = rest.TransportFor(config); err != nil {
		t.Fatal(err)
	}
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients that leave, and watches that are closed here
	proxy.ModifyResponse = b.follow
	b.way.Store(proxy)
}

func (b *between) answer(instead func(http.ResponseWriter, *http.Request) bool) {
	b.instead.Store(&instead)
}

// pass lets everything through again.
func (b *between) pass() { b.instead.Store(nil) }

func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if instead := b.instead.Load(); instead != nil && (*instead)(w, r) {
		return
	}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
		// A watch that was closed in the middle ends in good order for its client.
	}()
	b.way.Load().ServeHTTP(w, r)
}

// follow keeps the watches, to close them.
func (b *between) follow(answer *http.Response) error {
	if answer.Request.URL.Query().Get("watch") == "" {
		return nil
	}
	if answer.StatusCode == http.StatusGone {
		b.tooOld.Add(1)
	}
	w := &watched{ReadCloser: answer.Body, of: b}
	b.mu.Lock()
	b.watches[w] = true
	b.mu.Unlock()
	answer.Body = w
	return nil
}

// closeWatches ends every watch that is open.
func (b *between) closeWatches() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watches {
		w.ReadCloser.Close()
	}
	clear(b.watches)
}

// watches is how many a provisioner keeps open: Hardware, our Workflows, our Templates, and
// those of others.
const watches = 4

func (b *between) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.watches)
}

// say puts text into every watch.
func (b *between) say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watches {
		w.said.Store(&text)
	}
}

// watched is the answer of a watch.
type watched struct {
	io.ReadCloser
	of   *between
	said atomic.Pointer[string]
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if bytes.Contains(p[:n], []byte(`"code":410`)) {
		w.of.tooOld.Add(1)
	}
	if text := w.said.Swap(nil); text != nil && n > 0 {
		return copy(p, *text), err
	}
	return n, err
}

func (w *watched) Close() error {
	w.of.mu.Lock()
	delete(w.of.watches, w)
	w.of.mu.Unlock()
	return w.ReadCloser.Close()
}

// isWatch reports whether a request is one.
func isWatch(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "watch=") }
