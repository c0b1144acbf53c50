package ui

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	tick      = 100 * time.Millisecond // at most one frame each
	listTick  = time.Second            // at most one frame that makes every browser read its page again
	recheck   = 5 * time.Second        // how soon a machine that fell silent is noticed without an event
	errorWait = time.Second            // before the store is asked again
	maxRows   = 100                    // rows in one frame; with more of them, reading the page again is less
	maxFrames = 32                     // kept for browsers that are behind
)

// live turns what the board learns into frames, as long as somebody watches.
// Frame numbers start at the clock's microseconds and grow by one, so a number
// from before a restart is never taken for a new one.
type live struct {
	*board
	log *slog.Logger

	mu       sync.Mutex
	n        int64   // the last frame
	parts    []*part // the newest frames, numbered without a gap up to n
	more     chan struct{}
	watchers int
	stop     context.CancelFunc
	done     chan struct{} // closed when the running follower has ended
}

func newLive(b *board, log *slog.Logger, now time.Time) *live {
	return &live{board: b, log: log, n: now.UnixMicro(), more: make(chan struct{})}
}

// cursor is the number of the newest frame, for a page to start from.
func (l *live) cursor() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// since returns the frames above n and a channel that closes when there is one
// more. lost says that some are no longer there: the page must be read again.
func (l *live) since(n int64) (parts []*part, newest int64, lost bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := l.n - n
	if missing < 0 || missing > int64(len(l.parts)) {
		return nil, l.n, true, l.more
	}
	return l.parts[len(l.parts)-int(missing):], l.n, false, l.more
}

// publish appends a frame. With nil the browsers learn that they missed one.
func (l *live) publish(p *part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if p == nil {
		l.parts = nil
	} else {
		p.n = l.n
		kept := l.parts[max(0, len(l.parts)+1-maxFrames):]
		l.parts = append(append(make([]*part, 0, maxFrames), kept...), p)
	}
	close(l.more)
	l.more = make(chan struct{})
}

// catchUp brings the board up to date for a page, unless it is being followed.
func (l *live) catchUp(ctx context.Context) error {
	l.mu.Lock()
	followed := l.watchers > 0
	l.mu.Unlock()
	if followed && l.isLoaded() {
		return nil
	}
	d, err := l.step(ctx, time.Now())
	if err == nil && !d.empty() {
		l.publish(nil)
	}
	return err
}

// join counts one more watcher; the first starts the follower, and the last to
// leave ends it.
func (l *live) join(ctx context.Context) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers++
	if l.watchers == 1 {
		following, stop := context.WithCancel(context.WithoutCancel(ctx))
		before, done := l.done, make(chan struct{})
		l.stop, l.done = stop, done
		go func() {
			defer close(done)
			if before != nil {
				<-before
			}
			(&follower{live: l}).run(following)
		}()
	}
	return l.leave
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers--; l.watchers == 0 {
		l.stop()
	}
}
