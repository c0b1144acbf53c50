package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ErrClosed is returned to requests that come after [Node.Close]. Asking again is
// of no use: it is [net.ErrClosed].
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string        { return "the embedded database is closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }

// gate is an [http.RoundTripper] that calls a handler in memory, and that can be
// shut: the database may only be closed when nobody is using it.
type gate struct {
	handler http.Handler
	mu      sync.Mutex
	closed  bool
	inside  int
	empty   chan struct{} // closed when the gate is shut and the last one has left
}

func newGate(h http.Handler) *gate { return &gate{handler: h, empty: make(chan struct{})} }

// served are the paths that work without rqlite's own listener. The others need
// parts that only start with it, and would panic.
var served = [...]string{"/db/query", "/db/execute", "/db/request", "/readyz"}

// RoundTrip answers req, or gives up when its context ends.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	if !slices.Contains(served[:], req.URL.Path) || req.URL.Query().Has("queue") {
		return nil, fmt.Errorf("%s: not served by the embedded database", req.URL.Path)
	}
	// The body is read here, since a RoundTripper may not touch it after returning.
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	inner := req.Clone(req.Context())
	inner.Body = io.NopCloser(bytes.NewReader(body))
	return inside(req.Context(), g, func() *http.Response { return g.call(inner).response(req) })
}

// inside runs do while the gate is open, and returns its answer, or why ctx ended
// before. What has begun then still finishes: a write cannot be taken back. Once ctx has
// ended nothing begins.
func inside[T any](ctx context.Context, g *gate, do func() T) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if err := g.enter(); err != nil {
		return none, err
	}
	answer := make(chan T, 1)
	go func() {
		defer g.leave()
		answer <- do()
	}()
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// call runs the handler. As in an HTTP server, a panic costs the one request and
// not the process.
func (g *gate) call(req *http.Request) (rec *recorder) {
	rec = &recorder{header: http.Header{}, status: http.StatusOK}
	defer func() {
		if p := recover(); p != nil {
			rec = &recorder{header: http.Header{}, status: http.StatusInternalServerError}
			fmt.Fprintf(&rec.body, "rqlite panicked: %v", p)
		}
	}()
	g.handler.ServeHTTP(rec, req)
	return rec
}

func readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	return body, errors.Join(err, req.Body.Close())
}

func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.signal()
}

// signal tells shut that everybody has left. The caller holds mu.
func (g *gate) signal() {
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// shut refuses new requests and waits for those inside. It may be called twice.
func (g *gate) shut(timeout time.Duration) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.signal()
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("close database: requests still unanswered after %s", timeout)
	}
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

func (r *recorder) response(req *http.Request) *http.Response {
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.header,
		Body:          io.NopCloser(&r.body),
		ContentLength: int64(r.body.Len()),
		Request:       req,
	}
}
