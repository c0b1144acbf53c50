package ndp

import (
	"sync/atomic"
	"time"

	"dragonfly/registry"
)

// recent is which machines were expected lately, and when. It is bounded, takes no
// lock and may forget: machines that share a slot push each other out, and then
// one of them waits its four seconds.
//
// A slot is an address in the upper 48 bits and the time in the lower 16, in
// seconds, which wrap after 18 hours.
type recent [256]atomic.Uint64

// expectFor is how long after its DHCP answer an iPXE may ask: it sends its
// solicitations within four seconds, and starts them again with each card it tries.
const expectFor = 30 // seconds

func (r *recent) note(mac registry.MAC, now time.Time) {
	r[mac[5]].Store(slot(mac, now))
}

func (r *recent) has(mac registry.MAC, now time.Time) bool {
	kept, asked := r[mac[5]].Load(), slot(mac, now)
	return kept>>16 == asked>>16 && uint16(asked)-uint16(kept) < expectFor
}

func slot(mac registry.MAC, at time.Time) uint64 {
	packed := uint64(0)
	for _, b := range mac {
		packed = packed<<8 | uint64(b)
	}
	return packed<<16 | uint64(uint16(at.Unix()))
}
