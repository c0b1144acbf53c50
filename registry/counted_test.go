package registry

import "testing"

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 disks", 1: "1 disk", 2: "2 disks"} {
		if got := Counted(n, "disk"); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
