package registry_test

import (
	"encoding/json"
	"testing"

	"dragonfly/registry"
)

func TestParseMAC(t *testing.T) {
	tests := []struct {
		in, want string // want is empty where it must be refused
	}{
		{"52:54:00:ab:cd:ef", "52:54:00:ab:cd:ef"},
		{"52-54-00-AB-CD-EF", "52:54:00:ab:cd:ef"},
		{"525400abcdef", "52:54:00:ab:cd:ef"},
		{"", ""},
		{"52:54:00:ab:cd", ""},
		{"52:54:00:ab:cd:eg", ""},
		{"52:54-00:ab:cd:ef", ""},
		{"00:00:00:00:00:00", ""},
		{"ff:ff:ff:ff:ff:ff", ""},
		{"01:00:5e:00:00:01", ""}, // multicast
		{"52:54:00:ab:cd:ef\n", ""},
		{"../../../etc/passwd", ""},
	}
	for _, tt := range tests {
		got, err := registry.ParseMAC(tt.in)
		if (err == nil) != (tt.want != "") || (err == nil && got.String() != tt.want) {
			t.Errorf("ParseMAC(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestMACJSON(t *testing.T) {
	in := map[string]registry.MAC{"a": {0x52, 0x54, 0, 1, 2, 3}, "none": {}}
	data, err := json.Marshal(in)
	if err != nil || string(data) != `{"a":"52:54:00:01:02:03","none":""}` {
		t.Fatalf("%s, %v", data, err)
	}
	out := map[string]registry.MAC{}
	if err := json.Unmarshal(data, &out); err != nil || out["a"] != in["a"] || out["none"] != in["none"] {
		t.Errorf("read back %v, %v", out, err)
	}
}

func FuzzParseMAC(f *testing.F) {
	f.Add("52:54:00:ab:cd:ef")
	f.Add("52-54-00-AB-CD-EF")
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := registry.ParseMAC(s)
		if err != nil {
			return
		}
		again, err := registry.ParseMAC(mac.String())
		if err != nil || again != mac {
			t.Errorf("%q -> %v -> %v, %v", s, mac, again, err)
		}
	})
}
