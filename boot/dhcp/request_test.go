package dhcp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"dragonfly/boot"
)

// packet is a DISCOVER from 52:54:00:12:34:56 with the given options.
func packet(options ...string) []byte {
	p := make([]byte, atOptions)
	p[0], p[atHType], p[atHLen] = bootRequest, ethernet, 6
	copy(p[atXID:], "\x01\x02\x03\x04")
	copy(p[atCHAddr:], "\x52\x54\x00\x12\x34\x56")
	binary.BigEndian.PutUint32(p[atCookie:], cookie)
	return append(p, strings.Join(options, "")+"\xff"...)
}

// option is one option, in as many parts as value has.
func option(code byte, value ...string) string {
	var out string
	for _, part := range value {
		out += string([]byte{code, byte(len(part))}) + part
	}
	return out
}

const discover = "\x35\x01\x01"

func TestParseRefuses(t *testing.T) {
	change := func(at int, b byte) []byte {
		p := packet(discover)
		p[at] = b
		return p
	}
	overload := func(how string) []byte {
		p := packet(discover, option(optOverload, how))
		copy(p[atFile:], "\x3c\xff") // a vendor class of 255 bytes in a field of 128
		return p
	}
	for name, test := range map[string]struct {
		packet []byte
		want   error
	}{
		"nothing":               {nil, errShort},
		"one byte short":        {packet()[:atOptions-1], errShort},
		"a reply":               {change(0, bootReply), errNotAsked},
		"infiniband":            {change(atHType, 32), errHardware},
		"a long address":        {change(atHLen, 255), errHardware},
		"bootp":                 {change(atCookie, 0), errCookie},
		"multicast relay":       {change(atGIAddr, 224), errRelay},
		"broadcast relay":       {change(atGIAddr, 255), errRelay},
		"relay of no network":   {change(atGIAddr+3, 1), errRelay},
		"no options":            {packet(), errMessage},
		"message 0":             {packet(option(optMessage, "\x00")), errMessage},
		"message of two bytes":  {packet(option(optMessage, "\x01\x01")), errLength},
		"message twice":         {packet(discover, discover), errSplit},
		"server of three bytes": {packet(discover, option(optServerID, "abc")), errLength},
		"class in parts":        {packet(discover, option(optClass, "PXE", "Client")), errSplit},
		"relay in parts":        {packet(discover, option(optRelay, "a", "b")), errSplit},
		"option without length": {packet(discover)[:atOptions+1], errTruncated},
		"no end mark":           {packet(discover)[:atOptions+3], errNoEnd},
		"option cut off":        {append(packet()[:atOptions], "\x3c\x20PXEClient"...), errTruncated},
		"overload cut off":      {overload("\x01"), errTruncated},
		"overload in sname":     {packet(discover, option(optOverload, "\x03"), option(optOverload, "\x03")), errSplit},
		"overload of two bytes": {packet(discover, option(optOverload, "\x01\x01")), errLength},
	} {
		if _, err := Parse(test.packet); err != test.want {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestParseClient(t *testing.T) {
	const pxe, x64 = "\x3c\x09PXEClient", "\x5d\x02\x00\x07"
	for name, test := range map[string]struct {
		options []string
		kind    boot.Kind
		arch    boot.Arch
		ipxe    boot.Features
	}{
		"firmware":                {[]string{pxe, x64}, boot.PXE, boot.UEFIX64, 0},
		"class with arch":         {[]string{option(optClass, "PXEClient:Arch:00011:UNDI:003000")}, boot.PXE, boot.UEFIARM64, 0},
		"option 93 goes first":    {[]string{option(optClass, "PXEClient:Arch:00011:UNDI:003000"), x64}, boot.PXE, boot.UEFIX64, 0},
		"the first of two archs":  {[]string{pxe, option(optArch, "\x00\x07\x00\x06")}, boot.PXE, boot.UEFIX64, 0},
		"no arch":                 {[]string{pxe}, boot.PXE, noArch, 0},
		"arch of one byte":        {[]string{pxe, option(optArch, "\x07")}, boot.PXE, noArch, 0},
		"arch that is no number":  {[]string{option(optClass, "PXEClient:Arch:0x007")}, boot.PXE, noArch, 0},
		"arch above 16 bits":      {[]string{option(optClass, "PXEClient:Arch:65543")}, boot.PXE, noArch, 0},
		"class cut in the number": {[]string{option(optClass, "PXEClient:Arch:0000")}, boot.PXE, noArch, 0},
		"http boot":               {[]string{option(optClass, "HTTPClient:Arch:00016:UNDI:003000")}, boot.HTTPBoot, boot.HTTPX64, 0},
		"user class":              {[]string{pxe, x64, option(optUserClass, "iPXE")}, boot.IPXE, boot.UEFIX64, 0},
		"user class of RFC 3004":  {[]string{pxe, x64, option(optUserClass, "\x04iPXE")}, boot.IPXE, boot.UEFIX64, 0},
		"another user class":      {[]string{pxe, x64, option(optUserClass, "iPXE!")}, boot.PXE, boot.UEFIX64, 0},
		"features":                {[]string{pxe, x64, option(optIPXE, "\x13\x01\x01\x14\x01\x01")}, boot.IPXE, boot.UEFIX64, boot.HTTP | 1<<0x14},
		"a feature that is off":   {[]string{pxe, x64, option(optIPXE, "\x13\x01\x00")}, boot.IPXE, boot.UEFIX64, 0},
		"features cut off":        {[]string{pxe, x64, option(optIPXE, "\x14\x01\x01\x13\x09\x01")}, boot.IPXE, boot.UEFIX64, 1 << 0x14},
		"features of high number": {[]string{pxe, x64, option(optIPXE, "\xeb\x03\x01\x00\x00\x53\x01\x01")}, boot.IPXE, boot.UEFIX64, 0},
		"our agent":               {[]string{option(optClass, "dragonfly-agent")}, boot.Other, noArch, 0},
		"no class":                {nil, boot.Other, noArch, 0},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := Parse(packet(slices.Insert(test.options, 0, discover)...))
			if err != nil {
				t.Fatal(err)
			}
			if c := req.Client; c.Kind != test.kind || c.Arch != test.arch || c.IPXE != test.ipxe {
				t.Errorf("got %s, %s, features %#x", c.Kind, c.Arch, uint64(c.IPXE))
			}
		})
	}
}

func TestParseOverload(t *testing.T) {
	p := packet(option(optOverload, "\x03"), discover)
	copy(p[atFile:], option(optClass, "PXEClient")+"\xff")
	copy(p[atSName:], option(optArch, "\x00\x0b")+"\xff")
	req, err := Parse(p)
	if err != nil || req.Client.Kind != boot.PXE || req.Client.Arch != boot.UEFIARM64 {
		t.Errorf("got %+v, %v; want the class of the file field and the architecture of sname", req.Client, err)
	}
}

// FuzzParse holds the parser against insomniacslk/dhcp. What both accept they
// understand alike, and whatever is accepted can be answered.
func FuzzParse(f *testing.F) {
	for _, p := range packets(f) {
		f.Add(p)
	}
	f.Add(packet(discover, option(optClass, "PXE", "Client")))
	f.Add(append(packet(discover), make([]byte, 64<<10)...))
	f.Fuzz(func(t *testing.T, packet []byte) {
		Describe(packet)
		req, err := Parse(packet)
		if err != nil {
			return
		}
		offer := boot.Decide(req.Client, boot.Policy{})
		reply, err := dhcpv4.FromBytes(Reply(nil, &req, offer, self))
		if err != nil {
			t.Fatalf("the reply cannot be read: %v", err)
		}
		if len(Reply(nil, &req, offer, self)) > MaxReply {
			t.Error("the reply is longer than MaxReply")
		}
		oracle, err := dhcpv4.FromBytes(packet)
		if err != nil || oracle.Options.Has(dhcpv4.OptionOptionOverload) {
			if err != nil {
				t.Fatalf("accepted what the library refuses: %v", err)
			}
			return // the library does not follow option 52
		}
		compare(t, &req, oracle)
		if reply.TransactionID != oracle.TransactionID || reply.ClientHWAddr.String() != req.Client.MAC.String() {
			t.Error("the reply is for somebody else")
		}
	})
}

func compare(t *testing.T, req *Request, oracle *dhcpv4.DHCPv4) {
	t.Helper()
	class := oracle.ClassIdentifier()
	user := oracle.Options.Get(dhcpv4.OptionUserClassInformation)
	ipxe := isIPXE(user) || oracle.Options.Has(dhcpv4.GenericOptionCode(optIPXE))
	kind := boot.Other
	switch {
	case ipxe:
		kind = boot.IPXE
	case strings.HasPrefix(class, "PXEClient"):
		kind = boot.PXE
	case strings.HasPrefix(class, "HTTPClient"):
		kind = boot.HTTPBoot
	}
	server, _ := netip.AddrFromSlice(oracle.ServerIdentifier().To4())
	relay, _ := netip.AddrFromSlice(oracle.GatewayIPAddr.To4())
	for what, equal := range map[string]bool{
		"message":   byte(req.Message) == byte(oracle.MessageType()),
		"mac":       req.Client.MAC.String() == oracle.ClientHWAddr.String(),
		"xid":       req.XID == binary.BigEndian.Uint32(oracle.TransactionID[:]),
		"broadcast": req.Client.Broadcast == oracle.IsBroadcast(),
		"relay":     req.Relay == relay,
		"server":    req.ServerID == server,
		"kind":      req.Client.Kind == kind,
		"guid":      string(req.GUID) == string(oracle.Options.Get(dhcpv4.OptionClientMachineIdentifier)),
		"agent":     string(req.Agent) == string(oracle.Options.Get(dhcpv4.OptionRelayAgentInformation)),
	} {
		if !equal {
			t.Errorf("%s: understood differently: %+v, the library has\n%s", what, req, oracle.Summary())
		}
	}
	if archs := oracle.ClientArch(); len(archs) > 0 && uint16(archs[0]) != uint16(req.Client.Arch) {
		t.Errorf("arch: got %d, the library has %d", req.Client.Arch, archs[0])
	}
}
