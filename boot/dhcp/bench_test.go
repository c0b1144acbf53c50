package dhcp

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"dragonfly/boot"
)

// BenchmarkAnswer is the pure path: parse, decide, reply.
func BenchmarkAnswer(b *testing.B) {
	packet, space := packets(b)["ovmf-pxe-discover"], make([]byte, 0, MaxReply)
	b.ReportAllocs()
	for b.Loop() {
		req, err := Parse(packet)
		if err != nil {
			b.Fatal(err)
		}
		offer, _ := Judge(&req, ProxyDHCP, self.Addr, boot.Policy{})
		Reply(space, &req, offer, self)
	}
}

// BenchmarkServerAnswer is all that the server does with a packet between
// reading and sending it.
func BenchmarkServerAnswer(b *testing.B) {
	packet, server, desk := packets(b)["ovmf-pxe-discover"], newServer(), newDesk()
	b.ReportAllocs()
	for b.Loop() {
		server.answer(desk, packet, arrival{via: ProxyDHCP})
	}
}

// BenchmarkOracle is the same answer by way of insomniacslk/dhcp.
func BenchmarkOracle(b *testing.B) {
	packet, addr := packets(b)["ovmf-pxe-discover"], self.Addr.AsSlice()
	b.ReportAllocs()
	for b.Loop() {
		req, err := dhcpv4.FromBytes(packet)
		if err != nil {
			b.Fatal(err)
		}
		reply, err := dhcpv4.NewReplyFromRequest(req,
			dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
			dhcpv4.WithServerIP(addr),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(addr)),
			dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient")),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, pxeUseFile)),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, req.Options.Get(dhcpv4.OptionClientMachineIdentifier))),
		)
		if err != nil {
			b.Fatal(err)
		}
		reply.BootFileName = boot.UEFIX64.Program()
		reply.ToBytes()
	}
}
