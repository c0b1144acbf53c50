package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// elsewhere is a listener on loopback whose peers seem to be at the addresses of
// from, one after the other.
type elsewhere struct {
	net.Listener
	from func() net.Addr
}

func (l elsewhere) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return peerConn{conn, l.from()}, nil
}

type peerConn struct {
	net.Conn
	remote net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.remote }

// crowded serves with c and returns what opens connections that seem to come from
// an address, and says how each is answered: 404 where it may ask.
func crowded(t *testing.T, c *crowd) func(from string) (status int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from, judged := make(chan net.Addr, 1), make(chan bool, 1)
	server := &http.Server{Handler: http.NotFoundHandler(), ConnState: func(conn net.Conn, state http.ConnState) {
		before := c.refused.Load()
		c.watch(conn, state)
		if state == http.StateNew {
			judged <- c.refused.Load() == before
		}
	}}
	go server.Serve(elsewhere{l, func() net.Addr { return <-from }}) //nolint:errcheck // it is closed
	t.Cleanup(func() { server.Close() })
	return func(addr string) int {
		open := c.Open()
		from <- net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1234))
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if <-judged { // who is turned away is answered without a request
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		head := make([]byte, 12)
		if _, err := io.ReadFull(conn, head); err != nil {
			t.Fatal(err)
		}
		var status int
		if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d", &status); err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if status == http.StatusServiceUnavailable { // it is counted until the server has let go of it
			if err := waitFor(t.Context(), func() bool { return c.Open() == open }); err != nil {
				t.Fatal(err)
			}
		}
		return status
	}
}

func TestCrowdIsBounded(t *testing.T) {
	c := newCrowd()
	for range maxPerPeer {
		c.enter(netip.MustParseAddr("192.0.2.1"))
	}
	c.total = maxPerPeer + 2
	open := crowded(t, c)
	for _, step := range []struct {
		from string
		want int
	}{
		{"192.0.2.1", 503}, // has its share
		{"::ffff:192.0.2.1", 503},
		{"192.0.2.2", 404},
		{"2001:db8::1", 404},
		{"192.0.2.3", 503}, // as many as there may be in all
		{"127.0.0.1", 404}, // whoever looks after the server
	} {
		if got := open(step.from); got != step.want {
			t.Errorf("from %s: status %d, want %d", step.from, got, step.want)
		}
	}
	for range maxPerPeer {
		c.leave(netip.MustParseAddr("192.0.2.1"))
	}
	if got := open("192.0.2.1"); got != 404 || c.refused.Load() != 3 {
		t.Errorf("after they left: status %d, %d refused; want 404 and 3", got, c.refused.Load())
	}
}

func TestCrowdForgets(t *testing.T) {
	c := newCrowd()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = c.watch
	server.Start()
	for range 5 {
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if c.Open() == 0 {
			t.Error("no connection was counted")
		}
		resp.Body.Close() // which closes the connection, too: not all of it was read
	}
	server.Close()
	if err := waitFor(t.Context(), func() bool { return c.Open() == 0 }); err != nil || len(c.by) != 0 {
		t.Errorf("%d connections of %v after the server ended", c.open, c.by)
	}
}

func TestPeerOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:1": "192.0.2.1", "[::1]:1": "::1",
		"[2001:db8::1]:1": "2001:db8::", "[2001:db8::2]:1": "2001:db8::", "[fe80::1%eth0]:1": "fe80::1%eth0", "@": "invalid IP",
	} {
		if got := peerOf(remote).String(); got != want {
			t.Errorf("%s is counted as %s, want %s", remote, got, want)
		}
	}
}

// TestSlowBodies sends requests whose bodies do not come, to a handler that reads
// them and to one that does not: the server reads those before the next request.
func TestSlowBodies(t *testing.T) {
	serve := func(within time.Duration) *httptest.Server {
		server := httptest.NewServer(hurried(within, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/read" {
				if _, err := io.ReadAll(r.Body); err != nil {
					http.Error(w, "cut off", http.StatusBadRequest)
					return
				}
				time.Sleep(within + 100*time.Millisecond) // its own time, which is not bounded
				if r.Context().Err() != nil {
					t.Error("a request was cancelled after its body had come")
				}
			}
		})))
		t.Cleanup(server.Close)
		return server
	}
	server := serve(200 * time.Millisecond)
	for _, path := range []string{"/read", "/unread"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na", path)
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: the connection is still open: %v", path, err)
		}
	}
	resp, err := http.Post(serve(2*time.Second).URL+"/read", "text/plain", strings.NewReader("whole")) // in which it surely comes
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("a body that comes: %v, %v", resp, err)
	}
	resp.Body.Close()
}

func TestRegistrationsArePaced(t *testing.T) {
	_, handler := unserved(t).gated()
	register := func(from string) int {
		r := httptest.NewRequest(http.MethodPost, registerPath, nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests && (w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "try again")) {
			t.Errorf("refused with %v %s", w.Header(), w.Body)
		}
		return w.Code
	}
	for i := range registrations + 1 {
		want := http.StatusUnauthorized // it has no token: the route of the agents was reached
		if i == registrations {
			want = http.StatusTooManyRequests
		}
		if got := register("192.0.2.1:1"); got != want {
			t.Fatalf("registration %d: %d, want %d", i+1, got, want)
		}
		if got := register("127.0.0.1:1"); got != http.StatusUnauthorized {
			t.Fatalf("registration %d of this host: %d", i+1, got)
		}
	}
	if got := register("192.0.2.2:1"); got != http.StatusUnauthorized {
		t.Errorf("another machine: %d", got)
	}
}
