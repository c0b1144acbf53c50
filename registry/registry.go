package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Registry is the use cases: what may be done to machines, by whom it is asked.
// Its methods are safe for concurrent use. [Registry.Run] must run for sightings,
// presence and the feed to be kept.
type Registry struct {
	store    Store
	log      *slog.Logger
	now      func() time.Time
	index    *Index
	feed     *Feed
	writing  writing
	rules    rulebook
	presence *presence
	sighted  sightings
	boots    boots
	imports  imports
	started  time.Time
	resolve  func(netip.Addr) MAC // may be nil
	standby  *Standby             // may be nil
	outage   outage
	tools    Tools
	oses     atomic.Pointer[[]OS]     // the catalogue as it was known last
	defaults atomic.Pointer[Defaults] // as they were known last
	tracks   *tracks
	batches  chan struct{} // holds one: look whose turn it is
	fetches  fetches

	turnedAway atomic.Int64
	most       int  // machines; 0: no bound
	loaded     bool // the index is what the store has; false after a start without it
}

// New loads what must be in memory (the boot index and the number of the newest
// event) and returns a registry over store.
func New(ctx context.Context, store Store, log *slog.Logger) (*Registry, error) {
	return NewWithStandby(ctx, store, nil, log)
}

// NewWithStandby is New, and the registry goes on with standby while the store is
// away, also at this moment. It errs when neither is there.
func NewWithStandby(ctx context.Context, store Store, standby *Standby, log *slog.Logger) (*Registry, error) {
	r := &Registry{
		store: store, log: log, now: time.Now, standby: standby,
		index: NewIndex(), presence: newPresence(), sighted: newSightings(),
		boots: boots{by: map[string]boot{}}, started: time.Now(), tracks: newTracks(), batches: make(chan struct{}, 1),
	}
	last, err := store.LastEvent(ctx)
	if r.heard(ctx, err) != nil && !r.startAway() {
		return nil, fmt.Errorf("read the newest event: %w", err)
	}
	if r.away() {
		last = standby.Copy.Mark().Seq
	}
	r.feed = newFeed(r.events, last)
	if err := r.fillIndex(ctx); err != nil {
		return nil, fmt.Errorf("load the boot index: %w", err)
	}
	if err := r.recallBoots(ctx); err != nil {
		return nil, fmt.Errorf("load the newest events: %w", err)
	}
	return r, nil
}

// startAway reports whether there is something to start with while the store is
// away.
func (r *Registry) startAway() bool {
	if !r.away() {
		return false
	}
	mark := r.standby.Copy.Mark()
	r.outage.now.AsOf = mark.At
	return mark != Mark{}
}

// fillIndex reads the machines of the store, or those that are known while it is
// away, and shows what waits in the journal. That is applied before anything
// newer is: until then the store counts as away.
func (r *Registry) fillIndex(ctx context.Context) error {
	if r.standby == nil {
		return errors.Join(r.loadRules(ctx, true), r.loadIndex(ctx, r.store))
	}
	var from machineReader = r.store
	if r.away() {
		from = r.standby.Copy
		r.recallRules()
	} else if err := r.loadRules(ctx, true); err != nil {
		return err
	}
	if err := r.loadIndex(ctx, from); err != nil {
		return err
	}
	r.loaded = !r.away()
	if r.standby.Journal.Stats().Records == 0 {
		return nil
	}
	if r.loaded {
		if err := r.completeCopy(ctx); err != nil {
			return err
		}
		r.outage.now = Outage{Since: r.now(), AsOf: r.now(), Cause: "the journal of an earlier run is applied first"}
	}
	return r.foreseeAll()
}

type machineReader interface {
	Machines(ctx context.Context, q Query) ([]Machine, error)
}

// indexPage is how many machines are read at once for the index: 100 bytes each.
const indexPage = 5000

// loadIndex reads every machine, a page at a time, and notes who was online.
func (r *Registry) loadIndex(ctx context.Context, from machineReader) error {
	for q := (Query{Limit: indexPage, Bare: true}); ; {
		machines, err := from.Machines(ctx, q)
		if err != nil {
			return err
		}
		for _, m := range machines {
			r.index.put(m)
			if m.Online(r.now()) {
				r.presence.hear(m.ID, sign{at: m.SeenAt})
			}
		}
		if len(machines) < q.Limit {
			return nil
		}
		q.After = q.Sort.Position(machines[len(machines)-1])
	}
}

// Run keeps the registry alive until ctx ends: it follows the event feed, writes
// sightings and signs of life in batches, and notices machines that went away,
// whose deadlines passed, or whose boots stand still.
func (r *Registry) Run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() { r.feed.run(ctx, r.follow, r.log) })
	group.Go(func() { r.keepPresence(ctx) })
	group.Go(func() { r.keepSightings(ctx) })
	group.Go(func() { r.keepStore(ctx) })
	group.Go(func() { r.keepDeadlines(ctx) })
	group.Go(func() { r.keepDeployments(ctx) })
	group.Wait()
	return nil
}

// events is [Store.Events]; that the store is away shows here first, where nobody
// asks for anything.
func (r *Registry) events(ctx context.Context, after int64, limit int) ([]Event, error) {
	events, err := r.store.Events(ctx, after, limit)
	return events, r.heard(ctx, err)
}

// Feed is the stream of events.
func (r *Registry) Feed() *Feed { return r.feed }

// Lookup returns what the boot path needs to know of the machine that has mac,
// from memory.
func (r *Registry) Lookup(mac MAC) (Entry, bool) { return r.index.Lookup(mac) }

// Count is the number of machines.
func (r *Registry) Count() int { return r.index.Len() }

