package dhcp

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"dragonfly/boot"
)

// Self is how a client reaches us on the network where it asked.
type Self struct {
	Addr     netip.Addr // our IPv4 address there
	HTTPPort uint16     // where /boot/ is served
}

// MaxReply bounds the bytes of a reply: the fixed part, the longest URL, and a
// GUID and relay option of full length.
const MaxReply = 1024

// pxeUseFile is option 43: PXE_DISCOVERY_CONTROL (6) with bit 3, "use the boot
// file of this offer and do not look for boot servers", and its end mark.
var pxeUseFile = []byte{6, 1, 8, 255}

// Reply appends to dst the answer to req: an OFFER to a DISCOVER, an ACK to
// anything else. It allocates nothing where dst has room for [MaxReply] bytes.
func Reply(dst []byte, req *Request, offer boot.Offer, self Self) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, atOptions)...)
	head := dst[start:]
	fill(head, req, self)

	var space [256]byte
	file := appendBootFile(space[:0], req, offer, self)
	// A name that fills the field would leave no room for its NUL.
	if len(file) < atCookie-atFile {
		copy(head[atFile:atCookie], file)
	}

	message := Ack
	if req.Message == Discover {
		message = Offer
	}
	server := self.Addr.As4()
	dst = append(dst, optMessage, 1, byte(message))
	dst = appendOption(dst, optServerID, server[:])
	if offer.Serve == boot.ProgramByHTTP {
		dst = appendOption(dst, optClass, classHTTP)
	} else {
		dst = appendOption(dst, optClass, classPXE)
	}
	// Only ever together with a file: OVMF takes control 8 without one as a refusal
	// and stops with PXE-E21, "Remote boot cancelled".
	if offer.Serve == boot.ProgramByTFTP {
		dst = appendOption(dst, optVendor, pxeUseFile)
	} else {
		dst = appendOption(dst, optBootFile, file)
	}
	return finish(dst, start, req)
}

// fill writes the fixed part. There is no address in it for the client: that is
// the business of the site's own DHCP server.
func fill(head []byte, req *Request, self Self) {
	head[0], head[atHType], head[atHLen], head[atHops] = bootReply, ethernet, 6, req.Hops
	binary.BigEndian.PutUint32(head[atXID:], req.XID)
	binary.BigEndian.PutUint16(head[atFlags:], req.Flags)
	if req.Message != Discover { // RFC 2131 table 3: an ACK repeats the client's address
		put(head[atCIAddr:], req.Address)
	}
	put(head[atSIAddr:], self.Addr)
	put(head[atGIAddr:], req.Relay)
	copy(head[atCHAddr:], req.Client.MAC[:])
	binary.BigEndian.PutUint32(head[atCookie:], cookie)
}

// put writes an address; one that is not IPv4 stays 0.0.0.0.
func put(b []byte, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		copy(b, v[:])
	}
}

// finish echoes what has to be echoed and ends the options.
func finish(dst []byte, start int, req *Request) []byte {
	if req.GUID != nil { // a ROM may drop an answer that is not for its GUID
		dst = appendOption(dst, optGUID, req.GUID)
	}
	if req.Agent != nil { // RFC 3046 section 2.2: the last option
		dst = appendOption(dst, optRelay, req.Agent)
	}
	dst = append(dst, optEnd)
	// RFC 1542 section 2.1: some ROMs and relays drop what is shorter than BOOTP's
	// 300 bytes.
	for len(dst)-start < 300 {
		dst = append(dst, optPad)
	}
	return dst
}

func appendOption(dst []byte, code byte, value []byte) []byte {
	dst = append(dst, code, byte(len(value)))
	return append(dst, value...)
}

// appendBootFile appends the name or URL of what is offered. HTTP Boot firmware
// and iPXE want a full URL.
func appendBootFile(dst []byte, req *Request, offer boot.Offer, self Self) []byte {
	switch offer.Serve {
	case boot.ProgramByTFTP:
		return append(dst, offer.Program...)
	case boot.ProgramByHTTP:
		dst = append(appendBase(dst, self), boot.ProgramPath("")...)
		return append(dst, offer.Program...)
	case boot.Script:
		return boot.AppendScriptPath(appendBase(dst, self), req.Client.MAC, req.Client.Arch)
	}
	return dst
}

func appendBase(dst []byte, self Self) []byte {
	dst = self.Addr.AppendTo(append(dst, "http://"...))
	return strconv.AppendUint(append(dst, ':'), uint64(self.HTTPPort), 10)
}
