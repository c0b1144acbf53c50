package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
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
	presence *presence
	sighted  sightings
	resolve  func(netip.Addr) MAC // may be nil
}

// New loads what must be in memory (the boot index and the number of the newest
// event) and returns a registry over store.
func New(ctx context.Context, store Store, log *slog.Logger) (*Registry, error) {
	r := &Registry{
		store: store, log: log, now: time.Now,
		index: NewIndex(), presence: newPresence(), sighted: newSightings(),
	}
	last, err := store.LastEvent(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the newest event: %w", err)
	}
	r.feed = newFeed(store, last)
	if err := r.loadIndex(ctx); err != nil {
		return nil, fmt.Errorf("load the boot index: %w", err)
	}
	return r, nil
}

// loadIndex reads every machine, a page at a time, and notes who was online.
func (r *Registry) loadIndex(ctx context.Context) error {
	for q := (Query{Limit: 500, Brief: true}); ; {
		machines, err := r.store.Machines(ctx, q)
		if err != nil {
			return err
		}
		for _, m := range machines {
			r.index.put(m)
			if m.Online(r.now()) {
				r.presence.expect(m.ID, m.SeenAt)
			}
		}
		if len(machines) < q.Limit {
			return nil
		}
		q.After = q.Sort.Position(machines[len(machines)-1])
	}
}

// Run keeps the registry alive until ctx ends: it follows the event feed, writes
// sightings and signs of life in batches, and notices machines that went away.
func (r *Registry) Run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() { r.feed.run(ctx, r.follow, r.log) })
	group.Go(func() { r.keepPresence(ctx) })
	group.Go(func() { r.keepSightings(ctx) })
	group.Wait()
	return nil
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
	machines, err := r.store.Machines(ctx, q)
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

// attempts bounds the retries of a write that loses races. Losing means that
// somebody else's write succeeded, so a handful is plenty.
const attempts = 16

// Register files what an agent reports: the same machine, by UUID, serial number
// or any address, is the same record. It returns the machine and whether it is
// new. It errs with [*InvalidError], [ErrUnavailable], or a fault of the store.
func (r *Registry) Register(ctx context.Context, reg Registration) (m Machine, created bool, err error) {
	if err := reg.Validate(); err != nil {
		return Machine{}, false, err
	}
	reg = reg.normalise()
	taken := 0
	for range attempts {
		m, created, err = r.register(ctx, reg, taken)
		if _, lost := errors.AsType[*ConflictError](err); !lost {
			break
		}
		if nameTaken(err) {
			taken++
		}
	}
	if err != nil {
		return Machine{}, false, fmt.Errorf("register %s: %w", reg.MAC, err)
	}
	r.beat(ctx, m)
	r.log.Info("machine registered", "machine", m.Name, "id", m.ID, "mac", reg.MAC, "new", created)
	return m, created, nil
}

func (r *Registry) register(ctx context.Context, reg Registration, taken int) (Machine, bool, error) {
	now := r.now()
	system := reg.Hardware.System
	q := Query{MACs: reg.MACs}
	if usableUUID(system.UUID) {
		q.UUID = system.UUID
	}
	if usableSerial(system.Serial) {
		q.Serial = system.Serial
	}
	candidates, err := r.store.Machines(ctx, q)
	if err != nil {
		return Machine{}, false, err
	}
	match, known := Match(reg, candidates, r.presence.polling)
	if !known {
		match = newMachine(reg, now, taken)
	}
	others := slices.DeleteFunc(candidates, func(m Machine) bool { return m.ID == match.ID })
	m, change, err := enrol(match, others, reg, now)
	if err != nil {
		return Machine{}, false, err
	}
	if err := r.commit(ctx, change); err != nil {
		return Machine{}, false, err
	}
	m.Version++
	return m, match.RegisteredAt.IsZero(), nil
}

// Instruct queues an instruction that the machine's agent takes at its next
// poll, once. [Wait] takes back one that is still queued.
func (r *Registry) Instruct(ctx context.Context, id string, what Instruction) (Machine, error) {
	if !slices.Contains([]Instruction{Wait, Reboot, LocalBoot}, what) {
		return Machine{}, &InvalidError{Fields: []FieldError{{Pointer: "/instruction",
			Message: "want wait, reboot or local_boot"}}}
	}
	m, err := r.Machine(ctx, id)
	if err != nil {
		return Machine{}, err
	}
	if what == Wait {
		what = ""
	}
	m.Pending = what
	message := "told to " + string(what) + " at its next poll"
	if what == "" {
		message = "the queued instruction was taken back"
	}
	return r.update(ctx, m, m.event(MachineInstructed, r.now(), message))
}

// update writes m at the version it was read and returns it as stored.
func (r *Registry) update(ctx context.Context, m Machine, event Event) (Machine, error) {
	err := r.commit(ctx, Change{Op: rand.Text(), Put: []Machine{m}, Events: []Event{event}})
	if err != nil {
		return Machine{}, err
	}
	m.Version++
	return m, nil
}

// commit writes c, brings the index up to date and wakes whoever waits for it.
// Every record that c changes is named by an event of it: that is how other
// processes on the same database hear of the change.
func (r *Registry) commit(ctx context.Context, c Change) error {
	if err := announced(c); err != nil {
		return err
	}
	if err := r.store.Commit(ctx, c); err != nil {
		return err
	}
	for _, m := range c.Delete {
		r.index.remove(m.ID)
	}
	for _, m := range c.Put {
		m.Version++ // as it is stored
		r.index.put(m)
		r.presence.wake(m.ID)
	}
	r.feed.poke()
	return nil
}

// announced reports a machine that c changes without an event that says so.
func announced(c Change) error {
	named := map[string]bool{}
	for _, e := range c.Events {
		named[e.Machine] = named[e.Machine] || e.Kind.reloads()
	}
	for _, m := range slices.Concat(c.Put, c.Delete) {
		if !named[m.ID] {
			return fmt.Errorf("change of machine %s: no event names it", m.ID)
		}
	}
	return nil
}

// follow takes events from the feed, of this process and of every other one on
// the same database, and reloads the machines they are about.
func (r *Registry) follow(ctx context.Context, events []Event) error {
	changed := map[string]bool{}
	for _, e := range events {
		if e.Machine != "" && e.Kind.reloads() {
			changed[e.Machine] = true
		}
	}
	if len(changed) == 0 {
		return nil
	}
	machines, err := r.store.Machines(ctx, Query{IDs: slices.Sorted(maps.Keys(changed))})
	if err != nil {
		return err
	}
	for _, m := range machines {
		r.index.put(m)
		r.presence.wake(m.ID)
		delete(changed, m.ID)
	}
	for id := range changed { // what is left was deleted
		r.index.remove(id)
	}
	return nil
}
