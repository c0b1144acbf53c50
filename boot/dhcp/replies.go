package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// clientPort is where clients listen.
const clientPort = 68

// ListenReplies opens what hears the answers of other servers on an interface, as far
// as they are broadcast. It is a raw socket, which gets copies: a UDP socket on the
// clients' port would take the answers away from the DHCP client of this host. It takes
// the capability CAP_NET_RAW.
func ListenReplies(ifname string) (*net.IPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = errors.Join(onlyReplies(int(fd)), unix.BindToDevice(int(fd), ifname))
		})
		return errors.Join(err, failed)
	}}
	conn, err := config.ListenPacket(context.Background(), "ip4:udp", "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("listen to other DHCP servers on %s: %w", ifname, err)
	}
	return conn.(*net.IPConn), nil
}

// onlyReplies has the kernel drop every packet but those from a server's port to a
// client's: files that are sent to machines make a lot of others.
func onlyReplies(fd int) error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 6}, // no first fragment
		bpf.LoadMemShift{Off: 0},                                    // the length of the IP header
		bpf.LoadIndirect{Off: 0, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: relayPort, SkipTrue: 3},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: clientPort, SkipTrue: 1},
		bpf.RetConstant{Val: maxPacket},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

const udpHeader = 8

// listen hears the answers of other servers, until ctx ends.
func (s *Server) listen(ctx context.Context) error {
	packet := make([]byte, maxPacket)
	for {
		n, from, err := s.Replies.ReadFromIP(packet)
		if err != nil {
			if again := s.readFailed(ctx, s.Replies, err); !again {
				return endOf(ctx, err)
			}
			continue
		}
		if addr, ok := netip.AddrFromSlice(from.IP); ok {
			s.overhear(packet[:n], addr.Unmap(), time.Now())
		}
	}
}

// overhear takes in a UDP packet that came from an address. Our own come back, too.
func (s *Server) overhear(packet []byte, from netip.Addr, now time.Time) {
	if from == s.Self.Addr || len(packet) < udpHeader ||
		binary.BigEndian.Uint16(packet) != relayPort || binary.BigEndian.Uint16(packet[2:]) != clientPort {
		return
	}
	heard, err := ParseReply(packet[udpHeader:])
	if err != nil || heard.Server == s.Self.Addr {
		return
	}
	s.Watch.hear(heard, from, now)
}
