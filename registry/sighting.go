package registry

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"
)

const (
	sightingQueue = 4096 // sightings that wait to be written; more are dropped
	sightingBatch = 256  // events written at once
	sightingEvery = 200 * time.Millisecond
	// maxDiscovered bounds the machines that were seen and never registered, so
	// that a host inventing addresses cannot fill the database.
	maxDiscovered = 1000
)

// sightings is the bounded way from the boot services to the store.
type sightings struct {
	queue   chan Sighting
	dropped *atomic.Int64
}

func newSightings() sightings {
	return sightings{queue: make(chan Sighting, sightingQueue), dropped: new(atomic.Int64)}
}

// Sight takes one step of a boot for the machine's timeline. It never blocks:
// what does not fit is dropped and counted in [Registry.Dropped].
func (r *Registry) Sight(s Sighting) {
	select {
	case r.sighted.queue <- s:
	default:
		r.sighted.dropped.Add(1)
	}
}

// Dropped counts the sightings that were not kept.
func (r *Registry) Dropped() int64 { return r.sighted.dropped.Load() }

func (r *Registry) keepSightings(ctx context.Context) {
	tick := time.NewTicker(sightingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.fileSightings(ctx)
		}
	}
}

// fileSightings writes what has queued up in one change.
func (r *Registry) fileSightings(ctx context.Context) {
	batch := r.sighted.take()
	if len(batch) == 0 {
		return
	}
	var err error
	for taken := range attempts {
		if err = r.commit(ctx, r.chronicle(batch, taken)); !nameTaken(err) {
			break
		}
	}
	if err != nil {
		r.sighted.dropped.Add(int64(len(batch)))
		r.log.Warn("write sightings", "count", len(batch), "err", err)
	}
}

// take returns what has queued up, each step once: a client that asks again
// within one tick did nothing new.
func (s sightings) take() (batch []Sighting) {
	type step struct {
		mac    MAC
		stage  Stage
		detail string
	}
	seen := map[step]bool{}
	for len(batch) < sightingBatch {
		select {
		case next := <-s.queue:
			key := step{next.MAC, next.Stage, next.Detail}
			if !seen[key] {
				seen[key] = true
				batch = append(batch, next)
			}
		default:
			return batch
		}
	}
	return batch
}

// chronicle is the change that files a batch: the events, and a record for each
// address that was never seen.
func (r *Registry) chronicle(batch []Sighting, taken int) Change {
	change := Change{Op: rand.Text()}
	fresh := map[MAC]Machine{}
	room := maxDiscovered - r.index.count(Discovered)
	for _, s := range batch {
		entry, known := r.Lookup(s.MAC)
		switch m, new := fresh[s.MAC]; {
		case new:
			entry.ID = m.ID
		case known || !s.MAC.Unicast():
		case len(fresh) >= room:
			r.sighted.dropped.Add(1)
		default:
			m = discover(s.MAC, s.At, taken)
			fresh[s.MAC], entry.ID = m, m.ID
			change.Put = append(change.Put, m)
			change.Events = append(change.Events, m.event(MachineDiscovered, s.At, "seen for the first time"))
		}
		change.Events = append(change.Events, Event{At: s.At, Kind: MachineBoot, Machine: entry.ID, MAC: s.MAC,
			Message: string(s.Stage) + ": " + s.Detail})
	}
	return change
}
