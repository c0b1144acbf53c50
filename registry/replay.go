package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// enrolment is a registration on its way to the store. Its operation id is the
// same at every attempt, so that one whose answer got lost is not applied twice.
type enrolment struct {
	Op           string       `json:"op"`
	ID           string       `json:"id"` // of the machine, where it is a new one
	At           time.Time    `json:"at"`
	Registration Registration `json:"registration"`
}

// record is what waits in the journal: one of its fields is set.
type record struct {
	Enrolment *enrolment `json:"enrolment,omitempty"`
	Steps     *bootSteps `json:"steps,omitempty"`
}

// bootSteps is boot steps that were seen while the store was away.
type bootSteps struct {
	Op    string     `json:"op"`
	Batch []Sighting `json:"batch"`
}

// journal files a registration that the store did not take, and returns the
// machine as it will most likely be.
func (r *Registry) journal(ctx context.Context, e enrolment) (m Machine, created bool, err error) {
	if err := r.outage.turns.wait(ctx); err != nil {
		return Machine{}, false, err
	}
	r.outage.filing.RLock()
	defer r.outage.filing.RUnlock()
	if !r.away() {
		return Machine{}, false, errBack
	}
	text, err := json.Marshal(record{Enrolment: &e})
	if err != nil {
		return Machine{}, false, err
	}
	m, created, err = r.foresee(e)
	if err != nil {
		return Machine{}, false, err
	}
	defer r.index.release(m.ID)
	if m.ID == e.ID { // it is a record of its own
		if err := r.admitNew(e.Registration); err != nil {
			return Machine{}, false, err
		}
	}
	if err := r.standby.Journal.Append(text, true); err != nil {
		return Machine{}, false, err
	}
	r.show(m)
	return m, created, nil
}

// errBack is returned where the store took over again meanwhile.
var errBack = errors.New("the database is back")

// foresee is the machine that a registration will make, as far as it is known
// here: another server may have changed it, and a new name may be taken. The caller
// gives back the claim to its name.
func (r *Registry) foresee(e enrolment) (m Machine, created bool, err error) {
	var match Machine
	var others []Machine
	if ids := r.index.find(nil, e.Registration.MACs); len(ids) > 0 {
		known, err := r.standby.Copy.Machines(context.Background(), Query{IDs: ids})
		if err != nil {
			return m, false, fmt.Errorf("%w; and the last known state cannot be read: %w", ErrUnavailable, err)
		}
		match, _ = Match(e.Registration, known, r.alive)
		others = slices.DeleteFunc(known, func(m Machine) bool { return m.ID == match.ID })
	}
	if match.ID == "" {
		match = r.newMachine(e.ID, e.Registration, e.At, 0)
	}
	assigned, _, _ := r.assign(match, e, 0)
	if m, _, err = enrol(assigned, others, e); err != nil {
		r.index.release(match.ID)
		return m, false, err
	}
	m.Journaled, m.AsOf = true, r.Outage().AsOf
	return m, match.RegisteredAt.IsZero(), nil
}

// show makes a machine whose registration waits visible, on this host.
func (r *Registry) show(m Machine) {
	r.standby.Copy.Keep([]Machine{m}, nil)
	r.index.put(m)
	r.presence.wake(m.ID)
}

// foreseeAll shows what the journal of an earlier run holds.
func (r *Registry) foreseeAll() error {
	return r.standby.Journal.Each(func(text []byte) error {
		var rec record
		if json.Unmarshal(text, &rec) != nil || rec.Enrolment == nil {
			return nil // the replay says so
		}
		if m, _, err := r.foresee(*rec.Enrolment); err == nil {
			r.show(m)
			r.index.release(m.ID)
		}
		return nil
	})
}

// journalSteps keeps boot steps for a timeline that cannot be written now.
func (r *Registry) journalSteps(ctx context.Context, steps bootSteps) error {
	if err := r.outage.turns.wait(ctx); err != nil {
		return err
	}
	r.outage.filing.RLock()
	defer r.outage.filing.RUnlock()
	if !r.away() {
		return errBack
	}
	text, err := json.Marshal(record{Steps: &steps})
	if err != nil {
		return err
	}
	return r.standby.Journal.Append(text, false)
}

// replayBatch is how many records are settled at once, and replayLast how many while
// nobody can append.
const (
	replayBatch = 100
	replayLast  = 4 * replayBatch
)

// replay applies the journal in its order, and ends the outage when nothing is
// left of it. The last records are applied while nobody can append: those that
// came while the ones before them were applied. Until then whoever appends takes
// turns with it, or there would be no last ones.
func (r *Registry) replay(ctx context.Context) error {
	p := &replayer{registry: r, ours: map[string]bool{}}
	r.outage.turns.begin()
	defer r.outage.turns.end()
	if err := p.drain(ctx, replayLast); err != nil {
		return err
	}
	r.outage.filing.Lock()
	defer r.outage.filing.Unlock()
	if err := p.drain(ctx, 0); err != nil {
		return err
	}
	r.outage.mu.Lock()
	defer r.outage.mu.Unlock()
	r.log.Info("the database is back", "away", r.now().Sub(r.outage.now.Since).Round(time.Second), "applied", p.applied.Load(), "buried", p.buried.Load())
	r.outage.now, r.outage.good = Outage{}, r.now()
	r.feed.poke()
	return nil
}

