package rqlite

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// Hardware is stored as printable text, whether it was worth compressing or not; what
// packing does to it is tested where it is packed.
func TestHardwareIsStoredAsText(t *testing.T) {
	for _, name := range []string{"Debian", strings.Repeat("Debian, ", 1000)} {
		want := registry.Hardware{OSFound: []registry.OSFound{{Disk: "sda", Name: name}}}
		data, err := packed.Pack(want)
		stored := packedText(data)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		const empty = 64 // what there is none of may have its name there
		if strings.ContainsFunc(stored, func(r rune) bool { return r < ' ' || r > '~' }) || len(stored) > len(plain)+empty {
			t.Errorf("%d bytes of JSON are stored as %d: %.60q", len(plain), len(stored), stored)
		}
		for _, text := range []string{stored, string(plain)} { // as earlier versions stored all of it
			if got, err := unpackHardware(text); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%.60s is read as %+v, %v", text, got, err)
			}
		}
	}
	for _, text := range []string{"", "{", "no base64", "AAAA"} {
		if h, err := unpackHardware(text); err == nil || !strings.HasPrefix(err.Error(), "unpack hardware: ") {
			t.Errorf("%q is read as %+v, %v", text, h, err)
		}
	}
}
