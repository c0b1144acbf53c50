package action

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testRetry tries again soon.
var testRetry = retry{limit: 60 * time.Second, stall: time.Minute, pause: 2 * time.Millisecond}

// testSource is a file on a server.
func testSource(t testing.TB, url string) *source {
	return &source{client: http.DefaultClient, url: url, log: t.Logf, retry: testRetry}
}

// serve serves by a function.
func serve(t testing.TB, f http.HandlerFunc) string {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL + "/file"
}

// pipes is a listener that is reached without a network, so that time can be the test's.
type pipes struct {
	conns  chan net.Conn
	closed context.Context
	close  context.CancelFunc
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed.Done():
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.close(); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// inBubble runs a test with a file that is served by a function, in a bubble of its own
// time.
func inBubble(t *testing.T, f http.HandlerFunc, test func(t *testing.T, src *source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn)}
		p.closed, p.close = context.WithCancel(t.Context())
		server, transport := &http.Server{Handler: f}, &http.Transport{DialContext: p.dial}
		go func() { _ = server.Serve(p) }()
		defer server.Close()
		defer transport.CloseIdleConnections()
		test(t, &source{client: &http.Client{Transport: transport}, url: "http://df/file", log: t.Logf, retry: testRetry})
	})
}

func all(ctx context.Context, s *source) ([]byte, error) {
	p := s.read(ctx, 0, -1)
	defer p.Close()
	return io.ReadAll(p)
}

var digits = bytes.Repeat([]byte("0123456789"), 20_000)

func TestPartsOfAFile(t *testing.T) {
	s := newServer(t, map[string][]byte{"/file": digits})
	src := testSource(t, s.URL+"/file")
	for _, n := range []int64{1, 10, 64 << 10, int64(len(digits)), int64(len(digits)) + 1, 1 << 30} {
		want := digits[max(0, int64(len(digits))-n):]
		if tail, at, err := src.tail(t.Context(), n); err != nil || at != int64(len(digits)-len(want)) || !bytes.Equal(tail, want) {
			t.Errorf("the last %d: %d bytes at %d, %v", n, len(tail), at, err)
		}
	}
	b := make([]byte, 100)
	if err := src.readAt(t.Context(), b, 1003); err != nil || !bytes.Equal(b, digits[1003:1103]) {
		t.Errorf("a part: %q, %v", b, err)
	}
	if err := src.readAt(t.Context(), b, int64(len(digits))-50); err == nil {
		t.Error("a part behind the end was there")
	}
	if got := src.fetched.Load(); got == 0 {
		t.Error("nothing was counted")
	}
}

// A server without ranges sends all of the file again, and it is gone on where it
// was.
func TestServerWithoutRanges(t *testing.T) {
	var asked atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Content-Length", fmt.Sprint(len(digits)))
		if n := asked.Add(1); n < 3 {
			w = &cutting{w, int(n) * 50_000}
		}
		_, _ = w.Write(digits)
	})
	src := testSource(t, url)
	if got, err := all(t.Context(), src); err != nil || !bytes.Equal(got, digits) || asked.Load() != 3 {
		t.Errorf("%d bytes with %d requests: %v", len(got), asked.Load(), err)
	}
	if err := src.readAt(t.Context(), make([]byte, 10), 10); err == nil || !strings.Contains(err.Error(), "does not serve ranges") {
		t.Error(err)
	}
	if _, _, err := src.tail(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "does not serve ranges") {
		t.Error(err)
	}
}

// Where nothing would tell that the rest is of the same file, it is not fetched,
// unless a sum does.
func TestNothingToCompare(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			w = &cutting{w, 50_000}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(digits))
	})
	if _, err := all(t.Context(), testSource(t, url)); err == nil || !strings.Contains(err.Error(), "neither an ETag nor a Last-Modified") {
		t.Error(err)
	}
	src := testSource(t, url)
	src.summed = true
	if got, err := all(t.Context(), src); err != nil || !bytes.Equal(got, digits) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}

// Of a mirror that gives the same file another name, the rest is taken if a sum
// tells that it is the same.
func TestAnotherMirror(t *testing.T) {
	var asked atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, asked.Add(1)))
		if r.Header.Get("Range") == "" {
			w = &cutting{w, 50_000}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(digits))
	})
	src := testSource(t, url)
	src.summed = true
	if got, err := all(t.Context(), src); err != nil || !bytes.Equal(got, digits) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	if _, err := all(t.Context(), testSource(t, url)); err == nil || !strings.Contains(err.Error(), "changed while it was fetched") {
		t.Error(err)
	}
}

// An answer whose end looks like that of a broken connection is not taken.
func TestNoEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\nETag: \"a\"\r\n\r\nhalf of a file"))
			_ = c.Close()
		}
	}()
	src := testSource(t, "http://"+l.Addr().String()+"/file")
	if _, err := all(t.Context(), src); err == nil || !strings.Contains(err.Error(), "does not say how long the file is") {
		t.Error(err)
	}
	src = testSource(t, "http://"+l.Addr().String()+"/file")
	src.summed = true // the sum will tell
	if got, err := all(t.Context(), src); err != nil || string(got) != "half of a file" {
		t.Errorf("%q, %v", got, err)
	}
}

