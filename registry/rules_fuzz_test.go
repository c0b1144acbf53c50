package registry

import (
	"strings"
	"testing"
)

// Whatever the pattern and the machine: no panic, every name is one, and numbers make
// others, or the search for a free one would not end.
func FuzzNamePattern(f *testing.F) {
	for _, seed := range [][3]string{{"rack1-{serial}", "SN-1", "Acme"}, {"{vendor}-{n:3}", "", "M"}, {"{n:9}{model}", "x/y", strings.Repeat("z", 90)},
		{"m", "", ""}, {"{", "}", "{n"}, {"{n}-{uuid}{mac}", "\xff", "\x00"}, {"a{serial}z", strings.Repeat("-", 70), "é"}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, pattern, serial, vendor string) {
		reg := Registration{MAC: MAC{2}, Hardware: Hardware{System: System{Serial: serial, Vendor: vendor, Product: vendor + serial}}}
		_, err := parseNamePattern(pattern)
		text, passedOver := fillName(pattern, reg)
		if err != nil && passedOver == "" {
			t.Fatalf("%q cannot be read (%v) and is filled in", pattern, err)
		}
		if passedOver != "" {
			return
		}
		seen := map[string]bool{}
		for _, n := range []int{1, 2, 9, 10, 99, 100, 12345, 123456789, 1 << 40} {
			name := text.at(n)
			if !validName(name) {
				t.Fatalf("%q of %+v: the name %d is %q", pattern, text, n, name)
			}
			seen[name] = true
			if !text.has(name) && len(text.before+text.after) < 40 { // nothing was cut
				t.Fatalf("%q: %q is not known again", pattern, name)
			}
		}
		if len(seen) < 7 { // a text that is cut may end like a number, and make a name twice
			t.Fatalf("%q of %+v: only the names %v", pattern, text, seen)
		}
	})
}
