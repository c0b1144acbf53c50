package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Standby is what a registry goes on with while its store is away: reads come
// from Copy, and what machines report waits in Journal. What operators ask for is
// refused meanwhile, since an old intent carried out late can wipe a disk.
type Standby struct {
	Journal Journal
	Dead    DeadLetters
	Copy    Copy

	Documents Documents // may be nil
}

// Documents keeps what there is one of on this host's disk. Package
// registry/lastknown has one.
type Documents interface {
	// Document returns what was kept under name; nil when nothing was.
	Document(name string) []byte
	// KeepDocument keeps data under name, and returns when it is on disk.
	KeepDocument(name string, data []byte) error
}

// Copy is the machines as this process knew them last, on this host's disk. It is
// safe for concurrent use. Package registry/lastknown has one.
type Copy interface {
	// Machines returns what is known by q.IDs, or all that q selects otherwise:
	// q.Names, q.MACs, q.UUID and q.Serial are not looked up.
	Machines(ctx context.Context, q Query) ([]Machine, error)
	// Keep takes machines in, and forgets those that are gone, without waiting
	// for the disk. A machine of an older version than the one it has is ignored.
	Keep(put []Machine, gone []string)
	// Save puts what was kept on disk, as what mark stands for.
	Save(mark Mark) error
	// Mark is that of the last Save, by this process or one before.
	Mark() Mark
	// Clear forgets every machine.
	Clear() error
}

// Mark says what a copy is a copy of: the machines after the event numbered Seq,
// as they were At. The zero Mark is that of a copy that was never complete.
type Mark struct {
	Seq int64
	At  time.Time
}

// Outage is a time without the store.
type Outage struct {
	Since time.Time // zero: the store answers
	AsOf  time.Time // what is shown was read then
	Cause string
}

// outage is whether the store is away.
type outage struct {
	// filing is held for reading by whoever appends to the journal, and for
	// writing when the store takes over again: no record is left behind.
	filing sync.RWMutex
	turns  turns

	mu   sync.Mutex
	now  Outage
	good time.Time // when the store answered last
}

// Outage tells whether the store is away now.
func (r *Registry) Outage() Outage {
	r.outage.mu.Lock()
	defer r.outage.mu.Unlock()
	return r.outage.now
}

// Journal is what waits for the store, and the newest records it could not take.
func (r *Registry) Journal() (JournalStats, []DeadLetter, error) {
	if r.standby == nil {
		return JournalStats{}, nil, nil
	}
	letters, err := r.standby.Dead.Buried()
	return r.standby.Journal.Stats(), letters, err
}

func (r *Registry) away() bool { return !r.Outage().Since.IsZero() }

// heard notes what the store answered, and passes it on. One that cannot be
// reached is away until [Registry.keepStore] has it back. Whether it could not be
// reached or was not waited for, only ctx knows.
func (r *Registry) heard(ctx context.Context, err error) error {
	o := &r.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil && o.now.Since.IsZero():
		o.good = r.now()
	case errors.Is(err, ErrUnavailable) && ctx.Err() == nil && r.standby != nil && o.now.Since.IsZero():
		o.now = Outage{Since: r.now(), AsOf: o.good, Cause: err.Error()}
		r.log.Error("the database is away: reads come from the last known state, registrations go to the journal", "err", err)
	}
	return err
}

// load is [Store.Machines], or what is known of them while the store is away.
func (r *Registry) load(ctx context.Context, q Query) ([]Machine, error) {
	if !r.away() {
		machines, err := r.store.Machines(ctx, q)
		if r.heard(ctx, err) == nil || !r.away() {
			return machines, err
		}
	}
	return r.lastKnown(ctx, q)
}

// lastKnown answers q from the copy. Machines asked for by name or address are
// found through the index. One that is not there may well exist: that is
// [ErrUnavailable].
func (r *Registry) lastKnown(ctx context.Context, q Query) ([]Machine, error) {
	wanted := len(q.IDs) + len(q.Names) + len(q.MACs)
	if wanted > 0 || q.UUID != "" || q.Serial != "" {
		q.IDs = append(q.IDs, r.index.find(q.Names, q.MACs)...)
		if len(q.IDs) == 0 {
			return nil, fmt.Errorf("not in the last known state: %w", ErrUnavailable)
		}
	}
	machines, err := r.standby.Copy.Machines(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%w; and the last known state cannot be read: %w", ErrUnavailable, err)
	}
	if wanted > 0 && len(machines) == 0 {
		return nil, fmt.Errorf("not in the last known state: %w", ErrUnavailable)
	}
	asOf := r.Outage().AsOf
	for i := range machines {
		machines[i].AsOf = asOf
	}
	return machines, nil
}

// returnEvery is how often a store that is away is asked whether it is back.
const returnEvery = 500 * time.Millisecond

// The copy is saved so often, in small pieces: the thousand machines that may register
// in a second would hold a processor for a tenth of one, and whoever registers
// meanwhile would wait. After a piece it rests for so many times as long as that took,
// so that they have the processors first, and never for long, or what has gathered
// would be no small piece.
const (
	saveEvery   = 50 * time.Millisecond
	saveRest    = 9
	maxSaveRest = 2 * time.Second
)

