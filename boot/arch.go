package boot

import (
	"fmt"
	"slices"
	"strings"

	"dragonfly/registry"
)

// Arch is what a client says its processor and firmware are: DHCP option 93
// (RFC 4578 section 2.1), numbered by the IANA registry "Processor Architecture
// Types".
type Arch uint16

// The architectures that Dragonfly can boot.
const (
	BIOS     Arch = 0
	UEFIIA32 Arch = 6
	UEFIX64  Arch = 7
	// UEFIX64Spec is x86-64 as RFC 4578 printed it. Its erratum swapped 7 and 9
	// (EFI byte code), but firmware that follows the printed text sends 9.
	UEFIX64Spec Arch = 9
	UEFIARM64   Arch = 11
	HTTPIA32    Arch = 15
	HTTPX64     Arch = 16
	HTTPARM64   Arch = 19
)

// profile is everything that follows from an architecture.
type profile struct {
	arch    Arch
	name    string // on the command line and in URLs
	kind    Kind   // what its firmware is: PXE or HTTPBoot
	cpu     string // whose kernel and agent it runs, as GOARCH names it
	program string // the network boot program, as Debian's ipxe package names it; empty where there is none
	rule    string // what its firmware is offered, and why
}

// profiles is the one table of architectures. Debian builds no 32-bit UEFI iPXE:
// such firmware is known, so that it can be told why it is left alone. TFTP is slow
// and lock-step, which is why x86-64 loads snponly.efi (285 kB) and not
// ipxe-amd64.efi (997 kB); it also drives the card through the firmware, which
// has just shown that it can.
var profiles = [...]profile{
	{BIOS, "bios", PXE, "amd64", "undionly.kpxe", "BIOS firmware without iPXE: load undionly.kpxe by TFTP"},
	{UEFIIA32, "uefi-ia32", PXE, "amd64", "", noIA32},
	{UEFIX64, "uefi-x64", PXE, "amd64", "snponly.efi", "UEFI x86-64 firmware without iPXE: load snponly.efi by TFTP"},
	{UEFIX64Spec, "uefi-x64", PXE, "amd64", "snponly.efi", "UEFI x86-64 firmware without iPXE: load snponly.efi by TFTP"},
	{UEFIARM64, "uefi-arm64", PXE, "arm64", "ipxe-arm64.efi", "UEFI arm64 firmware without iPXE: load ipxe-arm64.efi by TFTP"},
	{HTTPIA32, "http-ia32", HTTPBoot, "amd64", "", noIA32},
	{HTTPX64, "http-x64", HTTPBoot, "amd64", "snponly.efi", "UEFI x86-64 HTTP Boot firmware: load snponly.efi by HTTP"},
	{HTTPARM64, "http-arm64", HTTPBoot, "arm64", "ipxe-arm64.efi", "UEFI arm64 HTTP Boot firmware: load ipxe-arm64.efi by HTTP"},
}

const noIA32 = "32-bit UEFI firmware: there is no boot program for it, left alone"

// unknown is the profile of an architecture that is not in the table.
var unknown = profile{}

// profile is the row of the table for a. It points into the table, since every
// packet asks.
func (a Arch) profile() *profile {
	for i := range profiles {
		if profiles[i].arch == a {
			return &profiles[i]
		}
	}
	return &unknown
}

// Arches lists the architectures that Dragonfly can boot.
func Arches() []Arch {
	var all []Arch
	for _, p := range profiles {
		all = append(all, p.arch)
	}
	return all
}

// Known reports whether Dragonfly can boot the architecture.
func (a Arch) Known() bool { return a.profile().name != "" }

// String is the name for people and the command line, such as "uefi-x64", or
// "arch-27" for one that is not known.
func (a Arch) String() string {
	if p := a.profile(); p.name != "" {
		return p.name
	}
	return fmt.Sprintf("arch-%d", uint16(a))
}

// Firmware is the kind of client that the architecture's firmware is: PXE or
// HTTPBoot; [Other] for an unknown architecture.
func (a Arch) Firmware() Kind { return a.profile().kind }

// CPU is the processor whose kernel and agent the machine runs: "amd64" or
// "arm64"; empty for an unknown architecture.
func (a Arch) CPU() string { return a.profile().cpu }

// Program is the file name of the network boot program for the architecture's
// firmware; empty where there is none.
func (a Arch) Program() string { return a.profile().program }

// ParseArch reads the name of an architecture, such as "bios" or "http-arm64".
// The error for a wrong name lists the right ones and suggests one that is close.
func ParseArch(s string) (Arch, error) {
	var names []string
	for _, p := range profiles {
		if p.name == s {
			return p.arch, nil
		}
		if !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	err := fmt.Errorf("architecture %.40q: want one of %s", s, strings.Join(names, ", "))
	if near := registry.Nearest(s, names); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return 0, err
}
