package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// inlineFields are what can be edited where a machine stands in the list.
var inlineFields = []string{"name", "tags", "os", "note"}

// inlineForm is the form that a script lays over the row of a machine. Who may not
// change it is told so there.
func (u *UI) inlineForm(w http.ResponseWriter, r *http.Request) error {
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	if !operator(r) {
		return render(w, r, http.StatusOK, inlineRefused(m.Name))
	}
	e := editOf(m)
	return u.showInline(w, r, m, &e, http.StatusOK)
}

func (u *UI) showInline(w http.ResponseWriter, r *http.Request, m registry.Machine, e *edit, status int) error {
	e.Machine = rowOf(m, note{}, time.Now())
	if err := u.systemsFor(r.Context(), e); err != nil {
		return err
	}
	return render(w, r, status, inlineEdit(*e))
}

// inline keeps what the form says, and gives a way back; or it answers with the form as
// it was typed, and with what is wrong.
func (u *UI) inline(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	if err := wholeForm(r, append([]string{"version"}, inlineFields...)); err != nil {
		return err
	}
	before, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	e := editIn(r)
	tags := tagsIn(e.Tags)
	after, err := u.Keeper.Edit(r.Context(), before.ID, e.Version, registry.Patch{Name: &e.Name, Note: &e.Note, Tags: &tags, OS: &e.OS})
	if err == nil {
		back := editOf(before)
		back.Version, back.Machine = after.Version, rowOf(after, note{}, time.Now())
		return render(w, r, http.StatusOK, inlineDone(back, r.PostForm.Has("undo")))
	}
	if e.Faults = faultsOf(err, editField); e.Faults == nil {
		return err
	}
	status, _ := refusal(err)
	now, errNow := u.Records.Machine(r.Context(), before.ID)
	if errNow != nil {
		return u.gone(errNow, before.ID)
	}
	if overtaken(err, now) {
		e.overtake(now, inlineFields)
	}
	return u.showInline(w, r, now, &e, status)
}

// wholeForm errs where the form of r lacks a field: it is not empty, nobody said so.
func wholeForm(r *http.Request, fields []string) error {
	for _, name := range fields {
		if !r.PostForm.Has(name) {
			return &httpError{status: http.StatusBadRequest, detail: "The form lacks its field " + name + ", so nothing was changed. Open the page again."}
		}
	}
	return nil
}

// overtaken reports whether err says that m has changed since it was read.
func overtaken(err error, m registry.Machine) bool {
	lost, ok := errors.AsType[*registry.ConflictError](err)
	return ok && lost.Object == "machine "+m.ID
}

// overtake says what m is now beside each field that the form has otherwise. What was
// typed stays, and is kept the next time.
func (e *edit) overtake(m registry.Machine, fields []string) {
	e.Faults = faults{"": {fmt.Sprintf("Somebody changed %s meanwhile: it is at version %d. Your changes are still here; save again to put them over that.", m.Name, m.Version)}}
	e.Version = m.Version
	stored := editOf(m)
	for _, field := range fields {
		if is := stored.value(field); is != e.value(field) {
			if is == "" {
				is = "nothing"
			}
			e.Faults[field] = []string{"Now it is: " + is}
		}
	}
}

// value is that of a field, in one form.
func (e *edit) value(field string) string {
	switch field {
	case "name":
		return e.Name
	case "owner":
		return e.Owner
	case "note":
		return strings.TrimSpace(e.Note)
	case "tags":
		return strings.Join(slices.Sorted(slices.Values(tagsIn(e.Tags))), ", ")
	case "labels":
		return strings.TrimSpace(e.Labels)
	}
	return e.OS
}

// systemsFor are those that a machine may be meant for.
func (u *UI) systemsFor(ctx context.Context, e *edit) error {
	systems, err := u.Deployments.OSes(ctx)
	for _, s := range systems {
		if !s.Disabled {
			e.Systems = append(e.Systems, choice{Value: s.ID, Text: s.Name})
		}
	}
	if e.OS != "" && !slices.ContainsFunc(e.Systems, func(c choice) bool { return c.Value == e.OS }) {
		e.Systems = append(e.Systems, choice{Value: e.OS, Text: e.OS + ", which is not in the catalogue"})
	}
	return err
}
