package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// MaxSelected is how many machines one request is about at most.
const MaxSelected = 10_000

// atOnce is how many machines of a selection are changed at a time: as many writes
// share a transaction of the store.
const atOnce = 64

// Selection is machines that are named, by ID or name, or those that a filter selects.
type Selection struct {
	Machines []string
	Filter   string   // as [ParseFilter] reads it
	Except   []string // IDs that the filter is not about
}

// Outcome is what becomes of one machine of a selection.
type Outcome struct {
	ID   string // empty for one that is not there
	Name string // what it is called; as it was asked for where it is not there
	Err  error  // what the same is answered with for this machine alone

	Plan *DeployPlan // of a deployment
	Undo *Undo       // of a change that can be taken back; nil of any other
}

// Done is how many came to what was asked for.
func Done(all []Outcome) (n int) {
	for _, o := range all {
		if o.Err == nil {
			n++
		}
	}
	return n
}

// one reports whether the selection can be no more than one machine.
func (s Selection) one() bool { return s.Filter == "" && len(s.Machines) == 1 }

// check notes what is wrong with the selection by itself.
func (s Selection) check(v *validator) {
	if (len(s.Machines) == 0) == (strings.TrimSpace(s.Filter) == "") {
		v.add("/machines", "say which machines: either machines or a filter")
	}
	if len(s.Machines) > MaxSelected {
		v.add("/machines", fmt.Sprintf("%d machines; at most %d at once", len(s.Machines), MaxSelected))
	}
}

// Select finds the machines of a selection: in the order they were named, or by name.
// One that is named and not there has an error already. What is wrong with the
// selection is an [*InvalidError].
func (r *Registry) Select(ctx context.Context, s Selection) ([]Outcome, error) {
	v := validator{}
	if s.check(&v); len(v.fields) > 0 {
		return nil, v.err()
	}
	if s.Filter != "" {
		return r.filtered(ctx, s)
	}
	found, err := r.find(ctx, s.Machines)
	if err != nil {
		return nil, err
	}
	first := map[string]int{} // by ID, or what was asked for
	all := make([]Outcome, 0, len(s.Machines))
	for i, named := range s.Machines {
		o := Outcome{Name: named}
		if m, ok := found[named]; ok {
			o = Outcome{ID: m.ID, Name: m.Name}
		} else if AppliedBefore(OncePart(ctx, named)) { // deleted, and the answer got lost
			o.ID = named
		} else {
			o.Err = fmt.Errorf("machine %.80q: %w", named, ErrNotFound)
		}
		key := o.ID + " " + o.Name
		if at, again := first[key]; again {
			return nil, &InvalidError{Fields: []FieldError{{"/machines/" + strconv.Itoa(i), "the same machine as number " + strconv.Itoa(at)}}}
		}
		first[key] = i
		all = append(all, o)
	}
	return all, nil
}

// filtered are the machines that the filter of a selection is about.
func (r *Registry) filtered(ctx context.Context, s Selection) ([]Outcome, error) {
	q := Query{Limit: MaxSelected + len(s.Except) + 1, Now: r.now(), Bare: true}
	var err error
	if q.Filter, err = ParseFilter(s.Filter); err != nil {
		return nil, &InvalidError{Fields: []FieldError{{"/filter", err.Error()}}}
	}
	machines, err := r.Machines(ctx, q)
	if err != nil {
		return nil, err
	}
	except := make(map[string]bool, len(s.Except))
	for _, id := range s.Except {
		except[id] = true
	}
	machines = slices.DeleteFunc(machines, func(m Machine) bool { return except[m.ID] })
	if len(machines) > MaxSelected {
		return nil, &InvalidError{Fields: []FieldError{{"/filter", fmt.Sprintf("it selects more than %d machines; narrow it down", MaxSelected)}}}
	}
	all := make([]Outcome, 0, len(machines))
	for _, m := range machines {
		all = append(all, Outcome{ID: m.ID, Name: m.Name})
	}
	return all, nil
}

// find looks machines up by ID or name, a few hundred at a time.
func (r *Registry) find(ctx context.Context, named []string) (map[string]Machine, error) {
	found := make(map[string]Machine, len(named))
	for some := range slices.Chunk(named, eachLoad) {
		q := Query{Bare: true}
		for _, name := range some {
			if strings.HasPrefix(name, "m-") {
				q.IDs = append(q.IDs, name)
			} else {
				q.Names = append(q.Names, name)
			}
		}
		machines, err := r.Machines(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, m := range machines {
			found[m.ID], found[m.Name] = m, m
		}
	}
	return found, nil
}

// eachOf does something to every machine that has no error yet, some at once, and
// keeps what became of it. It begins nothing after ctx ended, and errs where its
// caller went away.
func eachOf(ctx context.Context, all []Outcome, do func(ctx context.Context, o *Outcome) error) error {
	var group sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range all {
		o := &all[i]
		if o.Err != nil {
			continue
		}
		places <- struct{}{}
		if ctx.Err() != nil {
			o.Err = fmt.Errorf("%w: it was not begun", ctx.Err())
			<-places
			continue
		}
		group.Go(func() {
			defer func() { <-places }()
			o.Err = do(OncePart(ctx, o.ID), o)
		})
	}
	group.Wait()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
