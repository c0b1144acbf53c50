package registry

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"boot", "data-dir", "host", "port", "log-level", "X-MAC-Address", "machine", "json", "bios"}
	for word, want := range map[string]string{
		"datadir": "data-dir", "Port": "port", "hots": "host", "prt": "port", "loglevel": "log-level",
		"hpst": "host", "x-mac-addres": "X-MAC-Address", "prot": "port", "mach": "machine", "mahcine": "machine", "data": "data-dir",
		"foo": "", "jsn": "json", "abcd": "",
		"": "", "x": "", "entirely-different": "", strings.Repeat("a", 1<<20): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}
