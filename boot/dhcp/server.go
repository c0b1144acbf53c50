package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"dragonfly/boot"
	"dragonfly/registry"
)

// Server answers the boot clients of one network. Its fields are set before
// [Server.Serve] and not changed after.
type Server struct {
	Sockets Sockets
	Self    Self
	Policy  boot.Policy
	// Sight is told of every answer; it must not block. May be nil.
	Sight func(registry.Sighting)
	// Answered is told of every client that was answered; it must not block. May
	// be nil.
	Answered func(boot.Client)
	Log      *slog.Logger
	Stats    Stats
	// Replies hears the answers of other servers; see [ListenReplies]. May be nil: then
	// they are known only by what clients say.
	Replies *net.IPConn
	// Watch is the other servers of the network.
	Watch Watch
	// Client is where clients without an address are answered. The zero value is
	// 255.255.255.255:68; tests on loopback have no broadcast.
	Client netip.AddrPort

	recent recent
	probed atomic.Pointer[time.Time]
}

// Recent are the last requests of clients, the newest first: of boot clients, and of
// some of the others.
func (s *Server) Recent() []Asked { return s.recent.all() }

// maxPacket is the longest UDP packet.
const maxPacket = 64 << 10

// relayPort is where relays and servers listen.
const relayPort = 67

// Serve answers until ctx ends, when it returns nil, or until a socket is lost.
// It closes the sockets. There is one goroutine for each of them, and neither of those
// that answer allocates, looks anything up or formats anything for a packet.
func (s *Server) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	group.Go(func() error { return s.serve(ctx, s.Sockets.ProxyDHCP, ProxyDHCP) })
	group.Go(func() error { return s.serve(ctx, s.Sockets.BINL, BINL) })
	if s.Replies != nil {
		group.Go(func() error { return s.listen(ctx) })
	}
	return group.Wait()
}

func (s *Server) close() {
	s.Sockets.Close()
	if s.Replies != nil {
		s.Replies.Close()
	}
}

func (s *Server) serve(ctx context.Context, conn *net.UDPConn, via Service) error {
	packet, desk := make([]byte, maxPacket), &desk{space: make([]byte, 0, MaxReply)}
	source := sourceAddress(s.Self.Addr)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(packet)
		if err != nil {
			if again := s.readFailed(ctx, conn, err); !again {
				return endOf(ctx, err)
			}
			continue
		}
		reply, to, ok := s.answer(desk, packet[:n], arrival{via, from})
		if !ok {
			continue
		}
		if _, _, err := conn.WriteMsgUDPAddrPort(reply, source, to); err != nil {
			s.Stats.counts[Failed].Add(1)
			s.Log.Warn("answer to a boot client was not sent", "to", to, "err", err)
		}
	}
}

// arrival is how a packet came in.
type arrival struct {
	via  Service
	from netip.AddrPort
}

// desk is what one goroutine writes answers on.
type desk struct {
	space  []byte // of length 0 and capacity MaxReply
	memory memory
}

// answer is the reply to packet, written on the desk, and where it goes; ok is
// false where there is none.
func (s *Server) answer(desk *desk, packet []byte, in arrival) (reply []byte, to netip.AddrPort, ok bool) {
	req, err := Parse(packet)
	if err != nil {
		s.Stats.counts[Malformed].Add(1)
		s.debugMalformed(in, err)
		return nil, to, false
	}
	offer, outcome := desk.memory.judge(&req, in, s)
	s.Stats.counts[outcome].Add(1)
	s.note(&req, in.via, offer, outcome)
	s.debug(&req, offer, outcome)
	if outcome != Offered && outcome != Acked {
		return nil, to, false
	}
	to = s.destination(&req, in)
	s.sight(&req, offer, to)
	if s.Answered != nil {
		s.Answered(req.Client)
	}
	return Reply(desk.space, &req, offer, s.Self), to, true
}

// note keeps what was asked and what became of it; and of a client that takes the
// offer of another server, that this one is there.
func (s *Server) note(req *Request, via Service, offer boot.Offer, outcome Outcome) {
	switch outcome {
	case Probed:
	case NotAsked:
		if req.Message == Ask && req.ServerID.IsValid() && req.ServerID != s.Self.Addr {
			s.Watch.choose(req.ServerID, req.Client.MAC, time.Now())
		}
	default:
		s.recent.note(Asked{At: time.Now(), MAC: req.Client.MAC, Kind: req.Client.Kind, Arch: req.Client.Arch, Via: via,
			Outcome: outcome, Rule: offer.Rule, Times: 1})
	}
}

// destination is where the answer goes.
func (s *Server) destination(req *Request, in arrival) netip.AddrPort {
	if req.Relay.IsValid() && !req.Relay.IsUnspecified() {
		return netip.AddrPortFrom(req.Relay, relayPort)
	}
	// On port 4011 a client has an address already, and OVMF asks and listens on
	// 4011 where iPXE uses 68: whichever it asked from.
	if in.via == BINL && !in.from.Addr().IsUnspecified() {
		return in.from
	}
	if s.Client.IsValid() {
		return s.Client
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 68)
}

func (s *Server) sight(req *Request, offer boot.Offer, to netip.AddrPort) {
	if s.Sight != nil {
		s.Sight(registry.Sighting{At: time.Now(), MAC: req.Client.MAC, Remote: to.Addr(),
			Stage: registry.StageDHCP, Detail: offer.Rule})
	}
}

// debug logs a packet. The level is asked first: formatting costs more than
// answering.
func (s *Server) debug(req *Request, offer boot.Offer, outcome Outcome) {
	if s.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.Log.Debug("dhcp packet", "mac", req.Client.MAC, "arch", req.Client.Arch, "xid", req.XID,
			"kind", req.Client.Kind, "outcome", outcome, "rule", offer.Rule)
	}
}

func (s *Server) debugMalformed(in arrival, err error) {
	if s.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.Log.Debug("dhcp packet", "from", in.from, "outcome", Malformed, "err", err)
	}
}

// readFailed reports whether reading may be tried again: an interface that goes
// down fails one read and works again when it comes back.
func (s *Server) readFailed(ctx context.Context, conn net.PacketConn, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	s.Stats.counts[Failed].Add(1)
	s.Log.Warn("boot clients were not heard", "on", conn.LocalAddr(), "err", err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Second):
		return true
	}
}

// endOf is nil where ctx ended the server, and the loss of the socket otherwise.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("read dhcp packets: %w", err)
}
