package registry

import "time"

// What one address may write on a timeline: a machine that boots in circles for an
// hour is followed, and a stranger who sends its packets for days pushes nobody's
// history out of the database.
const (
	paceBurst = 60               // steps at once; a boot has about ten
	paceEvery = 30 * time.Second // for each one after that
	maxPaced  = 1 << 14          // addresses under count
)

// pace is when each address will have all its steps again. It belongs to one
// goroutine.
type pace map[MAC]time.Time

// allow reports whether a step of mac at now may be written, and counts it.
func (p pace) allow(mac MAC, now time.Time) bool {
	full := p[mac]
	if full.Before(now) || full.Sub(now) > 2*paceBurst*paceEvery { // a clock that jumped back costs nothing
		full = now
	}
	if full.Sub(now) > (paceBurst-1)*paceEvery {
		return false
	}
	if _, known := p[mac]; !known && len(p) >= maxPaced {
		p.forget(now)
	}
	p[mac] = full.Add(paceEvery)
	return true
}

// forget makes room: addresses that were quiet go, and else all.
func (p pace) forget(now time.Time) {
	for mac, full := range p {
		if full.Sub(now) <= paceEvery {
			delete(p, mac)
		}
	}
	if len(p) >= maxPaced {
		clear(p)
	}
}
