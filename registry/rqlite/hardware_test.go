package rqlite

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// Hardware is read again however it was stored: by a server that writes by HTTP or not,
// and by earlier versions; what packing does to it is tested where it is packed.
func TestHardwareIsStored(t *testing.T) {
	for _, name := range []string{"Debian", strings.Repeat("Debian, ", 1000)} {
		want := registry.Hardware{OSFound: []registry.OSFound{{Disk: "sda", Name: name}}}
		data, err := packed.Pack(want)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		text := packedText(data)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("is no text: %.60q", text)
		}
		const empty = 64 // what there is none of may have its name there
		if len(text) > len(plain)+empty {
			t.Errorf("%d bytes of JSON are stored as %d: %.60q", len(plain), len(text), text)
		}
		if _, isText := packedParam(data).(string); isText != (len(name) < packed.Least) {
			t.Errorf("%.60q is a parameter of type %T", data, packedParam(data))
		}
		for how, stored := range map[string]string{
			"as bytes":  "#" + hex.EncodeToString(data),
			"by HTTP":   text,
			"as JSON":   string(plain), // by the first versions
			"in digits": "#" + strings.ToUpper(hex.EncodeToString(data)),
		} {
			if got, err := unpackHardware(stored); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %.60q is read as %+v, %v", how, stored, got, err)
			}
		}
	}
	for _, text := range []string{"", "{", "no base64", "AAAA", "#", "#xy", "#80"} {
		if h, err := unpackHardware(text); err == nil || !strings.HasPrefix(err.Error(), "unpack hardware: ") {
			t.Errorf("%q is read as %+v, %v", text, h, err)
		}
	}
}
