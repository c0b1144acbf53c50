package ui

import (
	"context"
	"net/http"
	"time"

	"dragonfly/registry"
)

const pageSize = 50 // of about a kilobyte each

// listing is one page of the machine list.
type listing struct {
	Rows      []row
	Place     place
	Counts    counts
	Problems  []string
	Answering []string
	Cursor    int64 // the live frame it is as new as
}

func (u *UI) machines(w http.ResponseWriter, r *http.Request) error {
	list, err := u.listing(r.Context(), r.FormValue("after"))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, machinesPage(u.frame(r, "Machines"), list))
}

// machineRows is the part of the page that a change of the list replaces.
func (u *UI) machineRows(w http.ResponseWriter, r *http.Request) error {
	list, err := u.listing(r.Context(), r.FormValue("after"))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, machineList(list))
}

// listing reads a page. The cursor is taken before the machines are, so that no
// change falls between the two.
func (u *UI) listing(ctx context.Context, after string) (listing, error) {
	if err := u.live.catchUp(ctx); err != nil {
		return listing{}, err
	}
	list := listing{Cursor: u.live.cursor(), Problems: u.Problems(), Answering: u.Answering}
	machines, err := u.Machines.Machines(ctx, registry.Query{After: registry.Position{Name: after}, Limit: pageSize, Brief: true})
	if err != nil {
		return listing{}, err
	}
	list.Rows = u.live.rows(machines, time.Now(), false)
	list.Place, list.Counts = u.live.place(after, machines), u.live.counts()
	return list, nil
}
