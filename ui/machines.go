package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dragonfly/registry"
)

const pageSize = 50 // of about a kilobyte each

// listing is one page of the machine list.
type listing struct {
	View      view
	Columns   []column
	Groups    []group // what the machines are grouped by; none: they are not
	MoreGroup bool    // there are more than are shown
	Views     []savedView
	Fault     string // what is wrong with the filter
	Rows      []row
	Place     place
	Counts    counts
	Problems  []string
	Answering []string
	Cursor    int64 // the live frame it is as new as
	Operator  bool
}

// shape is the columns as addresses have them.
func (l listing) shape() string {
	names := make([]string, 0, len(l.Columns))
	for _, c := range l.Columns {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",")
}

// below is the address of a part of the list, which is to look as the list does.
func (l listing) below(path string) string {
	at := l.View.url(path)
	if strings.Contains(at, "?") {
		return at + "&shape=" + l.shape()
	}
	return at + "?shape=" + l.shape()
}

// followed is the stream of what changes in the list.
func (l listing) followed() string { return l.below("/live") + fmt.Sprintf("&after=%d", l.Cursor) }

// chosen is the filter that selects everything that is listed.
func (v view) chosen() string {
	filter, err := v.selects()
	if err != nil || filter == "" {
		return everything
	}
	return filter
}

// everything is a filter that matches each machine: one that is empty selects none, so
// that nobody changes all of them by leaving something out.
const everything = "-id:none"

// view is which machines are listed, and how; it is what the address says.
type view struct {
	Filter string // as [registry.ParseFilter] reads it
	Sort   string // as [registry.ParseSort] reads it
	After  string // the last machine of the page before: what it is sorted by,
	Last   string // and its ID, but by name
	Cols   string // the columns, where the address says them
	Group  string // what machines are grouped by; empty: they are not
	Open   string // "=" and the value of the group that is open; empty: none is
}

func viewIn(r *http.Request) view { return viewAt(r.FormValue) }

// viewAt is the view of an address.
func viewAt(get func(string) string) view {
	return view{Filter: strings.TrimSpace(get("q")), Sort: get("sort"), After: get("after"), Last: get("last"), Cols: get("cols"), Group: get("group"), Open: get("open")}
}

// whole reports whether every machine is listed, by name.
func (v view) whole() bool { return v.Filter == "" && v.Sort == "" && v.Group == "" }

// url is the address of the view below a path.
func (v view) url(path string) string {
	values := url.Values{}
	for _, p := range [][2]string{{"q", v.Filter}, {"sort", v.Sort}, {"after", v.After}, {"last", v.Last}, {"cols", v.Cols}, {"group", v.Group}, {"open", v.Open}} {
		if p[1] != "" {
			values.Set(p[0], p[1])
		}
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// at is the view behind a position.
func (v view) at(p registry.Position) view {
	v.After, v.Last = p.Key, p.ID
	return v
}

// sorted is the view by a field, from its beginning; the other way round where it is
// by that field already.
func (v view) sorted(field string) view {
	if field == v.Sort || field == "name" && v.Sort == "" {
		field = "-" + field
	}
	if field == "name" {
		field = ""
	}
	first := v.first()
	first.Sort = field
	return first
}

// first is the view from its beginning.
func (v view) first() view {
	v.After, v.Last = "", ""
	return v
}

// by is the view grouped by something else.
func (v view) by(group string) view {
	return view{Filter: v.Filter, Sort: v.Sort, Cols: v.Cols, Group: group}
}

// order says how a field is sorted by, as aria-sort does; empty where it is not.
func (v view) order(field string) string {
	switch strings.TrimPrefix(cmp.Or(v.Sort, "name"), "-") {
	case field:
		if strings.HasPrefix(v.Sort, "-") {
			return "descending"
		}
		return "ascending"
	}
	return ""
}

func (u *UI) machines(w http.ResponseWriter, r *http.Request) error {
	list, err := u.listing(r, viewIn(r))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, machinesPage(u.frame(r, "Machines"), list))
}

// machineRows is the part of the page that a change of the list, or of its filter,
// replaces. What is followed changes with the filter.
func (u *UI) machineRows(w http.ResponseWriter, r *http.Request) error {
	list, err := u.listing(r, viewIn(r))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, machineRows(list, r.FormValue("typed") != ""))
}

// columnsOf are the columns of a list: those that the page has already, those of its
// address, those that are preferred, or the usual ones.
func (u *UI) columnsOf(r *http.Request, v view, l liking) ([]column, error) {
	for _, text := range []string{r.FormValue("shape"), v.Cols} {
		if names, err := columnsIn(text); err != nil || names != nil {
			return shown(names), err
		}
	}
	if len(l.Columns) > 0 {
		return shown(l.Columns), nil
	}
	return shown(usualColumns()), nil
}

// listing reads a page. The cursor is taken before the machines are, so that no
// change falls between the two.
func (u *UI) listing(r *http.Request, v view) (listing, error) {
	ctx := r.Context()
	if err := u.live.catchUp(ctx); err != nil {
		return listing{}, err
	}
	likes, err := u.likingOf(r)
	if err != nil && !errors.Is(err, registry.ErrUnavailable) { // the list is there without the database, too
		return listing{}, err
	}
	cols, err := u.columnsOf(r, v, likes)
	if err != nil {
		return listing{}, err
	}
	list := listing{View: v, Columns: cols, Views: likes.Views, Operator: operator(r), Cursor: u.live.cursor(), Problems: u.Problems(), Answering: u.Answering, Counts: u.live.counts()}
	return list, u.fill(ctx, &list)
}

// fill reads what is listed.
func (u *UI) fill(ctx context.Context, list *listing) error {
	v := list.View
	q, err := v.query()
	if _, refused := errors.AsType[*httpError](err); refused {
		return err
	}
	if err != nil {
		list.Fault = sentence(err)
		return nil
	}
	if v.Group != "" {
		if list.Groups, list.MoreGroup, err = u.groups(ctx, v, q); err != nil {
			return err
		}
		if _, open := v.opened(); !open {
			return nil
		}
	}
	machines, err := u.Machines.Machines(ctx, q)
	if err != nil {
		return err
	}
	list.Rows = u.live.rows(machines, time.Now(), false)
	list.Place = u.placeOf(v, q.Sort, machines)
	return nil
}

// query is what the store is asked for.
func (v view) query() (q registry.Query, err error) {
	q = registry.Query{After: registry.Position{Key: v.After, ID: v.Last}, Limit: pageSize, Brief: true, Now: time.Now()}
	filter, err := v.selects()
	if err != nil {
		return q, err
	}
	if q.Filter, err = registry.ParseFilter(filter); err != nil {
		return q, err
	}
	q.Sort, err = registry.ParseSort(v.Sort)
	return q, err
}

// placeOf is where a page stands. Of all machines by name that is counted; in another
// list there is no telling how many there are without reading them.
func (u *UI) placeOf(v view, by registry.Sort, shown []registry.Machine) place {
	if v.whole() {
		return u.live.place(v.After, shown)
	}
	p := place{HasPrevious: v.After+v.Last != ""}
	if len(shown) == pageSize {
		p.Next = by.Position(shown[len(shown)-1])
	}
	return p
}

// fieldNames are what can be filtered by.
func fieldNames() (names []string) {
	for _, f := range registry.Fields() {
		if f != registry.FieldAny {
			names = append(names, string(f))
		}
	}
	return names
}
