package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// Many changes many machines at once. *registry.Registry is one.
type Many interface {
	Select(ctx context.Context, s registry.Selection) ([]registry.Outcome, error)
	// Bulk and DeployMany change nothing in a context of [registry.WithDryRun].
	Bulk(ctx context.Context, s registry.Selection, b registry.Bulk) ([]registry.Outcome, error)
	DeployMany(ctx context.Context, s registry.Selection, req registry.DeployRequest, limit int) (registry.Batch, []registry.Outcome, error)
}

// doing is what may be done with the machines that are chosen.
type doing struct {
	Name, Word string // Word is what its button says
	Did        string // what became of a machine
	Text       string
	Harm       bool // it is said in red
	Asks       bool // there is something to be filled in
}

// doings lists them, in the order of their buttons.
func doings() []doing {
	return []doing{
		{Name: "deploy", Word: "Deploy"},
		{Name: "tag", Word: "Tag", Did: "tagged", Text: "Tags are added to those there are.", Asks: true},
		{Name: "untag", Word: "Untag", Did: "untagged", Text: "Tags are taken away, where they are.", Asks: true},
		{Name: "os", Word: "Assign OS", Did: "assigned", Text: "A deployment that names no operating system takes the one that is meant for the machine. Nothing is installed by this.", Asks: true},
		{Name: "lock", Word: "Lock", Did: "locked", Text: "What is locked is not deployed to, retired or deleted until it is unlocked.", Asks: true},
		{Name: "unlock", Word: "Unlock", Did: "unlocked", Text: "They may be deployed to again.", Asks: true},
		{Name: "retire", Word: "Retire", Did: "retired", Text: "They are taken out of use: nothing is deployed to them, and they boot their own disks. Their history stays, and they can be restored.", Harm: true},
		{Name: "restore", Word: "Restore", Did: "restored", Text: "They are ready again, whatever they were."},
		{Name: "delete", Word: "Delete", Did: "deleted", Text: "Their records and their history are forgotten. Their disks are not touched. When they boot from the network they are discovered anew, under other names.", Harm: true},
	}
}

// bulkView is what is done, or would be, with many machines.
type bulkView struct {
	Doing    doing
	IDs      string // of the machines, with spaces
	Tags     string
	Note     string
	Force    bool
	OS       string
	Systems  []choice
	Faults   faults
	Typing   bool // how many they are has to be typed
	Ran      bool
	Done     int
	Total    int
	Groups   []outcomeGroup
	Batch    string
	Undoable int    // how many of those it was done with that takes back
	Undo     string // what takes it back, as a form has it
}

// outcomeGroup is the machines with which the same comes about.
type outcomeGroup struct {
	Why      string // empty: what was asked for
	Count    int
	Machines []registry.Outcome // the first of them
}

// maxNames is how many machines of a group are named.
const maxNames = 200

func (b bulkView) refused() int { return b.Total - b.Done }

// yes and no are the sums: how many it is done with, and how many not.
func (b bulkView) yes() string {
	if b.Ran {
		return machinesOf(b.Done) + " " + b.Doing.Did
	}
	return machinesOf(b.Done) + " would be " + b.Doing.Did
}

// stay is what becomes of machines that nothing takes back for.
func (b bulkView) stay(n int) string {
	if n == 1 {
		return "stays as it is: it was so before, or there is no way back."
	}
	return "stay as they are: they were so before, or there is no way back."
}

func (b bulkView) no() string {
	if b.Ran {
		return machinesOf(b.refused()) + " not"
	}
	return machinesOf(b.refused()) + " would not"
}

// machinesOf is a number of machines: "1,243 machines".
func machinesOf(n int) string {
	if n == 1 {
		return "1 machine"
	}
	return grouped(n) + " machines"
}

// groupsOf puts the outcomes with one cause together: first those that are refused.
func groupsOf(all []registry.Outcome) []outcomeGroup {
	var groups []outcomeGroup
	byName := slices.SortedFunc(slices.Values(all), func(a, b registry.Outcome) int { return strings.Compare(a.Name, b.Name) })
	for _, o := range byName {
		why := ""
		if o.Err != nil {
			why = because(o.Err)
		}
		at := slices.IndexFunc(groups, func(g outcomeGroup) bool { return g.Why == why })
		if at < 0 {
			at = len(groups)
			groups = append(groups, outcomeGroup{Why: why})
		}
		g := &groups[at]
		if g.Count++; len(g.Machines) < maxNames {
			g.Machines = append(g.Machines, o)
		}
	}
	slices.SortStableFunc(groups, func(a, b outcomeGroup) int {
		if (a.Why == "") != (b.Why == "") {
			return cmp.Compare(len(b.Why), len(a.Why))
		}
		return cmp.Compare(b.Count, a.Count)
	})
	return groups
}

// because is why a machine is refused, without its name.
func because(err error) string {
	if errors.Is(err, registry.ErrNotFound) {
		return "not there"
	}
	for _, text := range []func() (string, bool){
		textOf[*registry.LockedError](err), textOf[*registry.TransitionError](err), textOf[*registry.RefusalError](err), textOf[*registry.DeploymentError](err),
		textOf[*registry.NoDiskError](err), textOf[*registry.ConflictError](err), textOf[*registry.InvalidError](err),
	} {
		if found, ok := text(); ok {
			return found
		}
	}
	if errors.Is(err, registry.ErrUnavailable) {
		return registry.ErrUnavailable.Error()
	}
	return "a fault of Dragonfly, which is in its log"
}

func textOf[E error](err error) func() (string, bool) {
	return func() (string, bool) {
		if found, ok := errors.AsType[E](err); ok {
			return found.Error(), true
		}
		return "", false
	}
}

