package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// The ports of the two services.
const (
	proxyDHCPPort = 67
	binlPort      = 4011
)

// Sockets are the two open sockets of one network.
type Sockets struct {
	ProxyDHCP, BINL *net.UDPConn
}

// Listen opens UDP ports 67 and 4011 on one interface. That takes root, or the
// capabilities CAP_NET_BIND_SERVICE and CAP_NET_RAW. A port that is taken is an
// error that names it and wraps [syscall.EADDRINUSE].
func Listen(ifname string) (Sockets, error) {
	proxy, err := listen(ifname, proxyDHCPPort)
	if err != nil {
		return Sockets{}, err
	}
	binl, err := listen(ifname, binlPort)
	if err != nil {
		return Sockets{}, errors.Join(err, proxy.Close())
	}
	return Sockets{proxy, binl}, nil
}

// Close closes both sockets.
func (s Sockets) Close() {
	s.ProxyDHCP.Close()
	s.BINL.Close()
}

// listen binds to the interface and to no address: a broadcast would not reach a
// socket that has one.
func listen(ifname string, port uint16) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return prepare(raw, ifname)
	}}
	conn, err := config.ListenPacket(context.Background(), "udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP port %d of %s: %w", port, ifname, err)
	}
	return conn.(*net.UDPConn), nil
}

// prepare sets the options before the bind. SO_REUSEADDR lets another DHCP
// server that sets it too live on the same host.
func prepare(raw syscall.RawConn, ifname string) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.BindToDevice(int(fd), ifname))
	})
	return errors.Join(err, failed)
}

// sourceAddress is the control message that makes our answers come from addr,
// also where the interface has several addresses: clients compare it with
// option 54.
func sourceAddress(addr netip.Addr) []byte {
	return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: addr.As4()})
}
