package registry

import (
	"context"
	"testing"
)

func TestFeedTellsThatItMoved(t *testing.T) {
	f := newFeed(func(context.Context, int64, int) ([]Event, error) { return nil, nil }, 7)
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	waiting := f.Moved(7)
	if !closed(f.Moved(6)) || closed(waiting) {
		t.Fatal("the newest event is number 7: there is one above 6, and none above 7")
	}
	f.append([]Event{{Seq: 8}})
	if !closed(waiting) || !closed(f.Moved(7)) || closed(f.Moved(8)) {
		t.Error("after number 8, who waits for more than 7 is not told, or who waits for more than 8 is")
	}
}
