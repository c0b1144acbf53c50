package boot

import "dragonfly/registry"

// Client is what a machine said about itself when it asked for a boot file.
type Client struct {
	MAC  registry.MAC
	UUID [16]byte // as SMBIOS stores it (option 97); zero where it was not sent
	Kind Kind
	Arch Arch
	IPXE Features // what an iPXE can do; 0 for firmware
	// Broadcast is the BOOTP broadcast flag. iPXE sets it where its card already
	// has an IPv4 address, which is when it was loaded over the network and took
	// over the lease of the firmware; an iPXE in a card's ROM starts without.
	Broadcast bool
	// Loads is how often it was given a program as an iPXE in the last minutes. A
	// packet does not say that: the server that saw the earlier ones does.
	Loads int
}

// Kind is the sort of client.
type Kind uint8

// The kinds of clients.
const (
	Other    Kind = iota // not a network boot client
	PXE                  // firmware's PXE, which loads by TFTP (vendor class "PXEClient")
	HTTPBoot             // UEFI HTTP Boot (vendor class "HTTPClient")
	IPXE                 // iPXE, in a ROM or loaded by us
)

// String names the kind for people.
func (k Kind) String() string {
	return [...]string{"other", "PXE firmware", "UEFI HTTP Boot firmware", "iPXE", "unknown"}[min(k, IPXE+1)]
}

// Features are the feature flags of an iPXE: bit n stands for sub-option n of
// DHCP option 175 (iPXE's src/include/ipxe/features.h).
//
// The version in sub-option 235 is of no use: Debian's builds of 2019 and of
// 2025 both say 1.0.0. What a build can do is what tells builds apart.
type Features uint64

// HTTP is the feature that decides: without it iPXE cannot fetch its script.
const HTTP Features = 1 << 0x13

// Has reports whether every feature of want is there.
func (f Features) Has(want Features) bool { return f&want == want }
