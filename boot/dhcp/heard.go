package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"dragonfly/registry"
)

// Heard is what another server told a client: an OFFER, or an ACK.
type Heard struct {
	Message Message
	Client  registry.MAC
	Server  netip.Addr // option 54; the zero Addr where it names none
	Gives   netip.Addr // yiaddr: the address that the client may have; 0.0.0.0 where none is given
	File    string     // boot file, printable; empty where it names none
	Boots   bool       // it tells boot clients what to load, or says it is a server for them (option 60)
}

var errNotReply = errors.New("not a reply (BOOTP op 2)")

// maxFile bounds what is kept of a boot file's name.
const maxFile = 128

// ParseReply reads what a server sent to a client.
func ParseReply(packet []byte) (Heard, error) {
	switch {
	case len(packet) < atOptions:
		return Heard{}, errShort
	case packet[0] != bootReply:
		return Heard{}, errNotReply
	case packet[atHType] != ethernet || packet[atHLen] != 6:
		return Heard{}, errHardware
	case binary.BigEndian.Uint32(packet[atCookie:]) != cookie:
		return Heard{}, errCookie
	}
	h := Heard{Client: [6]byte(packet[atCHAddr:]), Gives: netip.AddrFrom4([4]byte(packet[atYIAddr:]))}
	var overload byte
	o := options{rest: packet[atOptions:]}
	for code, value := range o.all {
		if err := h.option(code, value, &overload); err != nil {
			return Heard{}, err
		}
	}
	if o.err != nil {
		return Heard{}, o.err
	}
	if h.Message != Offer && h.Message != Ack {
		return Heard{}, errMessage
	}
	if h.File == "" && overload&1 == 0 { // else the field has options in it
		h.File = fileName(packet[atFile:atCookie])
	}
	h.Boots = h.Boots || h.File != ""
	return h, nil
}

func (h *Heard) option(code byte, value []byte, overload *byte) error {
	switch code {
	case optOverload:
		return one(value, overload)
	case optMessage:
		return one(value, (*byte)(&h.Message))
	case optServerID:
		if len(value) != 4 {
			return errLength
		}
		h.Server = netip.AddrFrom4([4]byte(value))
	case optBootFile:
		h.File = fileName(value)
	case optClass: // a server answers boot clients in their own class
		h.Boots = bytes.HasPrefix(value, classPXE) || bytes.HasPrefix(value, classHTTP)
	}
	return nil
}

// fileName is a name as it can be shown: up to its NUL, and of a sensible length.
func fileName(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return printable(string(b[:min(len(b), maxFile)]))
}
