package ui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"dragonfly/registry"
)

// Records reads what is known of one machine. *registry.Registry is one, as it is of
// the two below.
type Records interface {
	// Machine errs with [registry.ErrNotFound] where there is none with this ID or name.
	Machine(ctx context.Context, id string) (registry.Machine, error)
	// Timeline is the newest first, below number before (0: the newest).
	Timeline(ctx context.Context, id string, before int64, limit int) ([]registry.Event, error)
	// History is the hardware of the registrations that differed, the newest first.
	History(ctx context.Context, id string, limit int) ([]registry.HardwareRecord, error)
}

// Deployments reads deployments and what may be deployed.
type Deployments interface {
	Deployment(ctx context.Context, id string) (registry.Deployment, error)
	Deployments(ctx context.Context, q registry.DeploymentQuery) ([]registry.Deployment, error)
	Lines(ctx context.Context, deployment string, after registry.LinePosition, limit int) ([]registry.DeploymentLine, error)
	OSes(ctx context.Context) ([]registry.OS, error)
}

// Orders changes things, in the name of whom the context says.
type Orders interface {
	// Deploy changes nothing in a context of [registry.WithDryRun].
	Deploy(ctx context.Context, id string, req registry.DeployRequest, batch registry.Batch) (registry.DeployPlan, error)
	Cancel(ctx context.Context, id string) (registry.Deployment, error)
	Retry(ctx context.Context, id string, batch registry.Batch) (registry.DeployPlan, error)
	Lock(ctx context.Context, id, note string) (registry.Machine, error)
	Unlock(ctx context.Context, id string, force bool) (registry.Machine, error)
}

// operator reports whether who asks may change things. Where no account exists, who
// gets here is on this host, and may.
func operator(r *http.Request) bool {
	return registry.Role(registry.ActorOf(r.Context()).Role).Includes(registry.Operator)
}

// maxOrder bounds a form, with keys and user data in it.
const maxOrder = 256 << 10

// readForm reads the form of a page.
func readForm(w http.ResponseWriter, r *http.Request) error { return readFormOf(w, r, maxOrder) }

// readFormOf reads a form of at most so many bytes.
func readFormOf(w http.ResponseWriter, r *http.Request, limit int64) error {
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	err := r.ParseForm()
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("The form has more than %d KiB. Put large user data behind a URL that it includes.", limit>>10), err}
	}
	if err != nil {
		return &httpError{http.StatusBadRequest, "The form could not be read.", err}
	}
	return nil
}

// faults are what is wrong with a form, by the name of the field; what belongs to no
// field is under "".
type faults map[string][]string

// faultsOf are those of an error of the registry that are the operator's to mend; nil
// where it is another one.
func faultsOf(err error, fieldOf func(pointer string) string) faults {
	found := faults{}
	found.add(err, fieldOf)
	if len(found) == 0 {
		return nil
	}
	return found
}

// fields are those with which something is wrong, by name.
func (f faults) fields() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if name != "" && len(f[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// fieldWords makes words of the name of a field.
var fieldWords = strings.NewReplacer("_", " ", "-", " ")

func (f faults) add(err error, fieldOf func(pointer string) string) {
	if invalid, ok := errors.AsType[*registry.InvalidError](err); ok {
		for _, wrong := range invalid.Fields {
			field, text := fieldOf(wrong.Pointer), wrong.Message
			if field == "" {
				text = strings.TrimPrefix(wrong.Pointer, "/") + ": " + text
			}
			f[field] = append(f[field], text)
		}
		return
	}
	if _, text := refusal(err); text != "" {
		f[""] = append(f[""], text)
	}
}

// refusal is the status and the words for what the registry refuses; no words for
// what is a fault of ours.
func refusal(err error) (status int, text string) {
	_, conflict := errors.AsType[*registry.ConflictError](err)
	_, state := errors.AsType[*registry.TransitionError](err)
	_, cannot := errors.AsType[*registry.RefusalError](err)
	_, over := errors.AsType[*registry.DeploymentError](err)
	_, locked := errors.AsType[*registry.LockedError](err)
	_, invalid := errors.AsType[*registry.InvalidError](err)
	_, disk := errors.AsType[*registry.NoDiskError](err)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return http.StatusNotFound, sentence(err)
	case locked:
		return http.StatusLocked, sentence(err) + " Unlock it first."
	case conflict, state, cannot, over, disk:
		return http.StatusConflict, sentence(err)
	case invalid:
		return http.StatusUnprocessableEntity, sentence(err)
	}
	if status, text = refusedByStore(err); text == "" {
		return refusedByAccounts(err)
	}
	return status, text
}

// sentence is an error as a page says it.
func sentence(err error) string {
	text := err.Error()
	if !strings.HasSuffix(text, "?") && !strings.HasSuffix(text, ".") {
		text += "."
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
