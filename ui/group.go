package ui

import (
	"context"
	"net/http"
	"strings"

	"dragonfly/registry"
)

// grouping is what machines can be put together by.
type grouping struct{ Name, Title string }

// groupings lists what is offered; an address may name any label, as in label.row.
func groupings() []grouping {
	return []grouping{{"state", "State"}, {"tag", "Tag"}, {"label.rack", "Rack"}, {"vendor", "Vendor"}, {"model", "Model"}, {"os", "Operating system"}, {"owner", "Owner"}, {"arch", "Architecture"}}
}

// group is the machines that have one thing in common.
type group struct {
	Value string
	None  bool // they have nothing
	N     int
	Open  bool
	URL   string // opens it, or shuts it
}

// maxGroups is how many are listed.
const maxGroups = 200

// groupField is what the view is grouped by.
func (v view) groupField() (by registry.TallyBy, err error) {
	by = registry.TallyBy{Field: registry.Field(v.Group), Limit: maxGroups + 1}
	if key, isLabel := strings.CutPrefix(v.Group, string(registry.FieldLabel)+"."); isLabel && key != "" {
		by.Field, by.Key = registry.FieldLabel, key
	}
	if by.Field == registry.FieldAny || by.Check() != nil || by.Field == registry.FieldLabel && by.Key == "" {
		return by, &httpError{status: http.StatusBadRequest, detail: "Machines cannot be grouped by " + cut(v.Group, 40) + "."}
	}
	return by, nil
}

// opened is the value of the group that is open.
func (v view) opened() (value string, open bool) { return strings.CutPrefix(v.Open, "=") }

// term is the filter of a group. What has several values, or may lack them, is told by
// having none at all.
func (by groupTerm) filter() registry.Term {
	if by.value == "" && (by.Field == registry.FieldTag || by.Field == registry.FieldLabel) {
		return registry.Term{Field: by.Field, Key: by.Key, Not: true, Part: true, Values: []string{""}}
	}
	return registry.Term{Field: by.Field, Key: by.Key, Values: []string{by.value}}
}

// groupTerm is a value that machines are grouped by.
type groupTerm struct {
	registry.TallyBy
	value string
}

// selects is the filter of what is listed: with that of the open group, where there is one.
func (v view) selects() (string, error) {
	value, open := v.opened()
	if v.Group == "" || !open {
		return v.Filter, nil
	}
	by, err := v.groupField()
	return strings.TrimSpace(v.Filter + " " + groupTerm{by, value}.filter().String()), err
}

// groups are those of a view, the largest first. Machines that have nothing of the kind
// are the last.
func (u *UI) groups(ctx context.Context, v view, q registry.Query) (groups []group, more bool, err error) {
	by, err := v.groupField()
	if err != nil {
		return nil, false, err
	}
	if q.Filter, err = registry.ParseFilter(v.Filter); err != nil {
		return nil, false, err
	}
	found, err := u.Machines.Tally(ctx, q, by)
	if err != nil {
		return nil, false, err
	}
	if more = len(found) > maxGroups; more {
		found = found[:maxGroups]
	}
	if by.Field == registry.FieldTag || by.Field == registry.FieldLabel {
		q.Filter = append(q.Filter, groupTerm{by, ""}.filter())
		rest, err := u.Machines.Tally(ctx, q, registry.TallyBy{})
		if err != nil {
			return nil, false, err
		}
		found = append(found, rest...)
	}
	value, open := v.opened()
	for _, t := range found {
		g := group{Value: t.Value, None: t.Value == "", N: t.N, Open: open && registry.Fold(value) == registry.Fold(t.Value)}
		to := view{Filter: v.Filter, Sort: v.Sort, Cols: v.Cols, Group: v.Group}
		if !g.Open {
			to.Open = "=" + t.Value
		}
		g.URL = to.url("/machines")
		groups = append(groups, g)
	}
	return groups, more, nil
}
