package node

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// solo is the raft network of a node without peers: nobody ever calls, and there
// is nobody to call.
type solo struct {
	once   sync.Once
	closed chan struct{}
}

func newSolo() *solo { return &solo{closed: make(chan struct{})} }

// Accept waits until the network is closed.
func (s *solo) Accept() (net.Conn, error) {
	<-s.closed
	return nil, net.ErrClosed
}

// Close ends Accept. It may be called more than once: rqlite does.
func (s *solo) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr is the same at every start, since raft writes it to its log.
func (s *solo) Addr() net.Addr { return soloAddr{} }

// Dial is for the other nodes of a cluster.
func (s *solo) Dial(address string, _ time.Duration) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s: this node has no peers", address)
}

type soloAddr struct{}

func (soloAddr) Network() string { return "memory" }
func (soloAddr) String() string  { return "solo:0" }
