package node

import (
	"io"
	"testing"
	"time"
)

func TestStrangersDoNotKeepOthersOut(t *testing.T) {
	q, conn := newQueue(), io.NopCloser(nil)
	for n := range maxUnknown {
		if !q.enter("10.0.0.9", conn) {
			t.Fatalf("connection %d is not heard", n)
		}
	}
	if q.enter("10.0.0.9", conn) {
		t.Error("one more than may be unknown is heard")
	}
	if !q.enter("10.0.0.1", conn) {
		t.Error("another host is kept out")
	}
	q.leave("10.0.0.9", conn)
	if !q.enter("10.0.0.9", conn) {
		t.Error("it is not heard again")
	}
	now := time.Now()
	for n := range maxJoins {
		if !q.mayJoin("10.0.0.9", now) {
			t.Fatalf("attempt %d to join is refused", n)
		}
	}
	if q.mayJoin("10.0.0.9", now.Add(59*time.Second)) {
		t.Error("one attempt too many in a minute")
	}
	if !q.mayJoin("10.0.0.1", now) || !q.mayJoin("10.0.0.9", now.Add(time.Minute)) {
		t.Error("another host, or a minute later, is refused")
	}
}
