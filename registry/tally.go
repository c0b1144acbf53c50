package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// TallyBy is what machines are counted by: what they have of a field.
type TallyBy struct {
	Field Field  // one of [TallyFields], or [FieldAny]: all are counted as one
	Key   string // of the label, where Field is [FieldLabel]; empty: the keys are counted
	Part  string // only values that have it as a part, as filters compare
	Limit int    // of the values; 0: all
}

// Tally is a value, and how many machines have it.
type Tally struct {
	Value string
	N     int
}

// TallyFields lists the fields that machines have in common, of which it is worth while
// to count the values.
func TallyFields() []Field {
	return []Field{FieldState, FieldVendor, FieldModel, FieldArch, FieldTag, FieldLabel, FieldOwner, FieldOS, FieldOnline, FieldLocked}
}

// Check reports a field that is not counted by, which is a fault of the caller.
func (b TallyBy) Check() error {
	if b.Field != FieldAny && !slices.Contains(TallyFields(), b.Field) {
		return fmt.Errorf("count by %.40q: it is not counted by", b.Field)
	}
	return nil
}

// Of counts machines at the time now: the most frequent value first, and among equals in
// the order of their texts. Values that differ in their case only are one, called by the
// text of theirs that is first. One of several tags or labels counts each time. A store
// must agree with it.
func (b TallyBy) Of(machines []Machine, now time.Time) []Tally {
	by := map[string]Tally{} // by folded value
	for _, m := range machines {
		mine := map[string]bool{}
		for _, value := range b.texts(m, now) {
			folded := Fold(value)
			if !strings.Contains(folded, Fold(b.Part)) {
				continue
			}
			t, known := by[folded]
			if !known || value < t.Value {
				t.Value = value
			}
			if !mine[folded] {
				t.N++
			}
			mine[folded], by[folded] = true, t
		}
	}
	all := slices.SortedFunc(maps.Values(by), func(a, b Tally) int {
		return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(Fold(a.Value), Fold(b.Value)))
	})
	if b.Limit > 0 && len(all) > b.Limit {
		all = all[:b.Limit]
	}
	return all
}

func (b TallyBy) texts(m Machine, now time.Time) []string {
	switch {
	case b.Field == FieldAny:
		return []string{""}
	case b.Field == FieldLabel && b.Key == "":
		return slices.Collect(maps.Keys(m.Labels))
	case b.Field == FieldTag || b.Field == FieldLabel:
		var folded []string // as they are kept
		for _, value := range (Term{Field: b.Field, Key: b.Key}).texts(m, now) {
			folded = append(folded, Fold(value))
		}
		return folded
	}
	return Term{Field: b.Field}.texts(m, now)
}

// Tally counts the machines that match a filter by what they have of a field. While the
// store is away it counts those that were known last.
func (r *Registry) Tally(ctx context.Context, q Query, by TallyBy) ([]Tally, error) {
	if !r.away() {
		found, err := r.store.Tally(ctx, q, by)
		if r.heard(ctx, err) == nil || !r.away() {
			return found, err
		}
	}
	machines, err := r.lastKnown(ctx, Query{Filter: q.Filter, Now: q.Now, Brief: true})
	return by.Of(machines, q.Now), err
}
