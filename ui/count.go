package ui

import (
	"net/http"
	"strconv"
	"time"

	"dragonfly/registry"
)

// count is how many machines a filter matches, as a number.
func (u *UI) count(w http.ResponseWriter, r *http.Request) error {
	filter, err := registry.ParseFilter(r.FormValue("q"))
	if err != nil {
		return &httpError{http.StatusUnprocessableEntity, sentence(err), err}
	}
	found, err := u.Machines.Tally(r.Context(), registry.Query{Filter: filter, Now: time.Now()}, registry.TallyBy{})
	if err != nil {
		return err
	}
	n := 0
	if len(found) > 0 {
		n = found[0].N
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(strconv.Itoa(n))) // the reader has gone; there is nobody to tell
	return nil
}
