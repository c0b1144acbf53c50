package registry

import (
	"testing"
	"time"
)

// TestInventedAddressesArePacedTogether has a stranger boot without end as a thousand
// machines: a week of that is less than the million events that are kept, and machines
// that have registered are followed as ever.
func TestInventedAddressesArePacedTogether(t *testing.T) {
	p, now, kept := newPace(), time.Unix(1_800_000_000, 0), 0
	ours, steps := MAC{0x52, 0x54, 0, 0, 0, 1}, 0
	for at := range 7 * 24 * 60 {
		for n := range 1000 {
			for range 2 {
				if p.allow(MAC{0x0a, 0, 0, 0, byte(n >> 8), byte(n)}, now, false) {
					kept++
				}
			}
		}
		if at%10 == 0 && p.allow(ours, now, true) {
			steps++
		}
		now = now.Add(time.Minute)
	}
	if kept > 1_000_000 {
		t.Errorf("%d steps of strangers in a week", kept)
	}
	if steps != 7*24*6 {
		t.Errorf("%d steps of a machine that is ours", steps)
	}
	fresh := newPace()
	for n := range 1000 { // a hall is switched on
		for step := range 12 {
			if !fresh.allow(MAC{0x0a, 0, 0, 0, byte(n >> 8), byte(n)}, now, false) {
				t.Fatalf("step %d of machine %d is not kept", step, n)
			}
		}
	}
}
