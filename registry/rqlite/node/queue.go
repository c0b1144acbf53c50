package node

import (
	"sync"
	"time"
)

// How much one address may ask of the cluster port before it has shown a
// certificate: strangers must not keep members out.
const (
	maxUnknown = 16 // connections at once whose other end is not known yet
	maxJoins   = 10 // attempts to join in a minute
)

// queue counts what comes from each address.
type queue struct {
	mu    sync.Mutex
	here  map[string]int
	joins map[string]tally
}

// tally is a count that starts anew every minute.
type tally struct {
	since time.Time
	count int
}

func newQueue() *queue { return &queue{here: map[string]int{}, joins: map[string]tally{}} }

// enter reports whether one more connection from an address is heard now. If so,
// leave has to follow.
func (q *queue) enter(from string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.here[from] >= maxUnknown {
		return false
	}
	q.here[from]++
	return true
}

func (q *queue) leave(from string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.here[from]--; q.here[from] == 0 {
		delete(q.here, from)
	}
}

// mayJoin reports whether an address may try to join now, and counts it.
func (q *queue) mayJoin(from string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for address, t := range q.joins {
		if now.Sub(t.since) >= time.Minute {
			delete(q.joins, address)
		}
	}
	t, known := q.joins[from]
	if !known {
		t.since = now
	}
	t.count++
	q.joins[from] = t
	return t.count <= maxJoins
}
