package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"dragonfly/boot"
)

// Message is a DHCP message type (RFC 2132 section 9.6).
type Message byte

// The messages that are read or written here.
const (
	Discover Message = 1
	Offer    Message = 2
	Ask      Message = 3 // DHCPREQUEST
	Ack      Message = 5
	Inform   Message = 8
)

// Request is a view of a client's packet: its slices point into the bytes that
// were parsed and are good for as long as those.
type Request struct {
	Message  Message
	Hops     byte
	XID      uint32
	Flags    uint16
	Client   boot.Client
	Address  netip.Addr // ciaddr: the address the client has; 0.0.0.0 before it has one
	Relay    netip.Addr // giaddr: the relay that sent it on; 0.0.0.0 where none did
	ServerID netip.Addr // the server it is meant for; the zero Addr where it names none
	GUID     []byte     // option 97 as sent, to be echoed; nil where absent
	Agent    []byte     // option 82 as the relay sent it, to be echoed; nil where absent
	Probe    bool       // a server of our kind looks for others; see [Server.Probe]
}

// Offsets into the fixed part of a packet (RFC 2131 section 2).
const (
	atHType   = 1
	atHLen    = 2
	atHops    = 3
	atXID     = 4
	atFlags   = 10
	atCIAddr  = 12
	atYIAddr  = 16
	atSIAddr  = 20
	atGIAddr  = 24
	atCHAddr  = 28
	atSName   = 44
	atFile    = 108
	atCookie  = 236
	atOptions = 240

	bootRequest, bootReply = 1, 2
	ethernet               = 1          // htype
	cookie                 = 0x63825363 // RFC 2131 section 3
	flagBroadcast          = 0x8000
)

var (
	errShort    = errors.New("shorter than the fixed 240 bytes of a DHCP packet")
	errNotAsked = errors.New("not a request (BOOTP op 1)")
	errHardware = errors.New("not from an Ethernet card with a 6 byte address")
	errCookie   = errors.New("no DHCP magic cookie: plain BOOTP or something else")
	errMessage  = errors.New("no valid message type (option 53)")
	errRelay    = errors.New("a relay address (giaddr) that no relay can have")
	errLength   = errors.New("an option has a length that it cannot have")
)

// Parse reads a packet of up to 64 KiB. It accepts exactly what can be answered
// and says what is wrong with the rest. An options field that is continued in
// the file and sname fields (option 52) is followed there.
func Parse(packet []byte) (Request, error) {
	switch {
	case len(packet) < atOptions:
		return Request{}, errShort
	case packet[0] != bootRequest:
		return Request{}, errNotAsked
	case packet[atHType] != ethernet || packet[atHLen] != 6:
		return Request{}, errHardware
	case binary.BigEndian.Uint32(packet[atCookie:]) != cookie:
		return Request{}, errCookie
	}
	p := parser{Request: Request{
		Hops:    packet[atHops],
		XID:     binary.BigEndian.Uint32(packet[atXID:]),
		Flags:   binary.BigEndian.Uint16(packet[atFlags:]),
		Address: netip.AddrFrom4([4]byte(packet[atCIAddr:])),
		Relay:   netip.AddrFrom4([4]byte(packet[atGIAddr:])),
	}}
	if !canRelay(p.Relay) {
		return Request{}, errRelay
	}
	p.Client.MAC = [6]byte(packet[atCHAddr:])
	p.Client.Broadcast = p.Flags&flagBroadcast != 0
	if err := p.fields(packet); err != nil {
		return Request{}, err
	}
	if p.Message == 0 {
		return Request{}, errMessage
	}
	p.settle()
	return p.Request, nil
}

// canRelay reports whether an answer may go to a relay at a. Anybody can write
// anything there: what is not one host's address would make us a megaphone.
func canRelay(a netip.Addr) bool {
	first := a.As4()[0]
	return a.IsUnspecified() || first > 0 && first < 224 // multicast, reserved, broadcast
}

// parser is a request while it is read.
type parser struct {
	Request
	seen     codes
	overload byte
	arch     []byte
	class    []byte
	ipxe     bool
}

