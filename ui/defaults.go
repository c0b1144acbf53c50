package ui

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// Defaults is what every deployment begins from. *registry.Registry is one.
type Defaults interface {
	// Defaults has [registry.HashKept] in place of the hash of a password.
	Defaults(ctx context.Context) (registry.Defaults, error)
	// SetDefaults errs with a [*registry.ConflictError] where they are at another version.
	SetDefaults(ctx context.Context, version int64, seed registry.Seed) (registry.Defaults, error)
	// TryDefaults is what a machine would be given with an operating system.
	TryDefaults(ctx context.Context, machine, os string, seed registry.Seed) (registry.Seeded, error)
}

// defaultsForm is the form of the defaults: what was typed, as it was typed.
type defaultsForm struct {
	Version      string
	Timezone     string
	Keys         string // one a line
	Packages     string
	Commands     string // one a line
	Certificates string // PEM
	UserData     string
	Users        []userFields // the last one is for another one
	Network      defaultNet
	Faults       faults
	Admin, Saved bool

	Machine, OS string // that they are tried on
	Machines    []string
	Systems     []choice
	Tried       *triedDefaults
}

// userFields is an account of an installed system.
type userFields struct {
	Name, Comment, Groups, Shell, Hash, Keys string
	Sudo                                     bool
}

// triedDefaults is what a machine would be given.
type triedDefaults struct {
	Machine, OS string
	Notes       []string
	Documents   [][2]string // title and text
}

func (u *UI) defaultsForm(w http.ResponseWriter, r *http.Request) error {
	d, err := u.Defaults.Defaults(r.Context())
	if err != nil {
		return err
	}
	f := formOfDefaults(d.Seed)
	f.Version = strconv.FormatInt(max(d.Version, 0), 10)
	f.Saved = r.FormValue("done") != ""
	return u.showDefaults(w, r, &f, http.StatusOK)
}

func (u *UI) showDefaults(w http.ResponseWriter, r *http.Request, f *defaultsForm, status int) error {
	f.Admin, f.Users = admin(r), append(f.Users, userFields{})
	some, err := u.Machines.Machines(r.Context(), registry.Query{Limit: maxOffered})
	if err != nil {
		return err
	}
	for _, m := range some {
		f.Machines = append(f.Machines, m.Name)
	}
	systems, err := u.Deployments.OSes(r.Context())
	if err != nil {
		return err
	}
	for _, s := range systems {
		f.Systems = append(f.Systems, choice{Value: s.ID, Text: s.Name})
	}
	return render(w, r, status, defaultsPage(u.settingsFrame(r, "Defaults"), *f))
}

// keepDefaults keeps what the form says, or shows what a machine would be given by it.
// What is wrong stands beside its field, and nothing that was typed is lost.
func (u *UI) keepDefaults(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	f, err := defaultsIn(r)
	if err != nil {
		return err
	}
	version, err := strconv.ParseInt(f.Version, 10, 64)
	if err != nil || version < 0 {
		return &httpError{status: http.StatusBadRequest, detail: "The form lacks the version of the defaults, so nothing was changed. Open the page again."}
	}
	stored, err := u.Defaults.Defaults(r.Context())
	if err != nil {
		return err
	}
	seed, wrong := f.over(stored.Seed)
	if len(wrong) == 0 && r.PostFormValue("do") == "try" {
		return u.tryDefaults(w, r, &f, seed)
	}
	if len(wrong) == 0 {
		if version == 0 {
			version = registry.Unstored
		}
		if _, err = u.Defaults.SetDefaults(r.Context(), version, seed); err == nil {
			http.Redirect(w, r, "/settings/defaults?done=1", http.StatusSeeOther)
			return nil
		}
		return u.refuseDefaults(w, r, &f, err)
	}
	f.Faults = wrong
	return u.showDefaults(w, r, &f, http.StatusUnprocessableEntity)
}

// refuseDefaults shows the form again, with what is wrong.
func (u *UI) refuseDefaults(w http.ResponseWriter, r *http.Request, f *defaultsForm, err error) error {
	if f.Faults = faultsOf(err, defaultsField); f.Faults == nil {
		return err
	}
	if lost, ok := errors.AsType[*registry.ConflictError](err); ok {
		f.Version = strconv.FormatInt(lost.Stored, 10)
		f.Faults = faults{"": {"Somebody changed the defaults meanwhile. What you typed is still here; look at theirs in another tab, and save again to put yours in their place."}}
	}
	status, _ := refusal(err)
	return u.showDefaults(w, r, f, status)
}

// tryDefaults shows what a machine would be given.
func (u *UI) tryDefaults(w http.ResponseWriter, r *http.Request, f *defaultsForm, seed registry.Seed) error {
	f.Faults = faults{}
	if f.Machine == "" {
		f.Faults["machine"] = []string{"Name a machine."}
	}
	if f.OS == "" {
		f.Faults["os"] = []string{"Choose an operating system."}
	}
	if len(f.Faults) > 0 {
		return u.showDefaults(w, r, f, http.StatusUnprocessableEntity)
	}
	made, err := u.Defaults.TryDefaults(r.Context(), f.Machine, f.OS, seed)
	if errors.Is(err, registry.ErrNotFound) {
		f.Faults["machine"] = []string{sentence(err)}
		return u.showDefaults(w, r, f, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return u.refuseDefaults(w, r, f, err)
	}
	f.Tried = &triedDefaults{Machine: f.Machine, OS: f.OS, Notes: made.Notes}
	for _, d := range [][2]string{{"User data", "user_data"}, {"Network", "network_config"}, {"Keys of the image's own user", "ssh_keys"}} {
		if text := made.Parameters[d[1]]; text != "" {
			f.Tried.Documents = append(f.Tried.Documents, [2]string{d[0], text})
		}
	}
	return u.showDefaults(w, r, f, http.StatusOK)
}

// defaultsField is the field that a pointer of a seed belongs to.
func defaultsField(pointer string) string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	switch parts[0] {
	case "timezone", "ssh_keys", "packages", "commands", "ca_certificates", "user_data", "network", "users":
	default:
		return ""
	}
	if parts[0] == "users" && len(parts) > 2 {
		return userField(parts[1], parts[2])
	}
	return parts[0]
}

// userField is the name of a field of the account at a place.
func userField(at, field string) string { return "users-" + at + "-" + field }

// lineList are the lines of a text that say something.
func lineList(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// below reports whether anything is wrong with a field whose name begins so.
func (f faults) below(prefix string) bool {
	for name := range f {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
