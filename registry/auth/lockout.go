package auth

import (
	"fmt"
	"sync"
	"time"
)

// LockedError says that too many wrong passwords were tried for a name. It is
// the same for a name that does not exist.
type LockedError struct{ Wait time.Duration }

func (e *LockedError) Error() string {
	return fmt.Sprintf("too many wrong passwords for this name; try again in %s", e.RetryAfter())
}

// RetryAfter is the wait in whole seconds, for the header of that name.
func (e *LockedError) RetryAfter() time.Duration {
	return max(e.Wait.Round(time.Second), time.Second)
}

const (
	freeTries    = 5                // wrong passwords in a row that cost no wait
	firstWait    = 5 * time.Second  // after that; it doubles with each further one
	longestWait  = 15 * time.Minute // and not more
	forgetTries  = time.Hour        // without a try, after which all is forgotten
	maxSuspects  = 4096             // names under count at once
	maxFamiliars = 4096             // pairs of name and address that signed in before
)

// lockout counts wrong passwords by name. An address from which the name has
// signed in before is counted apart: guessing from elsewhere must not lock out
// an operator at the usual desk.
type lockout struct {
	now func() time.Time

	mu        sync.Mutex
	suspects  map[string]suspect
	familiars map[string]bool
}

type suspect struct {
	tries int
	last  time.Time
}

func newLockout() *lockout {
	return &lockout{now: time.Now, suspects: map[string]suspect{}, familiars: map[string]bool{}}
}

// begin counts a try, before its password is looked at so that many at once do
// not slip through; it errs with [*LockedError] when it comes too early.
func (l *lockout) begin(name, from string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, now := l.key(name, from), l.now()
	s := l.suspects[key]
	if now.Sub(s.last).Abs() > forgetTries {
		s = suspect{}
	}
	if left := s.last.Add(s.wait()).Sub(now); s.wait() > 0 && left > 0 {
		return &LockedError{Wait: min(left, longestWait)} // a clock that jumped back costs no more
	}
	if _, counted := l.suspects[key]; !counted && len(l.suspects) >= maxSuspects {
		l.drop(now)
	}
	l.suspects[key] = suspect{tries: s.tries + 1, last: now}
	return nil
}

// wait is how long after the last try the next one may come.
func (s suspect) wait() time.Duration {
	if s.tries < freeTries {
		return 0
	}
	return min(firstWait<<min(s.tries-freeTries, 20), longestWait)
}

// drop makes room: what is forgotten goes, and else the one with the fewest
// tries, so that a flood of made-up names does not free one that is locked.
func (l *lockout) drop(now time.Time) {
	least, fewest := "", 0
	for key, s := range l.suspects {
		if now.Sub(s.last).Abs() > forgetTries {
			delete(l.suspects, key)
		} else if least == "" || s.tries < fewest {
			least, fewest = key, s.tries
		}
	}
	if len(l.suspects) >= maxSuspects {
		delete(l.suspects, least)
	}
}

// succeed forgets the wrong tries and remembers the address.
func (l *lockout) succeed(name, from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.suspects, l.key(name, from))
	if len(l.familiars) >= maxFamiliars {
		clear(l.familiars) // a convenience; it comes back with the next sign-in
	}
	l.familiars[name+"\x00"+from] = true
}

// forget takes a try back that could not be decided.
func (l *lockout) forget(name, from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.key(name, from)
	if s, ok := l.suspects[key]; ok {
		s.tries--
		l.suspects[key] = s
	}
}

// key is what tries are counted under. A name longer than any account's is cut,
// for it takes memory.
func (l *lockout) key(name, from string) string {
	name = name[:min(len(name), 64)]
	if pair := name + "\x00" + from; l.familiars[pair] {
		return pair
	}
	return name
}
