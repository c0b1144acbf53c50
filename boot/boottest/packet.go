package boottest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"dragonfly/boot"
)

// Answer is what a ROM takes from a reply.
type Answer struct {
	Server netip.Addr
	File   string // name or URL; empty where the client is to ask on port 4011
}

// patience is how long a ROM waits for one answer, on a host that is busy, too.
const patience = 20 * time.Second

// Discover sends a DISCOVER and reads the OFFER.
func (r ROM) Discover(ctx context.Context) (Answer, error) {
	packet, err := r.packet(dhcpv4.MessageTypeDiscover)
	if err != nil {
		return Answer{}, err
	}
	return r.exchange(ctx, packet, r.DHCP)
}

// Request sends a REQUEST to port 4011 and reads the ACK.
func (r ROM) Request(ctx context.Context) (Answer, error) {
	packet, err := r.packet(dhcpv4.MessageTypeRequest)
	if err != nil {
		return Answer{}, err
	}
	packet.ClientIPAddr = r.Local.Addr().AsSlice()
	return r.exchange(ctx, packet, r.BINL)
}

// packet is what the ROM sends: the options of section 3.1 of the PXE
// specification, and those of iPXE.
func (r ROM) packet(kind dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	p, err := dhcpv4.New(
		dhcpv4.WithHwAddr(r.MAC[:]),
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptClientArch(iana.Arch(r.Arch))),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 0})),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, r.guid())),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(r.class()+fmt.Sprintf(":Arch:%05d:UNDI:003000", r.Arch))),
	)
	if err != nil {
		return nil, fmt.Errorf("make a packet: %w", err)
	}
	if r.Kind == boot.IPXE {
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")))
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(175), r.features()))
	}
	if r.broadcast {
		p.SetBroadcast()
	}
	if r.Relay.IsValid() {
		p.GatewayIPAddr, p.HopCount = r.Relay.AsSlice(), 1
		p.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, []byte("\x01\x04eth7")))
	}
	return p, nil
}

func (r ROM) class() string {
	if r.Kind == boot.HTTPBoot {
		return "HTTPClient"
	}
	return "PXEClient"
}

func (r ROM) guid() []byte { return append([]byte{0}, r.UUID[:]...) }

// features is the value of option 175: the version 1.0.0 and a flag for each feature.
func (r ROM) features() []byte {
	value := []byte{235, 3, 1, 0, 0}
	for code := range byte(64) {
		if r.Features.Has(1 << code) {
			value = append(value, code, 1, 1)
		}
	}
	return value
}

// exchange sends p to a server and waits for its answer, which ends with ctx.
func (r ROM) exchange(ctx context.Context, p *dhcpv4.DHCPv4, to netip.AddrPort) (Answer, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(r.Local))
	if err != nil {
		return Answer{}, fmt.Errorf("open the card: %w", err)
	}
	defer conn.Close()
	if _, err := conn.WriteToUDPAddrPort(p.ToBytes(), to); err != nil {
		return Answer{}, fmt.Errorf("send to %s: %w", to, err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	buffer := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return Answer{}, errors.Join(ctx.Err(), fmt.Errorf("no answer from %s: %w", to, err))
		}
		reply, err := dhcpv4.FromBytes(buffer[:n])
		if err == nil && reply.TransactionID == p.TransactionID {
			return r.check(p, reply)
		}
	}
}

// check holds a reply against everything that some firmware insists on.
func (r ROM) check(p, reply *dhcpv4.DHCPv4) (Answer, error) {
	want := dhcpv4.MessageTypeOffer
	if p.MessageType() != dhcpv4.MessageTypeDiscover {
		want = dhcpv4.MessageTypeAck
	}
	control := reply.Options.Get(dhcpv4.OptionVendorSpecificInformation)
	relay := dhcpv4.OptionRelayAgentInformation
	file := reply.BootFileName
	if option := reply.Options.Get(dhcpv4.OptionBootfileName); option != nil {
		file = string(option)
	}
	for _, rule := range []struct {
		broken bool
		say    string
	}{
		{reply.OpCode != dhcpv4.OpcodeBootReply, "is not a reply"},
		{reply.MessageType() != want, fmt.Sprintf("is %s, not %s", reply.MessageType(), want)},
		{!bytes.Equal(reply.ClientHWAddr, r.MAC[:]), "is for another card"},
		{!reply.YourIPAddr.IsUnspecified(), "gives out an address"},
		{!reply.ServerIPAddr.Equal(reply.ServerIdentifier()), "names two servers (siaddr and option 54)"},
		{reply.ClassIdentifier() != r.class(), fmt.Sprintf("has vendor class %q", reply.ClassIdentifier())},
		{!bytes.Equal(reply.Options.Get(dhcpv4.OptionClientMachineIdentifier), r.guid()), "does not echo option 97"},
		{!bytes.Equal(reply.Options.Get(relay), p.Options.Get(relay)), "does not echo option 82"},
		{reply.HopCount != p.HopCount || !reply.GatewayIPAddr.Equal(p.GatewayIPAddr), "loses the relay"},
		{reply.IsBroadcast() != p.IsBroadcast(), "does not keep the broadcast flag"},
		{control != nil && file == "", "says to use the boot file and has none (PXE-E21)"},
	} {
		if rule.broken {
			return Answer{}, errors.New("the answer " + rule.say)
		}
	}
	server, _ := netip.AddrFromSlice(reply.ServerIdentifier().To4())
	return Answer{server, file}, nil
}
