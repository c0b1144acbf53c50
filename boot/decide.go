package boot

import (
	"fmt"

	"dragonfly/registry"
)

// Policy is what the operator may choose about boot offers. The zero value is
// the default.
type Policy struct {
	IPXEROM IPXEROM
}

// IPXEROM says what becomes of an iPXE that a machine has in its ROM.
type IPXEROM string

// The choices for an iPXE in ROM.
const (
	// UseROM sends a ROM that speaks HTTP straight to the script, which saves a
	// download and several seconds. Empty means the same.
	UseROM IPXEROM = "use"
	// ReplaceROM loads our program over any ROM, for cards with a faulty one.
	ReplaceROM IPXEROM = "replace"
)

// ParseIPXEROM reads "use" or "replace".
func ParseIPXEROM(s string) (IPXEROM, error) {
	switch p := IPXEROM(s); p {
	case UseROM, ReplaceROM:
		return p, nil
	}
	return "", fmt.Errorf("policy for iPXE ROMs %.40q: want %q or %q", s, UseROM, ReplaceROM)
}

// Serve is how an offer is served.
type Serve uint8

// The ways to serve an offer.
const (
	Nothing       Serve = iota // the client gets no answer
	ProgramByTFTP              // Offer.Program by TFTP
	ProgramByHTTP              // Offer.Program by HTTP, at [ProgramPath]
	Script                     // the iPXE script, at [AppendScriptPath]
)

// Offer is what a client is given, or why it is given nothing.
type Offer struct {
	Serve   Serve
	Program string // file name of the network boot program; empty for a script
	Rule    string // the rule that decided, in words
}

// Decide says what c is offered. It keeps no memory and allocates nothing.
func Decide(c Client, p Policy) Offer {
	switch {
	case c.Kind == Other:
		return Offer{Rule: "not a network boot client: left alone"}
	case !c.MAC.Unicast():
		return Offer{Rule: "a hardware address that no machine can have: left alone"}
	case !c.Arch.Known():
		return Offer{Rule: "an architecture that Dragonfly has no boot program for: left alone"}
	case c.Kind == IPXE:
		return decideIPXE(c, p)
	case c.Arch.Program() == "":
		return Offer{Rule: c.Arch.profile().rule}
	case c.Kind == HTTPBoot:
		return Offer{ProgramByHTTP, c.Arch.Program(), c.Arch.profile().rule}
	}
	return Offer{ProgramByTFTP, c.Arch.Program(), c.Arch.profile().rule}
}

// maxLoads is how often an iPXE is given a program within minutes. Once is
// enough, but a machine may also have been restarted in between.
const maxLoads = 3

// decideIPXE gives an iPXE its script, or our program in its place. What is one
// of our programs already must not be given a program again: it shows that by the
// broadcast flag. Where a card's PXE stack does not hand its lease on, that flag
// is missing, and counting ends the loop.
func decideIPXE(c Client, p Policy) Offer {
	capable, programless := c.IPXE.Has(HTTP), c.Arch.Program() == ""
	loaded := c.Broadcast || c.Loads >= maxLoads
	switch {
	case !capable && loaded:
		return Offer{Rule: "iPXE that was loaded over the network and speaks no HTTP: another program would not help, left alone"}
	case !capable && programless:
		return Offer{Rule: c.Arch.profile().rule}
	case !capable:
		return Offer{ProgramByTFTP, c.Arch.Program(), "iPXE in ROM that speaks no HTTP: load our iPXE by TFTP"}
	case p.IPXEROM == ReplaceROM && !loaded && !programless:
		return Offer{ProgramByTFTP, c.Arch.Program(), "iPXE in ROM, to be replaced by policy: load our iPXE by TFTP"}
	}
	return Offer{Serve: Script, Rule: "iPXE that speaks HTTP: fetch the machine's script"}
}

// ProgramPath is the URL path of a network boot program.
func ProgramPath(name string) string { return "/boot/nbp/" + name }

// AppendScriptPath appends the URL path and query of the script for a machine,
// such as /boot/52-54-00-12-34-56/auto.ipxe?arch=uefi-x64. It allocates nothing
// where dst has room for 64 bytes more.
func AppendScriptPath(dst []byte, mac registry.MAC, arch Arch) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, "/boot/"...)
	for i, b := range mac {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	dst = append(dst, "/auto.ipxe?arch="...)
	return append(dst, arch.String()...)
}
