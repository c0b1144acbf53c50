package registry

import (
	"errors"
	"fmt"
)

// MAC is a 48-bit Ethernet hardware address (IEEE 802 EUI-48). It is a value:
// comparable, a map key, and free of allocations on the packet path.
type MAC [6]byte

// errMAC says what a hardware address has to look like.
var errMAC = errors.New("want six hexadecimal bytes such as 52:54:00:12:34:56")

// ParseMAC reads a unicast hardware address with ":" or "-" between the bytes,
// or none, in either case. The zero, broadcast and multicast addresses name no
// machine and are refused.
func ParseMAC(s string) (MAC, error) {
	var mac MAC
	step, between := 2, byte(0) // from one byte to the next, and what is there
	if len(s) == 17 && (s[2] == ':' || s[2] == '-') {
		step, between = 3, s[2]
	} else if len(s) != 12 {
		return mac, fmt.Errorf("hardware address %.40q: %w", s, errMAC)
	}
	for i := range mac {
		hi, lo := nibble(s[step*i]), nibble(s[step*i+1])
		if hi < 0 || lo < 0 || step == 3 && i > 0 && s[step*i-1] != between {
			return MAC{}, fmt.Errorf("hardware address %.40q: %w", s, errMAC)
		}
		mac[i] = byte(hi<<4 | lo)
	}
	if !mac.Unicast() {
		return MAC{}, fmt.Errorf("hardware address %q: a machine's address is unicast and not zero", s)
	}
	return mac, nil
}

func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Unicast reports whether the address can belong to one machine: the group bit
// (IEEE 802, the lowest of the first byte) is clear and it is not all zero.
func (m MAC) Unicast() bool { return m[0]&1 == 0 && m != MAC{} }

// String is the lower-case form with colons, 17 characters.
func (m MAC) String() string {
	const digits = "0123456789abcdef"
	var b [17]byte
	for i, v := range m {
		b[3*i], b[3*i+1] = digits[v>>4], digits[v&15]
		if i < 5 {
			b[3*i+2] = ':'
		}
	}
	return string(b[:])
}

// MarshalText is [MAC.String]; the zero address is the empty text.
func (m MAC) MarshalText() ([]byte, error) {
	if m == (MAC{}) {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText is [ParseMAC]; the empty text is the zero address.
func (m *MAC) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*m = MAC{}
		return nil
	}
	*m, err = ParseMAC(string(text))
	return err
}
