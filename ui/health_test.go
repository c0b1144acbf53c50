package ui

import "testing"

// A part that is red is never below a line that says that nothing is wrong.
func TestCalm(t *testing.T) {
	good, bad, off := Check{Good: true}, Check{}, Check{Off: true}
	for _, c := range []struct {
		h    health
		calm bool
	}{
		{health{}, true}, {health{Checks: []Check{good, off}}, true}, {health{Checks: []Check{good, bad}}, false},
		{health{Problems: []string{"the disk is full"}, Checks: []Check{good}}, false},
	} {
		if c.h.calm() != c.calm {
			t.Errorf("%+v: %v", c.h, !c.calm)
		}
	}
}
