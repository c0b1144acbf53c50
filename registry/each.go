package registry

import (
	"context"
	"slices"
	"strings"
)

// eachLoad is how many machines [Registry.Each] loads at once.
const eachLoad = 500

// Each calls do with the machines that match, some at a time, in the order of their
// names. It is about those that are there when it begins: one that is renamed
// meanwhile is neither left out nor told twice. Of the hardware it has what
// [Hardware.Brief] has.
func (r *Registry) Each(ctx context.Context, filter Filter, do func([]Machine) error) error {
	entries := r.index.entries(nil)
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	for some := range slices.Chunk(entries, eachLoad) {
		machines, err := r.among(ctx, some)
		if err != nil {
			return err
		}
		now := r.now()
		machines = slices.DeleteFunc(machines, func(m Machine) bool { return !filter.Match(m, now) })
		if len(machines) == 0 {
			continue
		}
		if err := do(machines); err != nil {
			return err
		}
	}
	return nil
}

// among loads the machines of the entries, by their names of now.
func (r *Registry) among(ctx context.Context, entries []Entry) ([]Machine, error) {
	q := Query{Brief: true, IDs: make([]string, 0, len(entries))}
	for _, e := range entries {
		q.IDs = append(q.IDs, e.ID)
	}
	return r.Machines(ctx, q)
}
