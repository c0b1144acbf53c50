package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"dragonfly/registry"
)

const (
	probeClass = "PXEClient:Arch:00007:UNDI:003016" // UEFI on x86-64, of which there is most
	probeUser  = "dragonfly-probe"                  // by which servers of our kind know it

	// probeFor is how long answers are waited for: ISC's dhcpd first looks for a
	// second whether the address is free.
	probeFor   = 4 * time.Second
	probeEvery = 10 * time.Second
)

// ErrProbed is returned where all were asked a moment ago.
var ErrProbed = errors.New("the servers of this network were asked a few seconds ago; wait a little")

// Probe asks which other servers answer on this network, by one DISCOVER as firmware
// sends it, and waits for their answers, which [Server.Watch] has then. Nobody gives out
// an address for it: a server keeps the one that it offers back for a minute or two, and
// no REQUEST follows. mac is that of our card. Those that do not answer are marked.
func (s *Server) Probe(ctx context.Context, mac registry.MAC) error {
	now := time.Now()
	last := s.probed.Load()
	if last != nil && now.Sub(*last) < probeEvery || !s.probed.CompareAndSwap(last, &now) {
		return ErrProbed
	}
	if err := s.ask(mac); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(probeFor):
	}
	s.Watch.asked(now)
	return nil
}

// ask sends the question.
func (s *Server) ask(mac registry.MAC) error {
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), relayPort)
	_, _, err := s.Sockets.ProxyDHCP.WriteMsgUDPAddrPort(probe(mac, rand.Uint32()), sourceAddress(s.Self.Addr), to)
	if err != nil {
		return fmt.Errorf("ask the servers of the network: %w", err)
	}
	return nil
}

// probe is the DISCOVER, of which the answers are broadcast.
func probe(mac registry.MAC, xid uint32) []byte {
	p := make([]byte, atOptions)
	p[0], p[atHType], p[atHLen] = bootRequest, ethernet, 6
	binary.BigEndian.PutUint32(p[atXID:], xid)
	binary.BigEndian.PutUint16(p[atFlags:], flagBroadcast)
	copy(p[atCHAddr:], mac[:])
	binary.BigEndian.PutUint32(p[atCookie:], cookie)
	p = appendOption(p, optMessage, []byte{byte(Discover)})
	p = appendOption(p, optWanted, []byte{1, 3, optVendor, optServerID, optClass, optServerName, optBootFile})
	p = appendOption(p, optClass, []byte(probeClass))
	p = appendOption(p, optUserClass, []byte(probeUser))
	p = appendOption(p, optArch, []byte{0, 7})
	p = appendOption(p, optUNDI, []byte{1, 3, 16})
	p = append(p, optEnd)
	return append(p, make([]byte, max(0, 300-len(p)))...) // see [finish]
}
