package node

import (
	"log/slog"
	"net"
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
	isOpen := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		timeout, ok := err.(net.Error)
		return ok && timeout.Timeout()
	}
	if last := conns[len(conns)-1]; !isOpen(last) {
		t.Error("whoever comes last is not heard")
	}
	if isOpen(conns[0]) {
		t.Error("whoever has said nothing for longest is still heard")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if open := len(p.open); open > maxAllUnknown {
		t.Errorf("%d connections of strangers at once", open)
	}
}
