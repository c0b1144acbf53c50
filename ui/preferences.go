package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"dragonfly/registry"
)

// Preferences keeps a document of what somebody prefers. *rqlite.Store is one.
type Preferences interface {
	// Preferences is empty where there are none.
	Preferences(ctx context.Context, user string) ([]byte, error)
	PutPreferences(ctx context.Context, user string, doc []byte) error
}

// liking is what somebody prefers.
type liking struct {
	Columns []string    `json:"columns,omitempty"` // of the machine list; none: the usual ones
	Views   []savedView `json:"views,omitempty"`   // by name
}

// savedView is a machine list by the name that somebody has given it.
type savedView struct {
	Name  string `json:"name"`
	Query string `json:"query"` // of its address
}

// The bounds of what is kept for one person.
const (
	maxViews    = 50
	maxViewName = 60 // characters
)

// likingOf is what whoever asks prefers.
func (u *UI) likingOf(r *http.Request) (l liking, err error) {
	doc, err := u.Preferences.Preferences(r.Context(), registry.ActorOf(r.Context()).Account())
	if err != nil || len(doc) == 0 {
		return l, err
	}
	if err := json.Unmarshal(doc, &l); err != nil {
		return l, fmt.Errorf("read preferences: %w", err)
	}
	l.Columns = slices.DeleteFunc(l.Columns, func(name string) bool { return len(shown([]string{name})) == 0 }) // of another version
	return l, nil
}

// prefer changes what whoever asks prefers.
func (u *UI) prefer(r *http.Request, change func(l *liking) error) error {
	l, err := u.likingOf(r)
	if err != nil {
		return err
	}
	if err := change(&l); err != nil {
		return err
	}
	doc, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write preferences: %w", err)
	}
	return u.Preferences.PutPreferences(r.Context(), registry.ActorOf(r.Context()).Account(), doc)
}

// chooseColumns keeps which columns somebody wants to see, in their order, and leads to
// the list with them in its address.
func (u *UI) chooseColumns(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	names, err := columnsIn(strings.Join(r.PostForm["col"], ","))
	if err != nil {
		return err
	}
	if r.PostFormValue("usual") != "" {
		names = nil
	} else if len(names) == 0 {
		return &httpError{status: http.StatusUnprocessableEntity, detail: "Choose at least one column."}
	}
	if err := u.prefer(r, func(l *liking) error { l.Columns = names; return nil }); err != nil {
		return err
	}
	v := viewAt(queryIn(r).Get)
	v.Cols = strings.Join(names, ",")
	http.Redirect(w, r, v.url("/machines"), http.StatusSeeOther)
	return nil
}

// queryIn is the query of the list that a form was sent from.
func queryIn(r *http.Request) url.Values {
	query, err := url.ParseQuery(strings.TrimPrefix(r.PostFormValue("query"), "?"))
	if err != nil {
		return nil // the list from its beginning
	}
	return query
}

// saveView keeps a list by a name, or forgets one.
func (u *UI) saveView(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	at := viewAt(queryIn(r).Get).url("/machines")
	err := u.prefer(r, func(l *liking) error {
		if gone := r.PostFormValue("forget"); gone != "" {
			l.forget(gone)
			return nil
		}
		_, query, _ := strings.Cut(at, "?")
		return l.keep(savedView{strings.TrimSpace(r.PostFormValue("name")), query})
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, at, http.StatusSeeOther)
	return nil
}

func (l *liking) forget(name string) {
	l.Views = slices.DeleteFunc(l.Views, func(v savedView) bool { return v.Name == name })
}

// keep adds a view, in the place of one of the same name.
func (l *liking) keep(v savedView) error {
	if n := utf8.RuneCountInString(v.Name); n == 0 || n > maxViewName || !utf8.ValidString(v.Name) {
		return &httpError{status: http.StatusUnprocessableEntity, detail: fmt.Sprintf("A view needs a name of at most %d characters.", maxViewName)}
	}
	if len(v.Query) > 4096 {
		return &httpError{status: http.StatusUnprocessableEntity, detail: "The address of this list is too long to be kept."}
	}
	l.forget(v.Name)
	if len(l.Views) >= maxViews {
		return &httpError{status: http.StatusUnprocessableEntity, detail: fmt.Sprintf("There are %d views already. Forget one first.", maxViews)}
	}
	l.Views = append(l.Views, v)
	slices.SortFunc(l.Views, func(a, b savedView) int { return strings.Compare(a.Name, b.Name) })
	return nil
}
