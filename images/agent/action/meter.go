package action

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts what an action moves, and tells the agent often and the operator now
// and then. Its methods may be called from any goroutine.
type meter struct {
	env     *Env
	stage   atomic.Value // string
	total   atomic.Int64 // bytes of the image; 0: not known, and the file is counted
	written atomic.Int64
	skipped atomic.Int64
	source  *source
}

func newMeter(env *Env, src *source, stage string) *meter {
	m := &meter{env: env, source: src}
	m.stage.Store(stage)
	return m
}

// reportEvery is how often the agent is told.
const reportEvery = 250 * time.Millisecond

// start tells until it is stopped, and then once more.
func (m *meter) start() (stop func(), err error) {
	seconds, err := m.env.number("PROGRESS_INTERVAL_SECONDS", 3)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		m.tell(done, time.Duration(seconds)*time.Second)
		m.env.report(m.progress())
	})
	return func() {
		close(done)
		wg.Wait()
	}, nil
}

// tell tells until done is closed. With an interval of zero the operator reads no
// lines.
func (m *meter) tell(done <-chan struct{}, interval time.Duration) {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	said, before := time.Now(), int64(0)
	for {
		m.env.report(m.progress())
		select {
		case <-done:
			return
		case now := <-ticker.C:
			if took := now.Sub(said); interval > 0 && took >= interval {
				p := m.progress()
				m.env.logf("%s", line(p, float64(p.Done-before)/took.Seconds()))
				said, before = now, p.Done
			}
		}
	}
}

func (m *meter) progress() Progress {
	p := Progress{
		Stage: m.stage.Load().(string), Total: m.total.Load(),
		Fetched: m.source.fetched.Load(), Written: m.written.Load(), Skipped: m.skipped.Load(),
	}
	p.Done = p.Written + p.Skipped
	if p.Total == 0 {
		p.Done, p.Total = p.Fetched, max(0, m.source.fileSize.Load())
	}
	return p
}

// line is "write: 1.2 of 3.2 GB (38 %), 410 MB/s".
func line(p Progress, rate float64) string {
	if p.Total == 0 {
		return fmt.Sprintf("%s: %s, %s/s", p.Stage, short(p.Done), short(int64(rate)))
	}
	return fmt.Sprintf("%s: %s of %s (%d %%), %s/s", p.Stage, short(p.Done), short(p.Total), p.Done*100/p.Total, short(int64(rate)))
}

// short is a size in three digits or so: "3.2 GB".
func short(n int64) string {
	value := float64(n)
	for _, unit := range []string{"bytes", "kB", "MB", "GB"} {
		if value < 1000 {
			if unit == "bytes" {
				return fmt.Sprintf("%d bytes", n)
			}
			return fmt.Sprintf("%.1f %s", value, unit)
		}
		value /= 1000
	}
	return fmt.Sprintf("%.1f TB", value)
}

// exact is a size for people who may have to compare it: "3.2 GB (3221225472 bytes)".
func exact(n int64) string {
	if n < 1000 {
		return short(n)
	}
	return fmt.Sprintf("%s (%d bytes)", short(n), n)
}
