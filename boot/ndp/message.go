package ndp

import (
	"errors"
	"fmt"
	"net/netip"

	"dragonfly/registry"
)

// The ICMPv6 types and the one option that matter here (RFC 4861 sections 4.1,
// 4.2 and 4.6.1).
const (
	typeSolicitation  = 133
	typeAdvertisement = 134
	optSourceAddress  = 1
)

// hopLimit is that of every message of the protocol: one that passed a router has
// less (RFC 4861 section 6.1.1).
const hopLimit = 255

// Solicitation is a router solicitation: who asks, and the hardware address it
// gives as its own.
type Solicitation struct {
	From netip.Addr // link-local
	MAC  registry.MAC
}

// Parse reads an ICMPv6 message as it arrived, with its hop limit, and checks all
// that RFC 4861 section 6.1.1 asks for but the checksum, which the kernel has
// checked.
func Parse(message []byte, from netip.Addr, hops int) (Solicitation, error) {
	switch {
	case len(message) < 8:
		return Solicitation{}, fmt.Errorf("a solicitation of %d bytes: want at least 8", len(message))
	case message[0] != typeSolicitation || message[1] != 0:
		return Solicitation{}, fmt.Errorf("ICMPv6 type %d, code %d: not a router solicitation", message[0], message[1])
	case hops != hopLimit:
		return Solicitation{}, fmt.Errorf("hop limit %d: it came through a router", hops)
	case !from.IsLinkLocalUnicast():
		return Solicitation{}, fmt.Errorf("from %s: not a link-local address", from)
	}
	mac, err := sourceAddress(message[8:])
	return Solicitation{From: from, MAC: mac}, err
}

// sourceAddress is the value of the source link-layer address option.
func sourceAddress(options []byte) (mac registry.MAC, err error) {
	found := false
	for len(options) > 0 {
		size := 0
		if len(options) >= 2 {
			size = 8 * int(options[1])
		}
		if size == 0 || size > len(options) {
			return mac, errors.New("an option that does not fit")
		}
		if options[0] == optSourceAddress && size == 8 && !found {
			found = true
			copy(mac[:], options[2:])
		}
		options = options[size:]
	}
	if !found {
		return mac, errors.New("no source link-layer address")
	}
	return mac, nil
}

// nothing is the advertisement of a router that is none: hop limit, flags, router
// lifetime and both timers are 0, "unspecified by this router". The kernel fills
// in the checksum.
var nothing = [16]byte{typeAdvertisement}
