package node

import (
	"testing"
	"time"
)

func TestSnapshotDue(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		what  string
		size  int64
		busy  time.Duration
		since time.Duration
		want  bool
	}{
		{"nothing is written", 0, 0, time.Hour, false},
		{"it is not worth it", 3 * mib, 0, time.Hour, false},
		{"a lull", 5 * mib, 0, time.Hour, true},
		{"a lull soon after the last one", 5 * mib, 0, time.Second, false},
		{"a lull soon after the last one, with much to save", 40 * mib, 0, time.Second, true},
		{"a storm", 200 * mib, 4 * time.Second, time.Hour, false},
		{"too much was written", 256 * mib, time.Second, time.Second, true},
		{"it goes on and on", 32 * mib, 5 * time.Second, time.Second, true},
		{"it goes on, and is not worth it", 31 * mib, time.Hour, time.Hour, false},
	} {
		if got := snapshotDue(c.size, c.busy, c.since); got != c.want {
			t.Errorf("%s: %v; want %v", c.what, got, c.want)
		}
	}
}