// fields reads the options, and then those in file and sname if option 52 says
// that there are any (RFC 2131 section 4.1 has this order).
func (p *parser) fields(packet []byte) error {
	if err := p.field(packet[atOptions:]); err != nil {
		return err
	}
	if p.overload&1 != 0 {
		if err := p.field(packet[atFile:atCookie]); err != nil {
			return err
		}
	}
	if p.overload&2 != 0 {
		return p.field(packet[atSName:atFile])
	}
	return nil
}

func (p *parser) field(b []byte) error {
	o := options{rest: b}
	for code, value := range o.all {
		if err := p.option(code, value); err != nil {
			return err
		}
	}
	if len(o.rest) == 0 {
		return errNoEnd
	}
	return o.err
}

// option takes one option. One that matters may not come in parts: read as if
// whole it would be misread.
func (p *parser) option(code byte, value []byte) error {
	if matters(code) && !p.seen.add(code) {
		return errSplit
	}
	switch code {
	case optOverload:
		return one(value, &p.overload)
	case optMessage:
		return one(value, (*byte)(&p.Message))
	case optServerID:
		if len(value) != 4 {
			return errLength
		}
		p.ServerID = netip.AddrFrom4([4]byte(value))
	case optClass:
		p.class = value
	case optArch:
		p.arch = value
	case optUserClass:
		p.ipxe = p.ipxe || isIPXE(value)
		p.Probe = string(value) == probeUser
	case optIPXE:
		p.ipxe = true
		p.Client.IPXE = features(value)
	case optGUID:
		p.GUID = value
	case optRelay:
		p.Agent = value
	}
	return nil
}

func matters(code byte) bool {
	switch code {
	case optOverload, optMessage, optServerID, optClass, optUserClass, optRelay, optArch, optGUID, optIPXE:
		return true
	}
	return false
}

func one(value []byte, into *byte) error {
	if len(value) != 1 {
		return errLength
	}
	*into = value[0]
	return nil
}

// isIPXE recognises iPXE's user class: the bare text that it sends, and the
// length-prefixed form that RFC 3004 asks for.
func isIPXE(class []byte) bool {
	return string(class) == "iPXE" || string(class) == "\x04iPXE"
}

// features reads the sub-options of option 175. A feature is a sub-option with a
// value other than 0; what is not well-formed ends the list.
func features(value []byte) (f boot.Features) {
	o := options{rest: value}
	for code, v := range o.all {
		if code < 64 && slices.ContainsFunc(v, nonZero) {
			f |= 1 << code
		}
	}
	return f
}

func nonZero(b byte) bool { return b != 0 }

var (
	classPXE  = []byte("PXEClient")
	classHTTP = []byte("HTTPClient")
)

// settle draws from the options together what none of them says alone. Vendor
// classes are matched by prefix: iPXE sends a bare "PXEClient" in its DISCOVER
// and "PXEClient:Arch:00000:UNDI:002001" on port 4011.
func (p *parser) settle() {
	c := &p.Client
	switch {
	case p.ipxe:
		c.Kind = boot.IPXE
	case bytes.HasPrefix(p.class, classPXE):
		c.Kind = boot.PXE
	case bytes.HasPrefix(p.class, classHTTP):
		c.Kind = boot.HTTPBoot
	}
	c.Arch = archOf(p.arch, p.class)
	if len(p.GUID) == 17 && p.GUID[0] == 0 { // type 0 is the only one RFC 4578 section 2.3 knows
		c.UUID = [16]byte(p.GUID[1:])
	}
}

// noArch is an architecture that nobody has.
const noArch boot.Arch = 0xffff

// archOf is the first architecture in option 93, or else the one in the vendor
// class, "PXEClient:Arch:xxxxx:...", for ROMs from before RFC 4578.
func archOf(option, class []byte) boot.Arch {
	if len(option) >= 2 {
		return boot.Arch(binary.BigEndian.Uint16(option))
	}
	_, text, _ := bytes.Cut(class, []byte(":Arch:"))
	if len(text) < 5 {
		return noArch
	}
	var n uint32
	for _, digit := range text[:5] {
		if digit < '0' || digit > '9' {
			return noArch
		}
		n = n*10 + uint32(digit-'0')
	}
	return boot.Arch(min(n, uint32(noArch)))
}
