package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// MaxImport bounds a list: as many entries are imported at once.
const MaxImport = 10_000

const (
	importAtOnce = 64  // writes on their way: as many share a transaction of a store
	importLoad   = 500 // entries whose machines are looked for at once
)

// ImportItem is an entry of a list, and what somebody has agreed to.
type ImportItem struct {
	Listed
	Plan string `json:"plan,omitempty" maxLength:"40" doc:"that of a dry run: nothing else is done than what that told"`
}

// Import brings a list of machines: one that is known, by UUID, serial number,
// address or name, is edited, and another one is expected from then on. Each entry
// is written, or refused, on its own; what became of it is its step. A lost race is
// planned anew, and refused where that is another plan than the one of the item.
// With [WithDryRun] the steps are what would be done.
//
// It errs with [*InvalidError] where the list is too long, with [ErrUnavailable],
// or as ctx does.
func (r *Registry) Import(ctx context.Context, items []ImportItem) ([]ImportStep, error) {
	if len(items) > MaxImport {
		return nil, &InvalidError{Fields: []FieldError{{"/items", fmt.Sprintf("%d entries; at most %d", len(items), MaxImport)}}}
	}
	if err := r.writable(); err != nil {
		return nil, err
	}
	steps, err := r.planImport(ctx, items)
	if err != nil || dryRun(ctx) {
		return steps, err
	}
	r.importSteps(ctx, items, steps)
	r.countSteps(steps)
	return steps, ctx.Err()
}

// importSteps carries out the steps of items, round by round.
func (r *Registry) importSteps(ctx context.Context, items []ImportItem, steps []ImportStep) {
	for round := 0; ; round++ {
		var due []int
		for i, s := range steps {
			if s.round == round && s.Err == nil {
				due = append(due, i)
			}
		}
		if len(due) == 0 {
			return
		}
		r.importRound(ctx, items, steps, due)
	}
}

// planImport loads what is stored of the machines of a list, and plans.
func (r *Registry) planImport(ctx context.Context, items []ImportItem) ([]ImportStep, error) {
	plan := importPlan{now: r.now(), actor: ActorOf(ctx).Name, taken: r.index.isNamed}
	list, loaded := make([]Listed, len(items)), map[string]bool{}
	for i, item := range items {
		list[i] = item.Listed
	}
	for some := range slices.Chunk(list, importLoad) {
		machines, err := r.store.Machines(ctx, r.listedQuery(some))
		if r.heard(ctx, err) != nil {
			return nil, fmt.Errorf("import machines: %w", err)
		}
		for _, m := range machines {
			if !loaded[m.ID] {
				loaded[m.ID] = true
				plan.stored = append(plan.stored, m)
			}
		}
	}
	steps := planImport(list, plan)
	for i := range steps {
		if agreed := items[i].Plan; agreed != "" && steps[i].Err == nil && steps[i].Action != ImportSame && agreed != steps[i].Fingerprint() {
			steps[i].refuse(&ListError{"what would be done is not what was agreed to: somebody has changed it meanwhile; look at it anew"})
		}
	}
	return steps, nil
}

// listedQuery selects the machines that the entries may be about. The store is
// asked for names and addresses, the index for who has a UUID or a serial number.
func (r *Registry) listedQuery(list []Listed) Query {
	q := Query{Brief: true, IDs: []string{""}} // none of them is no reason to load all
	for _, l := range list {
		l = l.normalise()
		q.MACs = append(q.MACs, l.MACs...)
		q.IDs = append(q.IDs, r.index.candidates(Registration{Hardware: Hardware{System: l.system()}})...)
		if l.Name != "" {
			q.Names = append(q.Names, l.Name)
		}
	}
	return q
}

// importRound carries out the steps that are due, some at once.
func (r *Registry) importRound(ctx context.Context, items []ImportItem, steps []ImportStep, due []int) {
	var group sync.WaitGroup
	places := make(chan struct{}, importAtOnce)
	for _, i := range due {
		if steps[i].Action == ImportSame {
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			steps[i] = r.importOne(ctx, items[i], steps[i])
		})
	}
	group.Wait()
}

