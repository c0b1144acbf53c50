package ui

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// column is one of the machine list, beside the machine's name, which is always there.
type column struct {
	Name, Title string
	Sort        string // field that it is sorted by; empty where it cannot be
}

// columns lists what there is, in the order in which it is offered.
func columns() []column {
	return []column{
		{"state", "State", "state"},
		{"net", "MAC and address", ""},
		{"product", "Product and serial", "model"},
		{"cpu", "CPU and memory", ""},
		{"disks", "Disks", ""},
		{"doing", "Last event", ""},
		{"tags", "Tags and owner", ""},
		{"os", "Operating system", ""},
		{"note", "Note", ""},
		{"labels", "Labels", ""},
		{"bmc", "BMC and vendor", "vendor"},
		{"known", "Registered", "registered"},
	}
}

// maxColumns is how many fit beside each other on a desk.
const maxColumns = 9

// usualColumns are those of whoever has not chosen any.
func usualColumns() []string { return []string{"state", "net", "product", "cpu", "disks", "doing"} }

// columnsIn reads a list of columns as addresses have it; nil where there is none.
func columnsIn(text string) ([]string, error) {
	var chosen []string
	for name := range strings.SplitSeq(text, ",") {
		if name == "" || slices.Contains(chosen, name) {
			continue
		}
		if !slices.ContainsFunc(columns(), func(c column) bool { return c.Name == name }) {
			return nil, &httpError{status: http.StatusBadRequest, detail: fmt.Sprintf("There is no column %q.", cut(name, 40))}
		}
		chosen = append(chosen, name)
	}
	if len(chosen) > maxColumns {
		return nil, &httpError{status: http.StatusBadRequest, detail: fmt.Sprintf("At most %d columns fit beside each other.", maxColumns)}
	}
	return chosen, nil
}

// shown are the columns of a list, in their order.
func shown(names []string) (out []column) {
	all := columns()
	for _, name := range names {
		if i := slices.IndexFunc(all, func(c column) bool { return c.Name == name }); i >= 0 {
			out = append(out, all[i])
		}
	}
	return out
}

// hidden are the columns that a list does not show.
func (l listing) hidden() (rest []column) {
	for _, c := range columns() {
		if !slices.Contains(l.Columns, c) {
			rest = append(rest, c)
		}
	}
	return rest
}

// shapeOf is the names of a list's columns.
func shapeOf(l listing) []string { return strings.Split(l.shape(), ",") }
