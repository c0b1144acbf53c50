package registry

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn turns
		if err := turn.wait(t.Context()); err != nil {
			t.Fatalf("while nothing is replayed: %v", err)
		}
		turn.begin()
		var through atomic.Int64
		for range 2 * replayBatch {
			go func() {
				if err := turn.wait(t.Context()); err != nil {
					t.Error(err)
				}
				through.Add(1)
			}()
		}
		synctest.Wait()
		for _, c := range []struct{ give, want int64 }{{0, 0}, {3, 3}, {replayBatch / 2, 3 + replayBatch/2}} {
			turn.give(int(c.give))
			synctest.Wait()
			if through.Load() != c.want {
				t.Errorf("%d turns given: %d appended, want %d", c.give, through.Load(), c.want)
			}
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := turn.wait(gone); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has gone: %v", err)
		}
		turn.end()
		synctest.Wait()
		if through.Load() != 2*replayBatch {
			t.Errorf("after the replay %d of %d appended", through.Load(), 2*replayBatch)
		}
		if err := turn.wait(t.Context()); err != nil {
			t.Errorf("after the replay: %v", err)
		}
	})
}

// A replay that stands still holds nobody up for long.
func TestTurnsThatAreNotGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn turns
		turn.begin()
		begin := time.Now()
		if err := turn.wait(t.Context()); err != nil || time.Since(begin) != maxTurn {
			t.Errorf("%v after %s, want none after %s", err, time.Since(begin), maxTurn)
		}
	})
}

func TestTurnsNobodyWants(t *testing.T) {
	var turn turns
	turn.begin()
	turn.give(10 * replayBatch)
	for range replayBatch {
		if err := turn.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := turn.wait(gone); err == nil {
		t.Error("more turns were kept than a batch has")
	}
}
