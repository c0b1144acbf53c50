package node

import (
	"testing"
	"time"
)

func TestSnapshotDue(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		what        string
		size, grown int64
		since       time.Duration
		want        bool
	}{
		{"nothing is written", 0, 0, time.Hour, false},
		{"it is not worth it", 3 * mib, 0, time.Hour, false},
		{"a lull", 5 * mib, 0, time.Hour, true},
		{"a lull soon after the last one", 5 * mib, 0, time.Second, false},
		{"much is being written", 200 * mib, 40 * mib, time.Hour, false},
		{"too much was written", 256 * mib, 40 * mib, time.Second, true},
		{"the log was cut since", 5 * mib, -100 * mib, time.Hour, true},
	} {
		if got := snapshotDue(c.size, c.grown, c.since); got != c.want {
			t.Errorf("%s: %v; want %v", c.what, got, c.want)
		}
	}
}
