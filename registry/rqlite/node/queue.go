package node

import (
	"io"
	"slices"
	"sync"
	"time"
)

// How much one address may ask of the cluster port before it has shown a
// certificate: strangers must not keep members out. A stranger may have any number of
// addresses, and all of them together must leave files to the other services.
const (
	maxUnknown    = 16   // connections at once whose other end is not known yet
	maxAllUnknown = 1024 // of all addresses
	maxJoins      = 10   // attempts to join in a minute
)

// queue counts what comes from each address.
type queue struct {
	mu    sync.Mutex
	here  map[string]int
	all   []io.Closer // the connections that are counted, the oldest first
	joins map[string]tally
}

// tally is a count that starts anew every minute.
type tally struct {
	since time.Time
	count int
}

func newQueue() *queue { return &queue{here: map[string]int{}, joins: map[string]tally{}} }

// enter reports whether one more connection from an address is heard now. If so,
// leave has to follow. Where there are too many in all, the one is closed that has not
// said for longest who it is: a member says so at once.
func (q *queue) enter(from string, conn io.Closer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.here[from] >= maxUnknown {
		return false
	}
	if len(q.all) >= maxAllUnknown {
		_ = q.all[0].Close() // whoever waits for it hears of it
		q.all = slices.Delete(q.all, 0, 1)
	}
	q.all = append(q.all, conn)
	q.here[from]++
	return true
}

func (q *queue) leave(from string, conn io.Closer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if at := slices.Index(q.all, conn); at >= 0 {
		q.all = slices.Delete(q.all, at, at+1)
	}
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
