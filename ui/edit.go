package ui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// Keeper changes what is kept of a machine. *registry.Registry is one.
type Keeper interface {
	// Edit errs with a [*registry.ConflictError] where the machine is at another version.
	Edit(ctx context.Context, id string, version int64, p registry.Patch) (registry.Machine, error)
	Retire(ctx context.Context, id string, version int64) (registry.Machine, error)
	Restore(ctx context.Context, id string, version int64) (registry.Machine, error)
	Delete(ctx context.Context, id string, version int64) error
}

// edit is the form of what is kept of a machine.
type edit struct {
	Machine           row
	Version           int64 // that was read
	Name, Owner, Note string
	Tags              string // with commas
	Labels            string // key=value, one a line
	OS                string
	Systems           []choice
	Faults            faults
	Retired, Locked   bool
	Restorable        bool
}

// editFields are the fields of the form.
var editFields = []string{"name", "owner", "note", "tags", "labels", "os"}

// editOf is the form as the machine is.
func editOf(m registry.Machine) edit {
	e := edit{Version: m.Version, Name: m.Name, Owner: m.Owner, Note: m.Note, Tags: strings.Join(m.Tags, ", "), OS: m.OS}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		e.Labels += key + "=" + m.Labels[key] + "\n"
	}
	return e
}

func (u *UI) editForm(w http.ResponseWriter, r *http.Request) error {
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	e := editOf(m)
	return u.showEdit(w, r, m, &e, http.StatusOK)
}

func (u *UI) showEdit(w http.ResponseWriter, r *http.Request, m registry.Machine, e *edit, status int) error {
	if err := u.systemsFor(r.Context(), e); err != nil {
		return err
	}
	_, fixed := m.State.Step(registry.CauseRestore)
	e.Machine, e.Retired, e.Locked, e.Restorable = rowOf(m, note{}, time.Now()), m.State == registry.Retired, m.Lock != nil, fixed == nil
	f := u.frame(r, "Edit "+m.Name)
	f.Still = true
	return render(w, r, status, editPage(f, *e))
}

// edit keeps what the form says. Where the machine has changed since it was read, what
// was typed stays in the form, and is kept the next time.
func (u *UI) edit(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	if err := wholeForm(r, append([]string{"version"}, editFields...)); err != nil {
		return err
	}
	e := editIn(r)
	patch, err := e.patch(m)
	if err == nil {
		var after registry.Machine
		if after, err = u.Keeper.Edit(r.Context(), m.ID, e.Version, patch); err == nil {
			changed(w, r, m, after, "saved")
			return nil
		}
	}
	if e.Faults = faultsOf(err, editField); e.Faults == nil {
		return err
	}
	status, _ := refusal(err)
	m, errNow := u.Records.Machine(r.Context(), r.PathValue("id"))
	if errNow != nil {
		return u.gone(errNow, r.PathValue("id"))
	}
	if overtaken(err, m) {
		e.overtake(m, editFields)
	}
	return u.showEdit(w, r, m, &e, status)
}

// editIn is the form as it was sent.
func editIn(r *http.Request) edit {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	e := edit{Name: value("name"), Owner: value("owner"), Note: strings.ReplaceAll(value("note"), "\r\n", "\n"), Tags: value("tags"), Labels: value("labels"), OS: value("os")}
	version, err := strconv.ParseInt(value("version"), 10, 64)
	if e.Version = version; err != nil {
		e.Version = -2 // no such version: a conflict
	}
	return e
}

// patch is what the form changes of m.
func (e edit) patch(m registry.Machine) (registry.Patch, error) {
	tags := tagsIn(e.Tags)
	p := registry.Patch{Name: &e.Name, Owner: &e.Owner, Note: &e.Note, Tags: &tags, OS: &e.OS, Labels: map[string]*string{}}
	for key := range m.Labels {
		p.Labels[key] = nil
	}
	for line := range strings.Lines(e.Labels) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return p, &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/labels", Message: fmt.Sprintf("%q: want key=value", cut(line, 40))}}}
		}
		value = strings.TrimSpace(value)
		p.Labels[strings.TrimSpace(key)] = &value
	}
	return p, nil
}

// editField is the field that a pointer of a patch belongs to.
func editField(pointer string) string {
	field, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	if slices.Contains(editFields, field) {
		return field
	}
	return ""
}

// ends are the ways in which a machine leaves use, and comes back.
var ends = map[string]struct {
	title, text, yes string
	did              string
	do               func(k Keeper, ctx context.Context, id string, version int64) (registry.Machine, error)
}{
	"retire":  {"Retire %s?", "It is taken out of use: nothing is deployed to it, and it boots its own disk. Its history stays, and it can be restored.", "Retire %s", "retired", Keeper.Retire},
	"restore": {"Restore %s?", "It is ready again, whatever it was.", "Restore %s", "restored", Keeper.Restore},
	"delete": {"Delete %s?", "Its record and its history are forgotten. Its disks are not touched. When it boots from the network it is discovered anew, under another name.", "Delete %s", "deleted",
		func(k Keeper, ctx context.Context, id string, version int64) (registry.Machine, error) {
			return registry.Machine{}, k.Delete(ctx, id, version)
		}},
}

// askEnd asks before a machine is retired, restored or deleted.
func (u *UI) askEnd(w http.ResponseWriter, r *http.Request) error {
	return u.showEnd(w, r, "", http.StatusOK)
}

// showEnd asks, about the machine as it is now.
func (u *UI) showEnd(w http.ResponseWriter, r *http.Request, fault string, status int) error {
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	end, there := ends[r.PathValue("end")]
	if !there {
		return notFound(w, r)
	}
	f := u.frame(r, fmt.Sprintf(end.title, m.Name))
	f.Still = true
	return render(w, r, status, confirmation(f, question{Title: f.Title, Text: end.text, Yes: fmt.Sprintf(end.yes, m.Name), Fault: fault,
		Version: m.Version, Action: r.URL.Path, Back: "/machines/" + m.ID + "/edit"}))
}

// end does it to the machine as it was when it was asked: what somebody else changed
// meanwhile is shown first.
func (u *UI) end(w http.ResponseWriter, r *http.Request) error {
	end, there := ends[r.PathValue("end")]
	if !there {
		return notFound(w, r)
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	id := r.PathValue("id")
	version, err := strconv.ParseInt(r.PostFormValue("version"), 10, 64)
	if err != nil || version == registry.AnyVersion {
		return &httpError{status: http.StatusBadRequest, detail: "The form lacks the version of the machine that it is about, so nothing was changed. Open the page again."}
	}
	before, err := u.Records.Machine(r.Context(), id)
	if err != nil {
		return u.gone(err, id)
	}
	after, err := end.do(u.Keeper, r.Context(), id, version)
	if lost, ok := errors.AsType[*registry.ConflictError](err); ok {
		fault := fmt.Sprintf("Somebody changed it meanwhile: it is at version %d, and you saw %d. Look at it, and say it again if it still holds.", lost.Stored, lost.Read)
		return u.showEnd(w, r, fault, http.StatusConflict)
	}
	if err != nil {
		return u.gone(err, id)
	}
	if after.ID == "" {
		http.Redirect(w, r, "/machines", http.StatusSeeOther)
		return nil
	}
	changed(w, r, before, after, end.did)
	return nil
}
