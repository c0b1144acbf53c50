package registry

import "time"

// What one address may write on a timeline: a machine that boots in circles for an
// hour is followed, and a stranger who sends its packets for days pushes nobody's
// history out of the database.
const (
	paceBurst = 60               // steps at once; a boot has about ten
	paceEvery = 30 * time.Second // for each one after that
	maxPaced  = 1 << 14          // addresses under count

	// All addresses together that no machine has registered with: a stranger may invent
	// any number of them.
	strangersBurst = 20 * maxDiscovered
	strangersEvery = 700 * time.Millisecond
)

// pace is when each address will have all its steps again. It belongs to one
// goroutine.
type pace struct {
	of        map[MAC]time.Time
	strangers time.Time // the same of all strangers
}

func newPace() *pace { return &pace{of: map[MAC]time.Time{}} }

// allow reports whether a step of mac at now may be written, and counts it. ours says
// that a machine has registered with that address.
func (p *pace) allow(mac MAC, now time.Time, ours bool) bool {
	full, ok := spend(p.of[mac], now, paceBurst, paceEvery)
	if !ok {
		return false
	}
	if !ours {
		if p.strangers, ok = spend(p.strangers, now, strangersBurst, strangersEvery); !ok {
			return false
		}
	}
	if _, known := p.of[mac]; !known && len(p.of) >= maxPaced {
		p.forget(now)
	}
	p.of[mac] = full
	return true
}

// spend takes one step of a burst of which all will be there again at full, and returns
// when that is then; not ok: there is none left.
func spend(full, now time.Time, burst int, every time.Duration) (next time.Time, ok bool) {
	if full.Before(now) || full.Sub(now) > 2*time.Duration(burst)*every { // a clock that jumped back costs nothing
		full = now
	}
	if full.Sub(now) > time.Duration(burst-1)*every {
		return full, false
	}
	return full.Add(every), true
}

// forget makes room: addresses that were quiet go, and else all.
func (p *pace) forget(now time.Time) {
	for mac, full := range p.of {
		if full.Sub(now) <= paceEvery {
			delete(p.of, mac)
		}
	}
	if len(p.of) >= maxPaced {
		clear(p.of)
	}
}
