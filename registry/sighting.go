package registry

import (
	"context"
	"errors"
	"net/netip"
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
	pace    *pace
}

func newSightings() sightings {
	return sightings{queue: make(chan Sighting, sightingQueue), dropped: new(atomic.Int64), pace: newPace()}
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

// Resolve sets what finds the hardware address of a client of which a step shows
// only the IP address; the zero address where it cannot. It may take its time. It
// has to be set before [Registry.Run].
func (r *Registry) Resolve(find func(netip.Addr) MAC) { r.resolve = find }

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
	batch, refused := r.sighted.take(r.admit)
	kept, err := r.fileSteps(ctx, batch)
	r.sighted.dropped.Add(int64(refused + len(batch) - kept))
	if err != nil {
		r.log.Warn("write sightings", "count", len(batch), "err", err)
	}
}

// admit is a step with the address that it is of, and whether that one may write it on
// its timeline.
func (r *Registry) admit(s Sighting) (Sighting, bool) {
	if r.resolve != nil {
		s = s.resolved(r.resolve(s.Remote))
	}
	entry, known := r.Lookup(s.MAC)
	return s, r.sighted.pace.allow(s.MAC, s.At, known && entry.State != Discovered)
}

// resolved is s with the address of the card that it came from, which is zero
// where nobody knows. A script that another card asks for is said to be: it carries
// a token, and whoever has that can register as this machine.
func (s Sighting) resolved(card MAC) Sighting {
	switch {
	case s.MAC == (MAC{}):
		s.MAC = card
	case s.Stage == StageScript && card != (MAC{}) && card != s.MAC:
		s.Detail += "; asked for by " + card.String()
	}
	return s
}

// fileSteps writes a batch to the store, or to the journal while that is away, and
// returns how much of it was kept.
func (r *Registry) fileSteps(ctx context.Context, batch []Sighting) (kept int, err error) {
	if len(batch) == 0 {
		return 0, nil
	}
	steps := bootSteps{Op: newOp(), Batch: batch}
	for range attempts {
		if !r.away() {
			kept, err = r.fileBatch(ctx, steps)
			if err == nil || !r.away() || ctx.Err() != nil {
				return kept, err
			}
		}
		if err = r.journalSteps(ctx, steps); err == nil {
			return len(batch), nil
		} else if err != errBack {
			return 0, err
		}
	}
	return 0, err
}

// fileBatch writes a batch and returns how much of it was kept. A name or an
// address that somebody else took meanwhile is a race to be run again.
func (r *Registry) fileBatch(ctx context.Context, steps bootSteps) (kept int, err error) {
	taken := 0
	for range attempts {
		change, kept := r.chronicle(steps.Batch, taken)
		if kept == 0 {
			return 0, nil
		}
		change.Op = steps.Op
		err = r.write(ctx, change)
		for _, m := range change.Put {
			r.index.release(m.ID)
		}
		if err == nil {
			for _, e := range change.Events {
				r.log.Info("boot", "mac", e.MAC, "step", e.Message)
			}
			return kept, nil
		}
		if _, lost := errors.AsType[*ConflictError](err); !lost {
			break
		}
		if nameTaken(err) {
			taken++
		} else if err := r.learn(ctx, steps.Batch); err != nil {
			return 0, err
		}
	}
	return 0, err
}

// learn brings the index up to date with the machines of a batch, which another
// process on the same database has just written.
func (r *Registry) learn(ctx context.Context, batch []Sighting) error {
	var macs []MAC
	for _, s := range batch {
		macs = append(macs, s.MAC)
	}
	machines, err := r.store.Machines(ctx, Query{MACs: macs, Brief: true})
	for _, m := range machines {
		r.index.put(m)
	}
	return err
}

// take returns what has queued up and is admitted, each step once (a client that asks
// again within one tick did nothing new), and how many were not. Those take no place in
// the batch: a flood of them must not leave the queue too full for others.
func (s sightings) take(admit func(Sighting) (Sighting, bool)) (batch []Sighting, refused int) {
	type step struct {
		mac    MAC
		remote netip.Addr // all there is to tell clients of TFTP apart
		stage  Stage
		detail string
	}
	seen := map[step]bool{}
	for range len(s.queue) {
		if len(batch) == sightingBatch {
			break
		}
		next := <-s.queue
		key := step{next.MAC, next.Remote, next.Stage, next.Detail}
		if seen[key] {
			continue
		}
		seen[key] = true
		if admitted, ok := admit(next); ok {
			batch = append(batch, admitted)
		} else {
			refused++
		}
	}
	return batch, refused
}

// chronicle is the change that files a batch: the events, and a record for each
// address that was never seen, as long as there is room; and how many of the batch
// it keeps. The caller gives back the claims to the names of those records.
func (r *Registry) chronicle(batch []Sighting, taken int) (change Change, kept int) {
	fresh := map[MAC]Machine{}
	room := min(maxDiscovered-r.index.countStrangers(), r.vacancies())
	for _, s := range batch {
		entry, known := r.Lookup(s.MAC)
		switch m, new := fresh[s.MAC]; {
		case new:
			entry.ID = m.ID
		case known || !s.MAC.Unicast():
		case len(fresh) >= room:
			continue
		default:
			m = r.discover(s.MAC, s.At, taken)
			fresh[s.MAC], entry.ID = m, m.ID
			change.Put = append(change.Put, m)
			change.Events = append(change.Events, m.event(MachineDiscovered, s.At, "seen for the first time"))
		}
		kept++
		change.Events = append(change.Events, Event{At: s.At, Kind: MachineBoot, Machine: entry.ID, MAC: s.MAC,
			Message: string(s.Stage) + ": " + s.Detail})
	}
	return change, kept
}
