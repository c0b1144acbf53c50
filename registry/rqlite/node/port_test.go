package node

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"dragonfly/registry/rqlite/node/trust"
)

// TestStrangersAreFewInAll has more addresses connect than there are files for, of which
// none says who it is.
func TestStrangersAreFewInAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := trust.Found(t.TempDir(), "a", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(l, folder, slog.New(slog.DiscardHandler))
	p.patience = time.Hour // so that one that is closed made room
	go p.serve()
	t.Cleanup(func() { _ = p.close() })
	const each = 8
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			_ = c.Close()
		}
	})
	for n := range maxAllUnknown/each + 20 {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
		for range each {
			conn, err := from.DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
	}
	for n, c := range conns[:len(conns)-maxAllUnknown] {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("stranger %d has said nothing for longest, and is still heard", n)
		}
	}
	last := conns[len(conns)-1]
	_ = last.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("whoever comes last is not heard: %v", err)
	}
	open := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.open)
	}
	for end := time.Now().Add(time.Minute); open() > maxAllUnknown; time.Sleep(time.Millisecond) { // those that were closed go a little later
		if time.Now().After(end) {
			t.Fatalf("%d connections of strangers at once", open())
		}
	}
}
