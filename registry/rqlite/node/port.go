package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"dragonfly/registry/rqlite/node/trust"
)

// The first byte of a connection says what it is for. Two are rqlite's
// (cluster.MuxRaftHeader and cluster.MuxClusterHeader); the third is ours.
const (
	raftLane    byte = 1
	forwardLane byte = 2
	memberLane  byte = 3
)

// port is the cluster port of a member: mutual TLS for every byte of raft and of
// what the members ask each other, on one TCP port.
type port struct {
	folder   *trust.Folder
	listener net.Listener
	admit    trust.Admit
	join     func(*tls.Conn) // answers whoever wants to join
	log      *slog.Logger
	queue    *queue
	patience time.Duration // handshakeTimeout, but for tests

	mu     sync.Mutex
	closed bool
	lanes  map[byte]*lane
	open   map[net.Conn]link
	all    sync.WaitGroup
}

// link is what a connection is for.
type link struct {
	lane    byte
	id      string // of the member at the other end
	address string // that was dialled; empty for a connection that came in
}

func newPort(l net.Listener, f *trust.Folder, log *slog.Logger) *port {
	return &port{folder: f, listener: l, log: log, queue: newQueue(), patience: handshakeTimeout, lanes: map[byte]*lane{}, open: map[net.Conn]link{}}
}

// lane makes the part of the port that a first byte leads to, instead of the one
// before.
func (p *port) lane(header byte) *lane {
	l := &lane{port: p, header: header, conns: make(chan net.Conn), closed: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lanes[header] = l
	return l
}

// serve accepts connections until the port is closed.
func (p *port) serve() {
	cfg := p.folder.ServerConfig(p.admit)
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("accept on the cluster port", "err", err)
			time.Sleep(100 * time.Millisecond) // out of file descriptors, most likely
			continue
		}
		from := hostOf(conn.RemoteAddr())
		if !p.queue.enter(from, conn) {
			_ = conn.Close() // too many from there are not even known yet
			continue
		}
		p.all.Go(func() {
			defer p.queue.leave(from, conn)
			secure := tls.Server(conn, cfg)
			if !p.note(secure, link{}) || !p.receive(secure) {
				p.forget(secure)
				_ = secure.Close()
			}
		})
	}
}

// handshakeTimeout is how long the other end may take to say who it is and what
// for.
const handshakeTimeout = 5 * time.Second

// receive finds out who is there and passes the connection on; not ok when it is
// to be closed.
func (p *port) receive(conn *tls.Conn) bool {
	err := conn.SetDeadline(time.Now().Add(p.patience))
	if err == nil {
		err = conn.Handshake()
	}
	if err != nil {
		p.log.Debug("a connection to the cluster port was refused", "from", conn.RemoteAddr(), "err", err)
		return false
	}
	if trust.IsJoin(conn.ConnectionState()) {
		p.join(conn)
		return false
	}
	id, err := trust.PeerID(conn.ConnectionState())
	var header [1]byte
	if err == nil {
		_, err = conn.Read(header[:])
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	return err == nil && p.pass(conn, link{lane: header[0], id: id})
}

// pass hands a connection to its lane.
func (p *port) pass(conn net.Conn, to link) bool {
	p.mu.Lock()
	l := p.lanes[to.lane]
	p.mu.Unlock()
	if l == nil || !p.note(conn, to) {
		return false
	}
	select {
	case l.conns <- &tracked{conn, p}:
		return true
	case <-l.closed:
		return false
	}
}

// dial connects to the lane of the member at address.
func (p *port) dial(header byte, address string, timeout time.Duration) (net.Conn, error) {
	cfg, err := p.folder.ClientConfig(address, p.admit)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	raw, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := raw.(*tls.Conn) // that is what it makes
	id, err := trust.PeerID(conn.ConnectionState())
	if err == nil {
		err = greet(conn, header, timeout)
	}
	if err == nil {
		if p.note(conn, link{header, id, address}) {
			return &tracked{conn, p}, nil
		}
		err = net.ErrClosed
	}
	return nil, errors.Join(fmt.Errorf("dial %s: %w", address, err), conn.Close())
}

// greet says what the connection is for.
func greet(conn net.Conn, header byte, timeout time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{header}); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// note remembers what an open connection is for; not ok when the port is closed.
func (p *port) note(conn net.Conn, is link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.open[conn] = is
	return true
}

func (p *port) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

// cut closes the connections that which picks.
func (p *port) cut(which func(link) bool) {
	p.mu.Lock()
	var picked []net.Conn
	for conn, to := range p.open {
		if which(to) {
			picked = append(picked, conn)
			delete(p.open, conn)
		}
	}
	p.mu.Unlock()
	for _, conn := range picked {
		_ = conn.Close() // whoever uses it hears of it
	}
}

// close closes the port and every connection of it.
func (p *port) close() error {
	p.mu.Lock()
	p.closed = true
	lanes := p.lanes
	p.lanes = map[byte]*lane{}
	p.mu.Unlock()
	err := p.listener.Close()
	for _, l := range lanes {
		_ = l.Close() // never errs
	}
	p.cut(func(link) bool { return true })
	p.all.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// tracked is a connection that the port forgets when it is closed.
type tracked struct {
	net.Conn
	port *port
}

func (t *tracked) Close() error {
	t.port.forget(t.Conn)
	return t.Conn.Close()
}

// lane is one use of the port: a [net.Listener] that also dials, as rqlite wants
// it of a network.
type lane struct {
	port   *port
	header byte
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept waits for the next connection from a member.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; the port stays open. It may be called more than once.
func (l *lane) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address at which the other members reach this one.
func (l *lane) Addr() net.Addr { return memberAddr(l.port.folder.Member().Address) }

// Dial connects to the same lane of the member at address.
func (l *lane) Dial(address string, timeout time.Duration) (net.Conn, error) {
	return l.port.dial(l.header, address, timeout)
}

type memberAddr string

func (memberAddr) Network() string  { return "tcp" }
func (a memberAddr) String() string { return string(a) }

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}

// certificateOf is what the member at the other end of a connection of ours showed.
func certificateOf(conn net.Conn) *x509.Certificate {
	t, ok := conn.(*tracked)
	if !ok {
		return nil
	}
	secure, ok := t.Conn.(*tls.Conn)
	if !ok || len(secure.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	return secure.ConnectionState().PeerCertificates[0]
}