// lookBackEvery is how often it is looked whether the store went back in time while it
// answered all along, as a database does that is restored where it runs.
const lookBackEvery = 5 * time.Second

// keepStore brings the registry back to its store when that answers again, and
// keeps the copy.
func (r *Registry) keepStore(ctx context.Context) {
	if r.standby == nil {
		return
	}
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	var asked, rest time.Time
	for complete := false; ; {
		switch {
		case r.away() && time.Since(asked) >= returnEvery:
			r.comeBack(ctx)
			asked = time.Now()
		case !r.away() && time.Since(asked) >= lookBackEvery:
			if err := r.heard(ctx, r.reload(ctx)); err != nil && !r.away() {
				r.log.Warn("look whether the database is older than it was", "err", err)
			}
			asked = time.Now()
		}
		if begin := time.Now(); !r.away() && begin.After(rest) {
			complete = r.saveCopy(ctx, complete)
			rest = time.Now().Add(min(time.Since(begin)*saveRest, maxSaveRest))
		}
		select {
		case <-ctx.Done():
			if complete && !r.away() {
				r.saveCopy(context.WithoutCancel(ctx), complete)
			}
			return
		case <-tick.C:
		}
	}
}

// comeBack ends the outage when the store answers and has taken the whole
// journal.
func (r *Registry) comeBack(ctx context.Context) {
	err := r.store.Ping(ctx)
	if err == nil {
		err = r.reload(ctx)
	}
	if err == nil {
		r.blame("it answers again; the journal is applied first")
		err = r.replay(ctx)
	}
	if err != nil {
		r.log.Debug("the database is still away", "err", err)
		r.blame(err.Error())
	}
}

// blame notes why the store is still away.
func (r *Registry) blame(cause string) {
	r.outage.mu.Lock()
	defer r.outage.mu.Unlock()
	r.outage.now.Cause = cause
}

// reload reads what a start without the store left open, and starts anew when the
// store went back in time, as one does that was restored from a backup.
func (r *Registry) reload(ctx context.Context) error {
	before := r.feed.Last() // first: it goes on meanwhile
	last, err := r.store.LastEvent(ctx)
	if err != nil {
		return err
	}
	older := last < before
	if err := r.loadRules(ctx, older); err != nil {
		return err
	}
	if r.loaded && !older {
		return nil
	}
	if older {
		r.log.Warn("the database is older than it was: everything is read anew", "events", last, "before", before)
		r.index.clear()
		if err := r.standby.Copy.Clear(); err != nil {
			return err
		}
	}
	if err := r.loadIndex(ctx, r.store); err != nil {
		return err
	}
	if older {
		if err := r.completeCopy(ctx); err != nil {
			return err
		}
		r.feed.reset(last)
	}
	r.loaded = true
	return nil
}

// saveCopy completes the copy after a start, and saves what the feed has brought
// since. It returns whether the copy is complete.
func (r *Registry) saveCopy(ctx context.Context, complete bool) bool {
	seq := r.feed.Last() // before the copy is completed: what happens meanwhile is read again
	if !complete {
		if err := r.completeCopy(ctx); r.heard(ctx, err) != nil {
			r.log.Warn("complete the last known state", "err", err)
			return false
		}
	}
	if err := r.standby.Copy.Save(Mark{Seq: seq, At: r.now()}); err != nil {
		r.log.Error("save the last known state", "err", err)
	}
	return true
}

// maxCatchUp is how many events are read one by one to bring a copy up to date;
// with more of them it is made anew.
const maxCatchUp = 20_000

// completeCopy brings the copy of an earlier run up to date.
func (r *Registry) completeCopy(ctx context.Context) error {
	mark, last := r.standby.Copy.Mark(), r.feed.Last()
	if mark.Seq == 0 || mark.Seq > last || last-mark.Seq > maxCatchUp {
		return r.copyAll(ctx)
	}
	for after := mark.Seq; after < last; {
		events, err := r.store.Events(ctx, after, feedBatch)
		if err != nil {
			return err
		}
		if len(events) == 0 || events[0].Seq != after+1 {
			return r.copyAll(ctx) // they were pruned
		}
		if err := r.refresh(ctx, changed(events)); err != nil {
			return err
		}
		after = events[len(events)-1].Seq
	}
	return nil
}

// copyPage is how many machines are copied at once: some 10 MB while they are.
const copyPage = 300

// copyAll copies every machine. Each page is saved, since they do not fit in
// memory; without a mark, so that a copy that is not complete is made anew. They are
// taken in the order of their IDs, in which a copy has them, so that it is written
// from its beginning to its end.
func (r *Registry) copyAll(ctx context.Context) error {
	if err := r.standby.Copy.Clear(); err != nil {
		return err
	}
	for ids := range slices.Chunk(r.index.ids(), copyPage) {
		if err := r.copySome(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) copySome(ctx context.Context, ids []string) error {
	machines, err := r.store.Machines(ctx, Query{IDs: ids})
	if err != nil {
		return err
	}
	r.standby.Copy.Keep(machines, nil)
	return r.standby.Copy.Save(Mark{})
}