// One in chunks has an end of its own.
func TestChunkedEncoding(t *testing.T) {
	cut := false
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		if r.Header.Get("Range") != "" {
			http.Error(w, "gone", http.StatusGone)
			return
		}
		_, _ = w.Write(digits[:100_000])
		_ = http.NewResponseController(w).Flush()
		if cut {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(digits[100_000:])
	})
	if got, err := all(t.Context(), testSource(t, url)); err != nil || !bytes.Equal(got, digits) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	cut = true
	if got, err := all(t.Context(), testSource(t, url)); err == nil {
		t.Errorf("%d bytes of a file that is cut", len(got))
	}
}

// What trying again cannot mend is not tried again, and what it can is, as long as
// that is wanted.
func TestWhatIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		status int
		limit  time.Duration
		asked  func(int32) bool
		want   string
	}{
		{404, time.Hour, func(n int32) bool { return n == 1 }, "404 Not Found"},
		{403, time.Hour, func(n int32) bool { return n == 1 }, "403 Forbidden"},
		{204, time.Hour, func(n int32) bool { return n == 1 }, "204 No Content"},
		{416, time.Hour, func(n int32) bool { return n == 1 }, "the file changed, or is shorter"},
		{503, 0, func(n int32) bool { return n == 1 }, "503 Service Unavailable"},
		{503, 300 * time.Millisecond, func(n int32) bool { return n > 1 }, "nothing came for"},
		{429, 300 * time.Millisecond, func(n int32) bool { return n > 1 }, "429 Too Many Requests"},
		{408, 300 * time.Millisecond, func(n int32) bool { return n > 1 }, "408 Request Timeout"},
	} {
		var asked atomic.Int32
		inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.WriteHeader(test.status)
		}, func(t *testing.T, src *source) {
			src.retry.limit = test.limit
			_, err := all(t.Context(), src)
			if err == nil || !strings.Contains(err.Error(), test.want) || !test.asked(asked.Load()) {
				t.Errorf("%d: asked %d times: %v", test.status, asked.Load(), err)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	const address = "127.0.0.1:1"
	src := testSource(t, "http://"+address+"/file")
	src.retry.limit = 100 * time.Millisecond
	if _, err := all(t.Context(), src); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Count(err.Error(), address) != 1+strings.Count(err.Error(), "dial tcp "+address) {
		t.Error(err)
	}
}

// A server that is silent, before its answer or in it, is given up on; one that is
// slow is not.
func TestSilence(t *testing.T) {
	var asked atomic.Int32
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		switch asked.Add(1) {
		case 1:
			<-r.Context().Done()
			return
		case 2:
			w = &stalling{w, 70_000, r.Context().Done()}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(digits))
	}, func(t *testing.T, src *source) {
		var said []string
		src.log = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
		if got, err := all(t.Context(), src); err != nil || !bytes.Equal(got, digits) {
			t.Errorf("%d bytes: %v", len(got), err)
		}
		if n := strings.Count(strings.Join(said, "\n"), errStalled.Error()); n != 2 {
			t.Errorf("it was silent %d times: %q", n, said)
		}
	})
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		for part := range slices.Chunk(digits[:10], 1) {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(testRetry.stall / 5) // twice as long as a silence may be, in all
		}
	}, func(t *testing.T, src *source) {
		if got, err := all(t.Context(), src); err != nil || !bytes.Equal(got, digits[:10]) {
			t.Errorf("slowly: %q, %v", got, err)
		}
	})
}

// What a server sends that was not asked for is not taken.
func TestLyingServers(t *testing.T) {
	for name, test := range map[string]struct{ header, want string }{
		"another range": {"bytes 5-9/200000", "was asked for the bytes from 1000 on and sent 5"},
		"too much":      {"bytes 1000-2000/200000", "sent 1000 to 2000"},
		"no range":      {"", `Content-Range ""`},
		"nonsense":      {"bytes a-b/c", `Content-Range "bytes a-b/c"`},
		"backwards":     {"bytes 1000-5/200000", "Content-Range"},
		"behind":        {"bytes 1000-1009/1005", "Content-Range"},
	} {
		src := testSource(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", test.header)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(digits[:10])
		}))
		if err := src.readAt(t.Context(), make([]byte, 10), 1000); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	src := testSource(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 100-199/200")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(digits[:100])
	}))
	if _, _, err := src.tail(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "more than the 10 bytes") {
		t.Errorf("a longer end: %v", err)
	}
}

// The password and the query, which may be a signature, are in no message.
func TestSecretsInAddresses(t *testing.T) {
	src := testSource(t, "http://ana:secret@127.0.0.1:1/file?signature=secret")
	src.retry.limit = 0
	if _, err := all(t.Context(), src); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestCancelledFetch(t *testing.T) {
	cause := errors.New("cancelled by ana")
	ctx, cancel := context.WithCancelCause(t.Context())
	src := testSource(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel(cause)
		<-r.Context().Done()
	}))
	if _, err := all(ctx, src); !errors.Is(err, cause) {
		t.Error(err)
	}
}