// CountIn is the number of machines in a state.
func (r *Registry) CountIn(s State) int { return r.index.count(s) }

// Polling is the number of machines whose agents wait for an instruction now.
func (r *Registry) Polling() int { return r.presence.count() }

// Machines returns the machines that match q, ordered by name.
func (r *Registry) Machines(ctx context.Context, q Query) ([]Machine, error) {
	machines, err := r.load(ctx, q)
	for i := range machines {
		machines[i].SeenAt = r.presence.latest(machines[i].ID, machines[i].SeenAt)
	}
	return machines, err
}

// Machine returns one machine by ID or name; [ErrNotFound] when there is none.
func (r *Registry) Machine(ctx context.Context, id string) (Machine, error) {
	q := Query{Names: []string{id}}
	if strings.HasPrefix(id, "m-") {
		q = Query{IDs: []string{id}}
	}
	machines, err := r.Machines(ctx, q)
	if err != nil {
		return Machine{}, err
	}
	if len(machines) == 0 {
		return Machine{}, fmt.Errorf("machine %.80q: %w", id, ErrNotFound)
	}
	return machines[0], nil
}

// Deleted returns those of the machines by their IDs that were deleted. Only the store
// says so, as it is now: that there is no such machine, and that it was deleted, which one
// of another database was not. While it is away, or not sure to be up to date, Deleted
// errs with [ErrUnavailable]. So what was made for a machine may be removed by what it
// returns. One whose timeline was pruned since is left out.
func (r *Registry) Deleted(ctx context.Context, ids []string) (deleted []string, err error) {
	if len(ids) == 0 {
		return nil, nil // a query for none is one for all
	}
	if r.away() { // or not through with the journal, which may have machines of its own
		return nil, fmt.Errorf("which machines were deleted: %w", ErrUnavailable)
	}
	found, err := r.store.Machines(ctx, Query{IDs: ids, Bare: true, Latest: true})
	if r.heard(ctx, err) != nil {
		return nil, err
	}
	for _, id := range ids {
		if slices.ContainsFunc(found, func(m Machine) bool { return m.ID == id }) {
			continue
		}
		events, err := r.store.Timeline(ctx, id, 0, 100)
		if r.heard(ctx, err) != nil {
			return nil, err
		}
		if slices.ContainsFunc(events, func(e Event) bool { return e.Kind == MachineDeleted }) {
			deleted = append(deleted, id)
		}
	}
	return deleted, nil
}

// Instruct queues an instruction that the machine's agent takes at its next
// poll, once. [Wait] takes back one that is still queued.
func (r *Registry) Instruct(ctx context.Context, id string, what Instruction) (Machine, error) {
	if !slices.Contains([]Instruction{Wait, Reboot, LocalBoot}, what) {
		return Machine{}, &InvalidError{Fields: []FieldError{{Pointer: "/instruction",
			Message: "want wait, reboot or local_boot"}}}
	}
	if what == Wait {
		what = ""
	}
	return r.operate(ctx, id, AnyVersion, operation{MachineInstructed, func(m *Machine) (string, error) {
		if m.Pending = what; what == "" {
			return "the queued instruction was taken back", nil
		}
		return "told to " + string(what) + " at its next poll", nil
	}})
}

// update writes m at the version it was read and returns it as stored.
func (r *Registry) update(ctx context.Context, m Machine, event Event) (Machine, error) {
	err := r.commit(ctx, Change{Op: newOp(), Put: []Machine{m}, Events: []Event{event}})
	if err != nil {
		return Machine{}, err
	}
	m.Version++
	return m, nil
}

// commit is write, for what is refused while the store is away.
func (r *Registry) commit(ctx context.Context, c Change) error {
	if err := r.writable(); err != nil {
		return err
	}
	return r.write(ctx, c)
}

// writable is why nothing can be changed now; nil when it can.
func (r *Registry) writable() error {
	if outage := r.Outage(); !outage.Since.IsZero() {
		return fmt.Errorf("%w (away since %s)", ErrUnavailable, outage.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

// write writes c, brings the index up to date and wakes whoever waits for it.
// Every record that c changes is named by an event of it: that is how other
// processes on the same database hear of the change.
func (r *Registry) write(ctx context.Context, c Change) error {
	if err := announced(c); err != nil {
		return err
	}
	defer r.writing.begin(c)()
	err := WriteOnce(ctx, c.Op, func() error { return r.store.Commit(ctx, c) })
	if r.heard(ctx, err) != nil {
		return err
	}
	put, gone := slices.Clone(c.Put), make([]string, 0, len(c.Delete))
	for i := range put {
		put[i].Version++ // as it is stored
	}
	for _, m := range c.Delete {
		gone = append(gone, m.ID)
	}
	r.keep(put, gone)
	r.feed.poke()
	return nil
}

// announced reports a record that c changes without an event that says so.
func announced(c Change) error {
	named := map[string]bool{}
	for _, e := range c.Events {
		named[e.Machine] = named[e.Machine] || e.Kind.reloads()
	}
	if c.Rules != nil && !slices.ContainsFunc(c.Events, changesRules) {
		return errors.New("change of the rules: no event says so")
	}
	if c.Defaults != nil && !slices.ContainsFunc(c.Events, func(e Event) bool { return e.Kind == DefaultsEdited }) {
		return errors.New("change of the defaults: no event says so")
	}
	for _, d := range c.Deployments {
		if !named[d.Machine] {
			return fmt.Errorf("change of deployment %s: no event names its machine", d.ID)
		}
	}
	for _, id := range c.Machines() {
		if !named[id] {
			return fmt.Errorf("change of machine %s: no event names it", id)
		}
	}
	return nil
}
