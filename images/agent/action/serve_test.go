package action

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server serves files, and misbehaves as it is told.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string][]byte
	requests []string                                          // "GET /path range"
	tamper   func(w http.ResponseWriter, r *http.Request) bool // before all else; true: it has answered
	wrap     func(w http.ResponseWriter, r *http.Request) http.ResponseWriter
	sent     atomic.Int64
}

func newServer(t testing.TB, files map[string][]byte) *server {
	s := &server{files: files}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
	file, ok := s.files[r.URL.Path]
	s.mu.Unlock()
	if s.tamper != nil && s.tamper(w, r) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	if s.wrap != nil {
		w = s.wrap(w, r)
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", sumOf(file)[:16]))
	http.ServeContent(&counted{w, &s.sent}, r, "", time.Time{}, bytes.NewReader(file))
}

// counted counts what is sent.
type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// asked is how many requests there were so far.
func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *server) put(path string, file []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = file
}

// cutting is a response that breaks off after so many bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// stalling is a response that stops after so many bytes, without an end.
type stalling struct {
	http.ResponseWriter
	left int
	done <-chan struct{}
}

func (s *stalling) Write(p []byte) (int, error) {
	if len(p) < s.left {
		s.left -= len(p)
		return s.ResponseWriter.Write(p)
	}
	_, _ = s.ResponseWriter.Write(p[:s.left])
	_ = http.NewResponseController(s.ResponseWriter).Flush()
	<-s.done
	panic(http.ErrAbortHandler)
}

// flipping changes one byte of the file: the one at offset at.
type flipping struct {
	http.ResponseWriter
	at, pos int64
}

// flip is a response with a wrong byte, if it has that byte.
func flip(w http.ResponseWriter, r *http.Request, at int64) http.ResponseWriter {
	from := int64(0)
	if first, _, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); ok && first != "" {
		from, _ = strconv.ParseInt(first, 10, 64)
	}
	return &flipping{w, at, from}
}

func (f *flipping) Write(p []byte) (int, error) {
	if i := f.at - f.pos; i >= 0 && i < int64(len(p)) {
		p = bytes.Clone(p)
		p[i] ^= 0x40
	}
	f.pos += int64(len(p))
	return f.ResponseWriter.Write(p)
}
