package ui

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"dragonfly/registry"
)

// Undoer takes changes back. *registry.Registry is one.
type Undoer interface {
	Undo(ctx context.Context, all []registry.Undo) ([]registry.Outcome, error)
}

// maxUndo bounds what takes a change of many machines back, in bytes. Ten thousand tagged
// machines need less than half; where it is not enough there is no button.
const maxUndo = 2 << 20

// undoText is changes as a form has them; empty where there is none to be taken back, or
// they are too many.
func undoText(all []registry.Undo) string {
	text, err := json.Marshal(all)
	if err != nil || len(all) == 0 || len(text) > maxUndo {
		return ""
	}
	return string(text)
}

// undosOf are those of the machines that were changed.
func undosOf(all []registry.Outcome) (undos []registry.Undo) {
	for _, o := range all {
		if o.Err == nil && o.Undo != nil {
			undos = append(undos, *o.Undo)
		}
	}
	return undos
}

// undo takes back what the form has, machine by machine.
func (u *UI) undo(w http.ResponseWriter, r *http.Request) error {
	if err := readFormOf(w, r, 3*maxUndo+1<<10); err != nil { // a quote is three bytes on its way
		return err
	}
	var all []registry.Undo
	in := json.NewDecoder(strings.NewReader(r.PostFormValue("undo")))
	in.DisallowUnknownFields()
	if err := in.Decode(&all); err != nil || in.More() {
		return &httpError{status: http.StatusBadRequest, detail: "The form does not say what to take back, so nothing was changed. Open the page again."}
	}
	outcomes, err := u.Undoer.Undo(r.Context(), all)
	if wrong, is := errors.AsType[*registry.InvalidError](err); is {
		return &httpError{http.StatusBadRequest, sentence(wrong), err}
	}
	if err != nil {
		return err
	}
	if done := registry.Done(outcomes); len(outcomes) == 1 && done == 1 {
		return u.toldOn(w, r, outcomes[0])
	}
	b := bulkView{Doing: doing{Name: "undo", Did: "as before"}, Ran: true}
	b.take(outcomes)
	status := http.StatusOK
	if b.Done == 0 {
		status = http.StatusConflict
	}
	return u.showBulk(w, r, &b, status)
}

// toldOn goes to the page of a machine, which says that it is as it was.
func (u *UI) toldOn(w http.ResponseWriter, r *http.Request, o registry.Outcome) error {
	m, err := u.Records.Machine(r.Context(), o.ID)
	if err != nil {
		return u.gone(err, o.ID)
	}
	tell(w, r, told{Text: m.Name + " is as it was.", ID: m.ID, Version: m.Version})
	http.Redirect(w, r, machinePath(m.ID), http.StatusSeeOther)
	return nil
}

// told is what the page of a machine says of the last change, as long as that is the last
// one, with the way back where there is one.
type told struct {
	Text    string         `json:"text"`
	ID      string         `json:"id"`
	Version int64          `json:"v"`
	Undo    *registry.Undo `json:"undo,omitempty"`
}

// How told gets to that page: in a cookie, since an address would be kept in histories,
// and anybody could send one that undoes what they like. Browsers keep 4 KiB.
const (
	toldCookie  = "dragonfly_told"
	toldSeconds = 60
	maxTold     = 3 << 10
)

func tell(w http.ResponseWriter, r *http.Request, t told) {
	text, err := json.Marshal(t)
	value := base64.RawURLEncoding.EncodeToString(text)
	if err != nil || len(value) > maxTold {
		return // the change is on the page, but for the way back
	}
	http.SetCookie(w, &http.Cookie{Name: toldCookie, Value: value, Path: "/machines/", MaxAge: toldSeconds, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
}

// changed goes to the page of a machine, which says what was done, with the way back.
func changed(w http.ResponseWriter, r *http.Request, before, after registry.Machine, did string) {
	undo := registry.UndoOf(before, after, registry.ActorOf(r.Context()).Name)
	if undo != nil {
		tell(w, r, told{Text: after.Name + " is " + did + ".", ID: after.ID, Version: after.Version, Undo: undo})
	}
	http.Redirect(w, r, machinePath(after.ID), http.StatusSeeOther)
}

// toldOf is what is to be said of a machine at a version; the zero value where nothing is.
func toldOf(r *http.Request, id string, version int64) (t told) {
	cookie, err := r.Cookie(toldCookie)
	if err != nil {
		return told{}
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(text, &t) != nil || t.ID != id || t.Version != version || t.Undo != nil && t.Undo.ID != id {
		return told{}
	}
	return t
}

// undoText is the way back as a form has it.
func (t told) undoText() string {
	if t.Undo == nil {
		return ""
	}
	return undoText([]registry.Undo{*t.Undo})
}
