package main

import "testing"

func TestGCPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 800}, {8 << 20, 800}, {32 << 20, 200}, {40 << 20, 150}, {64 << 20, 100}, {1 << 30, 100},
	} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("%d MiB: %d %%, want %d", c.live>>20, got, c.want)
		}
	}
}
