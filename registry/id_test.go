package registry

import (
	"regexp"
	"testing"
	"time"
)

func TestIDsAreInTheOrderOfTime(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seen, last := map[string]bool{}, ""
	for n := range 100_000 {
		id := ordered(at.Add(time.Duration(n)*time.Hour), 8)
		if id <= last {
			t.Fatalf("%s of hour %d is not behind %s", id, n, last)
		}
		last = id
		seen[ordered(at, 8)] = true
	}
	if len(seen) < 99_990 {
		t.Errorf("%d different IDs of 100,000 in one millisecond", len(seen))
	}
}

func TestNewID(t *testing.T) {
	if id := newID(); !regexp.MustCompile(`^m-[0-9a-hjkmnp-tv-z]{17}$`).MatchString(id) {
		t.Errorf("ID %s", id)
	}
	if op := newOp(); len(op) != 25 {
		t.Errorf("operation %s", op)
	}
}