// importOne carries out a step, planning it anew as often as a race is lost.
func (r *Registry) importOne(ctx context.Context, item ImportItem, step ImportStep) ImportStep {
	for range attempts {
		if err := ctx.Err(); err != nil {
			step.refuse(fmt.Errorf("%w: it was not begun", err))
			return step
		}
		err := r.importStep(ctx, &step)
		if err == nil {
			return step
		}
		if _, lost := errors.AsType[*ConflictError](err); !lost {
			step.refuse(err)
			return step
		}
		again, err := r.planImport(ctx, []ImportItem{item})
		if err != nil {
			step.refuse(err)
			return step
		}
		if step = again[0]; step.Err != nil || step.Action == ImportSame {
			return step
		}
	}
	step.refuse(&ConflictError{Object: "machine " + step.Machine.ID})
	return step
}

// importStep writes what a step makes of its machine.
func (r *Registry) importStep(ctx context.Context, step *ImportStep) error {
	m := step.Machine
	if m.Version > 0 { // what was planned with has only a part of the hardware
		whole, err := r.store.Machines(ctx, Query{IDs: []string{m.ID}})
		if r.heard(ctx, err) != nil {
			return err
		}
		if len(whole) != 1 || whole[0].Version != m.Version {
			return &ConflictError{Object: "machine " + m.ID, Read: m.Version}
		}
		system := m.Hardware.System
		m.Hardware = whole[0].Hardware
		m.Hardware.System = system
	}
	change, err := r.importChange(ctx, *step, m)
	if err == nil {
		err = r.commit(ctx, change)
	}
	if err == nil {
		step.Machine = m
		step.Machine.Version++
	}
	return err
}

// importChange is the change that a step makes, with what it says of it.
func (r *Registry) importChange(ctx context.Context, step ImportStep, m Machine) (Change, error) {
	actor, now := ActorOf(ctx), r.now()
	was, is := map[string]string{}, map[string]string{"name": m.Name}
	fields := make([]string, 0, len(step.Changes))
	for _, c := range step.Changes {
		was[c.Field], is[c.Field] = c.Before, c.After
		fields = append(fields, c.Field)
	}
	message := "expected: a list names it"
	if step.Action == ImportEdit {
		was["name"], message = step.before.Name, "edited by a list: "+listed(fields)
	}
	if actor.Name != "" {
		message += ", by " + actor.Name
	}
	before, errWas := json.Marshal(was)
	after, errIs := json.Marshal(is)
	if step.Action == ImportCreate {
		before = nil
	}
	change := Change{Op: newOp(), Put: []Machine{m}, Delete: step.absorb,
		Events: []Event{m.event(MachineImported, now, message)},
		Audit:  []AuditEntry{{At: now, Actor: actor, Action: string(MachineImported), Object: m.ID, Before: before, After: after}}}
	for _, other := range step.absorb {
		change.Events = append(change.Events, m.event(MachineMerged, now, other.Name+" was the same machine"),
			other.event(MachineDeleted, now, strings.TrimSpace(other.Name+" is the same machine as "+m.Name)))
	}
	return change, errors.Join(errWas, errIs)
}

// imports counts what became of entries of lists.
type imports struct {
	mu sync.Mutex
	by map[ImportAction]int64
}

// countSteps counts what was done.
func (r *Registry) countSteps(all ...[]ImportStep) {
	r.imports.mu.Lock()
	defer r.imports.mu.Unlock()
	if r.imports.by == nil {
		r.imports.by = map[ImportAction]int64{}
	}
	for _, s := range slices.Concat(all...) {
		r.imports.by[s.Action]++
	}
}

// Imported is how many entries of lists and manifests came to that, since the start.
func (r *Registry) Imported(a ImportAction) int64 {
	r.imports.mu.Lock()
	defer r.imports.mu.Unlock()
	return r.imports.by[a]
}
