package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A clock that nothing keeps right is red, and the page says what to do.
func TestClockOf(t *testing.T) {
	for name, c := range map[string]struct {
		state int
		timex unix.Timex
		good  bool
		want  string
	}{
		"kept":             {0, unix.Timex{Maxerror: 12_400}, true, "to 12ms at the worst"},
		"a leap second":    {1, unix.Timex{Maxerror: 1000}, true, "kept right"},
		"an error":         {5, unix.Timex{}, false, "nothing on this host"},
		"not synchronised": {0, unix.Timex{Status: unix.STA_UNSYNC}, false, "nothing on this host"},
	} {
		got := clockOf(c.state, c.timex)
		if got.Good != c.good || !strings.Contains(got.Word, c.want) || got.Good == (len(got.Facts) > 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
