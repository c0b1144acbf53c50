package ndp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"dragonfly/registry"
)

// Server answers the router solicitations of expected machines on one network.
// Its fields are set before [Server.Serve] and not changed after.
type Server struct {
	Socket *Socket
	Log    *slog.Logger
	Stats  Stats
	recent recent
}

// Stats counts solicitations. It is safe for concurrent use.
type Stats struct {
	Answered atomic.Uint64
	Ignored  atomic.Uint64 // of machines that nobody expects, and what is no solicitation
	Failed   atomic.Uint64 // the answer could not be sent, or the socket could not be read
}

// Expect says that the iPXE with this address was given its boot file now. It
// neither blocks nor allocates, and is safe for concurrent use.
func (s *Server) Expect(mac registry.MAC) { s.recent.note(mac, time.Now()) }

// maxMessage is the longest message that is read; the rest of a longer one is lost,
// and with it an option that does not fit.
const maxMessage = 1500

// Serve answers until ctx ends, when it returns nil, or until the socket is lost.
// It closes the socket.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.Socket.Close() })
	defer stop()
	message := make([]byte, maxMessage)
	for {
		n, control, from, err := s.Socket.conn.ReadFrom(message)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !s.readFailed(ctx, err) {
				return fmt.Errorf("read router solicitations: %w", err)
			}
			continue
		}
		s.answer(message[:n], control, from)
	}
}

// answer tells an expected machine that there is no router.
func (s *Server) answer(message []byte, control *ipv6.ControlMessage, from net.Addr) {
	asked, err := s.judge(message, control, from, time.Now())
	if err != nil {
		s.Stats.Ignored.Add(1)
		s.Log.Debug("router solicitation", "from", from, "err", err)
		return
	}
	if _, err := s.Socket.conn.WriteTo(nothing[:], nil, from); err != nil {
		s.Stats.Failed.Add(1)
		s.Log.Debug("answer to a router solicitation was not sent", "mac", asked.MAC, "err", err)
		return
	}
	s.Stats.Answered.Add(1)
	s.Log.Debug("router solicitation", "mac", asked.MAC, "answer", "there is no router")
}

// judge is the solicitation that is to be answered, or why it is not.
func (s *Server) judge(message []byte, control *ipv6.ControlMessage, from net.Addr, now time.Time) (Solicitation, error) {
	hops := 0
	if control != nil {
		hops = control.HopLimit
	}
	ip, ok := from.(*net.IPAddr)
	if !ok {
		return Solicitation{}, fmt.Errorf("from %v: not an IP address", from)
	}
	addr, _ := netip.AddrFromSlice(ip.IP) // the zero value is not link-local
	asked, err := Parse(message, addr, hops)
	if err == nil && !s.recent.has(asked.MAC, now) {
		err = fmt.Errorf("%s is not an iPXE that was just given its boot file", asked.MAC)
	}
	return asked, err
}

// readFailed reports whether reading may be tried again: an interface that goes
// down fails one read and works again when it comes back.
func (s *Server) readFailed(ctx context.Context, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	s.Stats.Failed.Add(1)
	s.Log.Warn("router solicitations were not heard", "err", err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Second):
		return true
	}
}

// Socket hears the router solicitations of one network.
type Socket struct{ conn *ipv6.PacketConn }

// Listen opens a raw ICMPv6 socket on one interface and joins the routers' group
// (ff02::2). That takes root, or the capability CAP_NET_RAW, and IPv6, which a
// host may have switched off.
func Listen(ifname string) (*Socket, error) {
	nic, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("listen for router solicitations on %s: %w", ifname, err)
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), ifname) })
		return errors.Join(err, failed)
	}}
	raw, err := config.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("listen for router solicitations on %s: %w", ifname, err)
	}
	conn := ipv6.NewPacketConn(raw)
	if err := prepare(conn, nic); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for router solicitations on %s: %w", ifname, err), conn.Close())
	}
	return &Socket{conn}, nil
}

func prepare(conn *ipv6.PacketConn, nic *net.Interface) error {
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterSolicitation)
	return errors.Join(
		conn.SetICMPFilter(&only),
		conn.SetControlMessage(ipv6.FlagHopLimit, true),
		conn.SetHopLimit(hopLimit),
		conn.JoinGroup(nic, &net.IPAddr{IP: net.IPv6linklocalallrouters}))
}

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }
