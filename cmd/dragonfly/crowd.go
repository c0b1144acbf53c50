package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-chi/httprate"
	"golang.org/x/sys/unix"

	"dragonfly/registry/api"
)

// What one host on the network may take of this one. A machine needs three
// connections at most; a proxy in front of the UI needs the most.
const (
	maxPerPeer    = 256
	bodyWithin    = 30 * time.Second // a request's body has to be here
	stalledFor    = 3 * time.Minute  // without the peer taking any byte that it asked for
	registrations = 30               // per minute and address; each may be a quarter of a megabyte
)

// crowd bounds the connections of HTTP: whoever opens more than their share is
// turned away, and files stay openable for the database and the boot services. This
// host itself is always let in, so that an operator on it can look.
type crowd struct {
	total   int // of all peers
	each    int // of one
	refused atomic.Uint64

	mu   sync.Mutex
	open int
	by   map[netip.Addr]int
}

// newCrowd leaves half of the file descriptors to others: a connection that loads a
// file takes two.
func newCrowd() *crowd {
	total := 512
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		total = max(total, int(min(limit.Cur, 1<<20))/2)
	}
	return &crowd{total: total, each: maxPerPeer, by: map[netip.Addr]int{}}
}

// Open is the number of connections.
func (c *crowd) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// watch is an [http.Server.ConnState].
func (c *crowd) watch(conn net.Conn, state http.ConnState) {
	addr := peerOf(conn.RemoteAddr().String())
	switch state {
	case http.StateNew:
		if !c.enter(addr) && !addr.IsLoopback() {
			c.refused.Add(1)
			turnAway(conn)
		}
	case http.StateClosed, http.StateHijacked:
		c.leave(addr)
	}
}

// enter counts a connection in, and reports whether it is within the bounds.
func (c *crowd) enter(addr netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.by[addr]++
	return c.by[addr] <= c.each && c.open <= c.total
}

func (c *crowd) leave(addr netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.by[addr]--; c.by[addr] == 0 {
		delete(c.by, addr)
	}
}

// turnAway answers before the request is read and closes. The few bytes fit into
// the socket's buffer, so nothing waits.
func turnAway(conn net.Conn) {
	const why = "too many connections from your address, or in all; close some, or try again in a moment\n"
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n"+
		"Connection: close\r\nContent-Length: "+strconv.Itoa(len(why))+"\r\n\r\n"+why)
	_ = conn.Close()
}

// peerOf is the address that a connection is counted under. A host has a whole /64
// of IPv6, but on its own link every host has its place in the same one.
func peerOf(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	if addr.Is4() || addr.IsLinkLocalUnicast() || addr.IsLoopback() {
		return addr
	}
	prefix, _ := addr.Prefix(64)
	return prefix.Addr()
}

// impatient opens sockets whose connections end when the peer takes nothing for
// [stalledFor]; those that are accepted inherit it. A server without a limit on
// answers, which may be long, would hold them for ever.
var impatient = net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stalledFor.Milliseconds()))
	})
	return errors.Join(err, failed)
}}

func listenImpatiently(addr string) (net.Listener, error) {
	return impatient.Listen(context.Background(), "tcp", addr)
}

// hurried gives the body of a request that time to arrive. A handler that takes
// more, such as an upload, sets a read deadline of its own. w is not wrapped: files
// leave by sendfile.
func hurried(within time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			if control.SetReadDeadline(time.Now().Add(within)) == nil { // a test's writer has none
				r.Body = &timedBody{r.Body, control}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody takes the deadline away once the body is there: what follows is the
// handler's time.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read is part of [io.Reader].
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// paced bounds the registrations of one host: each is kept for ever, and a boot
// token is to be had for the asking.
func paced(next http.Handler) http.Handler {
	limited := httprate.LimitBy(registrations, time.Minute, peer, httprate.WithLimitHandler(func(w http.ResponseWriter, _ *http.Request) {
		api.WriteProblem(w, http.StatusTooManyRequests, fmt.Sprintf("more than %d registrations in a minute from one address; try again in a minute", registrations))
	}))(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == registerPath && !peerOf(r.RemoteAddr).IsLoopback() {
			limited.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// registerPath is the route of package api that [paced] bounds; a test holds the
// two together.
const registerPath = "/api/v1/agent/register"
