package dhcp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dragonfly/boot"
	"dragonfly/registry"
)

// Field is one field of a packet in words.
type Field struct {
	Name   string
	Option int    // option number (RFC 2132); 0 for the fixed part
	Value  string // for people
}

// Describe reads a packet, field by field, in its order. Fields that are empty
// are left out; a packet that is cut off ends with a field that says so.
func Describe(packet []byte) []Field {
	if len(packet) < atOptions {
		return []Field{{Name: "packet", Value: errShort.Error()}}
	}
	fields := describeHead(packet)
	o := options{rest: packet[atOptions:]}
	for code, value := range o.all {
		fields = append(fields, Field{Name: optionName(code), Option: int(code), Value: optionValue(code, value)})
	}
	if o.err != nil {
		fields = append(fields, Field{Name: "packet", Value: o.err.Error()})
	}
	return fields
}

func describeHead(packet []byte) []Field {
	addr := func(at int) string { return netip.AddrFrom4([4]byte(packet[at:])).String() }
	text := func(from, to int) string {
		s, _, _ := strings.Cut(string(packet[from:to]), "\x00")
		return s
	}
	fields := []Field{
		{Name: "transaction", Value: fmt.Sprintf("0x%08x", binary.BigEndian.Uint32(packet[atXID:]))},
		{Name: "client address (ciaddr)", Value: addr(atCIAddr)},
		{Name: "offered address (yiaddr)", Value: addr(atYIAddr)},
		{Name: "boot server (siaddr)", Value: addr(atSIAddr)},
		{Name: "relay (giaddr)", Value: addr(atGIAddr)},
		{Name: "client hardware address", Value: registry.MAC(packet[atCHAddr:]).String()},
		{Name: "server name (sname)", Value: printable(text(atSName, atFile))},
		{Name: "boot file (file)", Value: printable(text(atFile, atCookie))},
	}
	return slices.DeleteFunc(fields, func(f Field) bool { return f.Value == "" || f.Value == "0.0.0.0" })
}

func optionName(code byte) string {
	switch code {
	case optVendor:
		return "vendor options (PXE)"
	case optMessage:
		return "message type"
	case optServerID:
		return "server"
	case optClass:
		return "vendor class"
	case optBootFile:
		return "boot file"
	case optUserClass:
		return "user class"
	case optRelay:
		return "relay agent information"
	case optArch:
		return "architecture"
	case optGUID:
		return "client GUID"
	case optIPXE:
		return "iPXE options"
	}
	return "option"
}

func optionValue(code byte, value []byte) string {
	switch {
	case code == optMessage && len(value) == 1:
		return Message(value[0]).String()
	case code == optServerID && len(value) == 4:
		return netip.AddrFrom4([4]byte(value)).String()
	case code == optArch && len(value) >= 2:
		return boot.Arch(binary.BigEndian.Uint16(value)).String()
	case code == optGUID && len(value) == 17:
		return fmt.Sprintf("%x-%x-%x-%x-%x", value[1:5], value[5:7], value[7:9], value[9:11], value[11:])
	case code == optVendor && string(value) == string(pxeUseFile):
		return "discovery control 8: load the boot file of this answer, look for no other server"
	case code == optClass || code == optBootFile || code == optUserClass:
		return printable(string(value))
	}
	return hex.EncodeToString(value)
}

// String names the message as RFC 2131 does.
func (m Message) String() string {
	switch m {
	case Discover:
		return "DISCOVER"
	case Offer:
		return "OFFER"
	case Ask:
		return "REQUEST"
	case Ack:
		return "ACK"
	case Inform:
		return "INFORM"
	}
	return fmt.Sprintf("message %d", byte(m))
}

// printable is s, quoted where it holds what a terminal should not be sent.
func printable(s string) string {
	if quoted := fmt.Sprintf("%q", s); quoted[1:len(quoted)-1] != s {
		return quoted
	}
	return s
}