// selectionIn is the machines that a form is about: those of its list, those that match
// its filter, or those that are ticked.
func selectionIn(r *http.Request) registry.Selection {
	if filter := r.PostFormValue("filter"); filter != "" {
		return registry.Selection{Filter: filter, Except: strings.Fields(r.PostFormValue("except"))}
	}
	ids := strings.Fields(r.PostFormValue("ids"))
	if len(ids) == 0 {
		ids = r.PostForm["machine"]
	}
	return registry.Selection{Machines: slices.Compact(slices.Sorted(slices.Values(ids)))}
}

// bulk says what would be done with the machines that are chosen, or does it.
func (u *UI) bulk(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	name := r.PostFormValue("do")
	at := slices.IndexFunc(doings(), func(d doing) bool { return d.Name == name })
	if at < 0 {
		return &httpError{status: http.StatusBadRequest, detail: "The form does not say what to do. Open the list of machines again."}
	}
	s := selectionIn(r)
	if s.Filter == "" && len(s.Machines) == 0 {
		return &httpError{status: http.StatusUnprocessableEntity, detail: "No machine is chosen. Tick some in the list, and try again."}
	}
	if name == "deploy" {
		return u.deployMany(w, r, s)
	}
	b := bulkView{Doing: doings()[at], Tags: strings.TrimSpace(r.PostFormValue("tags")), Note: strings.TrimSpace(r.PostFormValue("note")),
		Force: r.PostFormValue("force") != "", OS: r.PostFormValue("os")}
	b.Typing = name == "delete"
	if err := u.wouldDo(r.Context(), s, &b); err != nil {
		return err
	}
	if r.PostFormValue("go") == "" {
		return u.showBulk(w, r, &b, http.StatusOK)
	}
	if b.Typing && r.PostFormValue("typed") != strconv.Itoa(b.Done) {
		b.Faults = faults{"typed": {"Type " + strconv.Itoa(b.Done) + " here: so many are deleted."}}
	}
	if len(b.Faults) > 0 {
		return u.showBulk(w, r, &b, http.StatusUnprocessableEntity)
	}
	all, err := u.Many.Bulk(r.Context(), registry.Selection{Machines: strings.Fields(b.IDs)}, b.action())
	if b.Faults = faultsOf(err, bulkField); err != nil && b.Faults == nil {
		return err
	}
	if b.Faults != nil {
		return u.showBulk(w, r, &b, http.StatusUnprocessableEntity)
	}
	b.take(all)
	undos := undosOf(all)
	b.Ran, b.Undoable, b.Undo = true, len(undos), undoText(undos)
	return u.showBulk(w, r, &b, http.StatusOK)
}

// wouldDo looks whom it would be done to.
func (u *UI) wouldDo(ctx context.Context, s registry.Selection, b *bulkView) error {
	act := b.action()
	all, err := u.Many.Select(ctx, s)
	if err == nil && !(len(act.Tags) == 0 && (act.Action == registry.BulkTag || act.Action == registry.BulkUntag)) { // nothing is typed yet
		found, wrong := u.Many.Bulk(registry.WithDryRun(ctx), registry.Selection{Machines: idsOf(all)}, act)
		if b.Faults = faultsOf(wrong, bulkField); wrong == nil {
			all = found
		} else if b.Faults == nil {
			err = wrong
		}
	}
	if found := faultsOf(err, bulkField); found != nil {
		return &httpError{http.StatusUnprocessableEntity, strings.Join(found[""], " "), err}
	}
	b.take(all)
	b.IDs = strings.Join(idsOf(all), " ")
	return err
}

// idsOf are the machines, by what they can be asked for again.
func idsOf(all []registry.Outcome) []string {
	ids := make([]string, 0, len(all))
	for _, o := range all {
		ids = append(ids, cmp.Or(o.ID, o.Name))
	}
	return ids
}

func (b *bulkView) take(all []registry.Outcome) {
	b.Done, b.Total, b.Groups = registry.Done(all), len(all), groupsOf(all)
}

// action is what the form asks for.
func (b bulkView) action() registry.Bulk {
	switch b.Doing.Name {
	case "os":
		return registry.Bulk{Action: registry.BulkEdit, Edit: &registry.Patch{OS: &b.OS}}
	case "tag", "untag":
		return registry.Bulk{Action: registry.BulkAction(b.Doing.Name), Tags: tagsIn(b.Tags)}
	}
	return registry.Bulk{Action: registry.BulkAction(b.Doing.Name), Note: b.Note, Force: b.Force}
}

// tagsIn are tags with commas or spaces.
func tagsIn(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// bulkField is the field that a pointer belongs to.
func bulkField(pointer string) string {
	for _, f := range []struct{ prefix, name string }{{"/tags", "tags"}, {"/note", "note"}, {"/edit/assigned_os", "os"}} {
		if strings.HasPrefix(pointer, f.prefix) {
			return f.name
		}
	}
	return ""
}

func (u *UI) showBulk(w http.ResponseWriter, r *http.Request, b *bulkView, status int) error {
	if b.Doing.Name == "os" && !b.Ran {
		systems, err := u.Deployments.OSes(r.Context())
		if err != nil {
			return err
		}
		for _, s := range systems {
			if !s.Disabled {
				b.Systems = append(b.Systems, choice{Value: s.ID, Text: s.Name})
			}
		}
	}
	title := b.Doing.Word + " " + machinesOf(b.Total)
	if b.Ran {
		title = b.yes()
	}
	f := u.frame(r, title)
	f.Still = true
	return render(w, r, status, bulkPage(f, *b))
}
