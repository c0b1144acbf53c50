package packed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
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

func TestHardwareComesBackAsItWasPacked(t *testing.T) {
	for _, n := range []int{0, 1, 3, 6, 5000, 2} {
		want := disks(n)
		stored, err := Pack(want)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if short := len(plain) < Least; short != bytes.HasPrefix(stored, []byte("{")) || !short && len(stored) > len(plain)/2 {
			t.Errorf("%d bytes of JSON are packed as %d: %.60q", len(plain), len(stored), stored)
		}
		for _, data := range [][]byte{stored, plain} { // as earlier versions stored all of it
			if got, err := Unpack(data); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%.60q is read as %+v, %v", data, got, err)
			}
		}
	}
}

// TestPackedAtOnce holds that what was packed is not what the next one is packed in.
func TestPackedAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			want := disks(n)
			for range 100 {
				stored, err := Pack(want)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := Unpack(stored); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%d disks are read as %d, %v", n, len(got.Disks), err)
				}
			}
		})
	}
	all.Wait()
}

func TestHardwareThatIsDamagedIsAnError(t *testing.T) {
	stored, err := Pack(disks(10))
	if err != nil {
		t.Fatal(err)
	}
	tooMuch := []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}
	for _, data := range [][]byte{nil, []byte("{"), []byte("null"), {0, 0, 0}, tooMuch, stored[:len(stored)/2], stored[3:], make([]byte, 300)} {
		if h, err := Unpack(data); err == nil || !strings.HasPrefix(err.Error(), "unpack hardware: ") {
			t.Errorf("%.60q is read as %+v, %v", data, h, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	for _, n := range []int{0, 10} {
		stored, err := Pack(disks(n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stored)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := Unpack(data)
		if err != nil {
			return
		}
		again, err := Pack(h)
		if err != nil {
			t.Fatalf("%q was read, and is not packed: %v", data, err)
		}
		back, err := Unpack(again)
		if err != nil {
			t.Fatalf("%q was read, and does not come back: %v", data, err)
		}
		if twice, err := Pack(back); err != nil || !bytes.Equal(twice, again) {
			t.Errorf("%q was packed as %q, and then as %q, %v", data, again, twice, err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	h := disks(20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Pack(h); err != nil {
			b.Fatal(err)
		}
	}
}
