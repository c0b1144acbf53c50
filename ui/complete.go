package ui

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// maxHints is how many ways to go on are offered.
const maxHints = 12

// hint is a filter, a step further than what was typed.
type hint struct {
	Filter string
	About  string // how many machines have the value
}

// complete is how a filter may go on: the names of fields, and the values that machines
// have of them.
func (u *UI) complete(w http.ResponseWriter, r *http.Request) error {
	found, err := u.hints(r.Context(), r.FormValue("q"))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, hintList(found))
}

func (u *UI) hints(ctx context.Context, text string) ([]hint, error) {
	head, last := "", text
	if i := strings.LastIndexAny(text, " \t"); i >= 0 {
		head, last = text[:i+1], text[i+1:]
	}
	if strings.Count(text, `"`)%2 == 1 { // within quotation marks
		return nil, nil
	}
	if strings.HasPrefix(last, "-") {
		head, last = head+"-", last[1:]
	}
	name, value, isField := strings.Cut(last, ":")
	if !isField {
		return u.fieldHints(ctx, head, last)
	}
	return u.valueHints(ctx, head, name, value)
}

// fieldHints are the fields that begin as typed, and the labels there are.
func (u *UI) fieldHints(ctx context.Context, head, typed string) (hints []hint, err error) {
	for _, name := range fieldNames() {
		if name != string(registry.FieldLabel) && strings.HasPrefix(name, typed) {
			hints = append(hints, hint{Filter: head + name + ":"})
		}
	}
	label := string(registry.FieldLabel) + "."
	if typed != "" && (strings.HasPrefix(label, typed) || strings.HasPrefix(typed, label)) {
		keys, err := u.Machines.Tally(ctx, registry.Query{Now: time.Now()}, registry.TallyBy{Field: registry.FieldLabel, Part: strings.TrimPrefix(typed, label), Limit: maxHints})
		if strings.HasPrefix(label, typed) {
			keys, err = u.Machines.Tally(ctx, registry.Query{Now: time.Now()}, registry.TallyBy{Field: registry.FieldLabel, Limit: maxHints})
		}
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			hints = append(hints, hint{head + label + key.Value + ":", machinesOf(key.N)})
		}
	}
	return hints, nil
}

// valueHints are the values that machines have, among those that the rest of the filter
// selects.
func (u *UI) valueHints(ctx context.Context, head, name, typed string) (hints []hint, err error) {
	by := registry.TallyBy{Field: registry.Field(name), Limit: maxHints}
	if key, isLabel := strings.CutPrefix(name, string(registry.FieldLabel)+"."); isLabel && key != "" {
		by.Field, by.Key = registry.FieldLabel, key
	}
	if by.Field == registry.FieldLabel && by.Key == "" || !slices.Contains(registry.TallyFields(), by.Field) {
		return nil, nil
	}
	before, part := "", typed
	if i := strings.LastIndexAny(typed, ",~"); i >= 0 {
		before, part = typed[:i+1], typed[i+1:]
	}
	by.Part = part
	q := registry.Query{Now: time.Now()}
	if q.Filter, err = registry.ParseFilter(strings.TrimSuffix(head, "-")); err != nil {
		q.Filter = nil
	}
	values, err := u.Machines.Tally(ctx, q, by)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if v.Value != "" {
			term := registry.Term{Field: by.Field, Key: by.Key, Values: []string{v.Value}}.String()
			hints = append(hints, hint{head + name + ":" + before + strings.TrimPrefix(term, name+":"), machinesOf(v.N)})
		}
	}
	return hints, nil
}