// replayer applies records of the journal.
type replayer struct {
	registry *Registry
	mu       sync.Mutex
	ours     map[string]bool // machines that this replay has written
	applied  atomic.Int64
	buried   atomic.Int64
}

// drain applies records until no more than so many are left. A part of the journal
// that cannot be read counts as none: what is behind it can.
func (p *replayer) drain(ctx context.Context, left int) error {
	journal := p.registry.standby.Journal
	for journal.Stats().Records > left {
		n, err := journal.Drain(replayBatch, func(records [][]byte) error { return p.apply(ctx, records) })
		if err != nil {
			return err
		}
		p.registry.outage.turns.give(n / 2)
	}
	return nil
}

// apply settles records: together those that are about different machines, one
// after the other those that are not.
func (p *replayer) apply(ctx context.Context, texts [][]byte) error {
	about := map[string]bool{}
	var wave [][]byte
	for _, text := range texts {
		keys := keysOf(text)
		clash := len(keys) == 0
		for _, key := range keys {
			clash = clash || about[key]
		}
		if clash {
			if err := p.together(ctx, wave); err != nil {
				return err
			}
			wave = nil
			clear(about)
		}
		wave = append(wave, text)
		for _, key := range keys {
			about[key] = true
		}
		if len(keys) == 0 {
			if err := p.together(ctx, wave); err != nil {
				return err
			}
			wave = nil
		}
	}
	return p.together(ctx, wave)
}

// keysOf is what tells the machine of a registration; nothing for other records,
// which are applied by themselves.
func keysOf(text []byte) (keys []string) {
	var rec record
	if json.Unmarshal(text, &rec) != nil || rec.Enrolment == nil {
		return nil
	}
	reg := rec.Enrolment.Registration
	for _, mac := range reg.MACs {
		keys = append(keys, mac.String())
	}
	return append(keys, marks(reg.Hardware.System)...)
}

func (p *replayer) together(ctx context.Context, texts [][]byte) error {
	errs := make([]error, len(texts))
	var group sync.WaitGroup
	for i, text := range texts {
		group.Go(func() { errs[i] = p.settle(ctx, text) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// settle applies one record. One that can never be applied is buried; an error
// means that it has to be tried again.
func (p *replayer) settle(ctx context.Context, text []byte) error {
	err := p.applyOne(ctx, text)
	_, raced := errors.AsType[*ConflictError](err)
	switch {
	case err == nil:
		p.applied.Add(1)
		return nil
	case raced, errors.Is(err, ErrUnavailable), ctx.Err() != nil:
		return err
	}
	if err := p.retract(ctx, text); err != nil {
		return err
	}
	p.buried.Add(1)
	p.registry.log.Error("a record of the journal cannot be applied; it is kept among the dead letters", "err", err)
	return p.registry.standby.Dead.Bury(DeadLetter{At: p.registry.now().UTC(), Why: err.Error(), Record: text})
}

func (p *replayer) applyOne(ctx context.Context, text []byte) error {
	var rec record
	if err := json.Unmarshal(text, &rec); err != nil {
		return fmt.Errorf("read the record: %w", err)
	}
	switch {
	case rec.Enrolment != nil:
		return p.enrol(ctx, *rec.Enrolment)
	case rec.Steps != nil:
		_, err := p.registry.fileBatch(ctx, *rec.Steps)
		return err
	}
	return errors.New("the record says nothing that this program knows")
}

// enrol applies a registration that waited. Where another server took a later one
// of the same machine, that one stays.
func (p *replayer) enrol(ctx context.Context, e enrolment) error {
	r := p.registry
	if err := e.Registration.Validate(); err != nil {
		return err
	}
	m, _, err := r.enrol(ctx, e, func(match Machine) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return match.RegisteredAt.After(e.At) && !p.ours[match.ID]
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.ours[m.ID] = true
	p.mu.Unlock()
	if m.ID != e.ID { // it was foreseen as a machine of its own, and is not
		r.hide(e.ID)
	}
	r.index.put(m)
	r.standby.Copy.Keep([]Machine{m}, nil)
	return nil
}

// retract shows what the store has of a machine whose registration was buried.
func (p *replayer) retract(ctx context.Context, text []byte) error {
	var rec record
	if json.Unmarshal(text, &rec) != nil || rec.Enrolment == nil {
		return nil
	}
	r := p.registry
	ids := append(r.index.find(nil, rec.Enrolment.Registration.MACs), rec.Enrolment.ID)
	machines, err := r.store.Machines(ctx, Query{IDs: ids})
	if err != nil {
		return err
	}
	for _, id := range ids {
		r.hide(id)
	}
	for _, m := range machines {
		r.index.put(m)
	}
	r.standby.Copy.Keep(machines, nil)
	return nil
}

// hide forgets a machine that was shown and is not.
func (r *Registry) hide(id string) {
	r.standby.Copy.Keep(nil, []string{id})
	r.index.remove(id)
}
