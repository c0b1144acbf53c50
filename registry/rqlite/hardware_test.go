package rqlite

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry"
)

// disks is hardware with so many disks.
func disks(n int) (h registry.Hardware) {
	h.System.Vendor = `"{'Söhne` + "\x00"
	for i := range n {
		h.Disks = append(h.Disks, registry.Disk{Name: fmt.Sprintf("sd%d", i), Model: "SAMSUNG MZQL23T8HCLS-00A07", Serial: fmt.Sprint("S", i), Bytes: 1 << 42})
	}
	return h
}

func TestHardwareComesBackAsItWasStored(t *testing.T) {
	for _, n := range []int{0, 1, 3, 6, 5000} {
		want := disks(n)
		stored, err := packHardware(want)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(stored, func(r rune) bool { return r > '~' && n > 3 }) || n > 3 && len(stored) > len(plain)*3/4 {
			t.Errorf("%d bytes of JSON are stored as %d: %.60s", len(plain), len(stored), stored)
		}
		for _, text := range []string{stored, string(plain)} { // earlier versions stored all of it plain
			if got, err := unpackHardware(text); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%.60s is read as %+v, %v", text, got, err)
			}
		}
	}
}

func TestHardwareThatIsDamagedIsAnError(t *testing.T) {
	stored, err := packHardware(disks(10))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", "null?", "AAAA", stored[:len(stored)/2], stored[4:], strings.Repeat("A", 400)} {
		if h, err := unpackHardware(text); err == nil || !strings.HasPrefix(err.Error(), "unpack hardware: ") {
			t.Errorf("%.60s is read as %+v, %v", text, h, err)
		}
	}
}
