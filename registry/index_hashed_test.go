package registry

import (
	"fmt"
	"slices"
	"testing"
)

// TestMarked lets machines come and go that share a serial number, in every order:
// each is found as long as it is there, and nothing is left behind.
func TestMarked(t *testing.T) {
	x := NewIndex()
	shared := System{Serial: "SN-7", UUID: "4c4c4544-0042-3510-8052-b4c04f000000"}
	find := func() (ids []string) {
		ids = x.candidates(Registration{Hardware: Hardware{System: System{Serial: shared.Serial}}})
		slices.Sort(ids)
		return ids
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		var want []string
		for i := range 3 {
			m := Machine{ID: fmt.Sprintf("m-%d", i), Name: fmt.Sprint("name", i), Version: 1, Hardware: Hardware{System: shared}}
			m.Hardware.System.UUID = fmt.Sprintf("4c4c4544-0042-3510-8052-b4c04f00000%d", i)
			x.put(m)
			m.Version++
			x.put(m) // which takes it out, and in again
			want = append(want, m.ID)
		}
		for _, i := range order {
			if got := find(); !slices.Equal(got, want) {
				t.Fatalf("order %v: %v, want %v", order, got, want)
			}
			gone := fmt.Sprintf("m-%d", i)
			x.remove(gone)
			want = slices.DeleteFunc(want, func(id string) bool { return id == gone })
		}
		if got := find(); len(got) > 0 || len(x.alike.one)+len(x.alike.more) > 0 {
			t.Fatalf("order %v: %v, %d and %d hashes are left", order, got, len(x.alike.one), len(x.alike.more))
		}
	}
}
