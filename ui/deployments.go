package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"dragonfly/registry"
)

// deploymentView is a deployment as pages show it.
type deploymentView struct {
	ID, Machine, Name     string // Machine is its ID, and Name what it is called
	Title                 string // such as "install debian-12"
	State                 registry.DeploymentState
	Word                  string // for the state
	Reason                string
	Bar                   bool // there is something to tell of how far it is
	Percent               int  // of all actions, or of the image it waits for
	Line                  string
	Disk, Found, Why      string
	Wrote                 bool
	By                    string
	Created, Ended        moment
	Took                  string
	Deadline              moment
	Attempts              int
	Actions               []actionView
	Cancellable, Redoable bool
}

type actionView struct {
	Name    string
	State   registry.ActionState
	Took    string
	Message string
}

// logLine is a line of a deployment's log.
type logLine struct {
	At           moment
	Action, Text string
}

// viewOf is d, of machine m, which may be known by its ID only.
func viewOf(d registry.Deployment, m registry.Machine, now time.Time) deploymentView {
	v := deploymentView{ID: d.ID, Machine: d.Machine, Name: cmp.Or(m.Name, d.Machine), Title: titleOf(d), State: d.State, Word: wordOf(d), Reason: d.Reason,
		Disk: diskOf(d.Disk), Found: d.Disk.Found, Why: d.Disk.Why, Wrote: d.Wrote, By: d.By,
		Created: moment{d.CreatedAt, now}, Ended: moment{d.EndedAt, now}, Deadline: moment{d.Deadline, now}, Attempts: d.Attempt,
		Cancellable: !d.State.Ended(), Redoable: d.State.Ended() && d.State != registry.DeploymentSucceeded}
	end := now
	if !d.EndedAt.IsZero() {
		end = d.EndedAt
	}
	v.Took = took(end.Sub(d.CreatedAt))
	for _, a := range d.Actions {
		v.Actions = append(v.Actions, actionOf(a, now))
	}
	v.Bar = d.State == registry.DeploymentRunning && !d.HandedOut() || d.Fetch != nil
	if d.HandedOut() { // nothing is given up then
		v.Deadline = moment{}
	}
	v.Percent, v.Line = progressOf(d, now)
	return v
}

func titleOf(d registry.Deployment) string {
	switch d.Kind {
	case registry.KindInstall:
		return "install " + d.OS
	case registry.KindWipe:
		return "wipe the disk"
	case registry.KindRescue, registry.KindMemtest:
		return string(d.Kind)
	}
	return "boot: " + string(d.Kind)
}

// wordOf is a state as people say it.
func wordOf(d registry.Deployment) string {
	switch d.State {
	case registry.DeploymentPending:
		if d.Image.URL != "" {
			return "waiting for its image"
		}
		return "its turn comes"
	case registry.DeploymentWaiting:
		return "waiting for the machine to boot"
	case registry.DeploymentRunning:
		if d.HandedOut() {
			return "handed to iPXE"
		}
	case registry.DeploymentVerifying:
		return "waiting for the first boot"
	case registry.DeploymentTimedOut:
		return "timed out"
	}
	return string(d.State)
}

func actionOf(a registry.ActionRun, now time.Time) actionView {
	v := actionView{Name: a.Name, State: a.State, Message: a.Message}
	switch {
	case a.StartedAt.IsZero():
		if a.Expected > 0 {
			v.Took = "about " + took(a.Expected)
		}
	case a.EndedAt.IsZero():
		v.Took = took(now.Sub(a.StartedAt))
	default:
		v.Took = took(a.EndedAt.Sub(a.StartedAt))
	}
	return v
}

// progressOf is how far a deployment is: of all actions, and of the one that runs; or
// how far the image is that it waits for.
func progressOf(d registry.Deployment, now time.Time) (percent int, line string) {
	if d.Fetch != nil {
		if p := d.Fetch.Progress; p.Total > 0 {
			percent = int(100 * min(1, float64(p.Done)/float64(p.Total)))
		}
		return percent, d.Fetch.Line()
	}
	if d.State != registry.DeploymentRunning {
		if d.State == registry.DeploymentVerifying || d.State == registry.DeploymentSucceeded {
			percent = 100
		}
		return percent, ""
	}
	outlook := d.Outlook(now)
	var parts []string
	if d.Action < len(d.Actions) {
		parts = append(parts, d.Actions[d.Action].Name)
	}
	if p := d.Track.Progress; d.Track.Action == d.Action && d.Track.Attempt == d.Attempt {
		if p.Total > 0 {
			parts = append(parts, decimalSize(p.Done)+" of "+decimalSize(p.Total))
		}
		if p.Rate > 0 {
			parts = append(parts, decimalSize(int64(p.Rate))+"/s")
		}
	}
	if outlook.Left > 0 {
		parts = append(parts, "about "+took(outlook.Left)+" left")
	}
	return int(outlook.Percent), strings.Join(parts, ", ")
}

// deploymentList is the page of deployments.
type deploymentList struct {
	Show     string // underway, failed, or empty for all
	Batch    string // that they were ordered in; empty: any
	All      []deploymentView
	Older    string           // the query of the next page; empty on the last
	Last     []deploymentView // how the last ones went, the newest at the end; on the first page of all
	LastText string
}

// url is the address of the list below a path.
func (l deploymentList) url(path string) string {
	at := path + "?show=" + l.Show
	if l.Batch != "" {
		at += "&batch=" + url.QueryEscape(l.Batch)
	}
	return at
}

// shows are what the list of deployments may be narrowed to.
var shows = []tab{{"", "All"}, {"underway", "Under way"}, {"failed", "Without success"}, {"durations", "Durations"}}

const deploymentsPage = 50

func (u *UI) deployments(w http.ResponseWriter, r *http.Request) error {
	if r.FormValue("show") == "durations" {
		return u.durations(w, r)
	}
	list, err := u.deploymentList(r.Context(), deploymentList{Show: r.FormValue("show"), Batch: r.FormValue("batch")}, r.FormValue("before"))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, deploymentsPageOf(u.frame(r, "Deployments"), list))
}

func (u *UI) deploymentsLive(w http.ResponseWriter, r *http.Request) error {
	asked, before := deploymentList{Show: r.FormValue("show"), Batch: r.FormValue("batch")}, r.FormValue("before")
	return u.watch(w, r, watched{
		concerns: func(e registry.Event) bool { return strings.HasPrefix(string(e.Kind), "deployment.") },
		part: func(ctx context.Context) (templ.Component, error) {
			list, err := u.deploymentList(ctx, asked, before)
			return deploymentsPart(list, true), err
		},
	})
}

// deploymentList reads a page of the list that is asked for.
func (u *UI) deploymentList(ctx context.Context, list deploymentList, before string) (deploymentList, error) {
	q := registry.DeploymentQuery{Limit: deploymentsPage, Batch: list.Batch}
	if list.Show == "" && before == "" {
		q.Limit = lastRuns
	}
	switch list.Show {
	case "":
	case "underway":
		q.States = []registry.DeploymentState{registry.DeploymentPending, registry.DeploymentWaiting, registry.DeploymentRunning, registry.DeploymentVerifying}
	case "failed":
		q.States = []registry.DeploymentState{registry.DeploymentFailed, registry.DeploymentTimedOut, registry.DeploymentCancelled}
	default:
		return list, &httpError{status: http.StatusNotFound, detail: "Deployments cannot be narrowed to " + cut(list.Show, 40) + "."}
	}
	if at, id, ok := strings.Cut(before, "/"); ok {
		created, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return list, &httpError{http.StatusBadRequest, "The address names no place in the list. Start at its beginning.", err}
		}
		q.After = registry.DeploymentPosition{CreatedAt: created, ID: id}
	}
	found, err := u.Deployments.Deployments(ctx, q)
	if err != nil {
		return list, err
	}
	all, err := u.named(ctx, found)
	if err != nil {
		return list, err
	}
	if q.Limit == lastRuns {
		list.lastOf(all)
	}
	list.All = all[:min(len(all), deploymentsPage)]
	if found = found[:len(list.All)]; len(found) == deploymentsPage {
		last := found[len(found)-1].Position()
		list.Older = last.CreatedAt.Format(time.RFC3339Nano) + "/" + last.ID
	}
	return list, nil
}

// lastOf says how the last ones went.
func (l *deploymentList) lastOf(newest []deploymentView) {
	l.Last = slices.Clone(newest)
	slices.Reverse(l.Last)
	var parts []string
	for _, s := range registry.DeploymentStates() {
		n := 0
		for _, d := range newest {
			if d.State == s {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprint(n, " ", strings.ReplaceAll(string(s), "_", " ")))
		}
	}
	l.LastText = "The last " + registryCounted(len(newest)) + ": " + strings.Join(parts, ", ") + "."
}

// registryCounted is a number of deployments.
func registryCounted(n int) string { return registry.Counted(n, "deployment") }

// named shows deployments with the names of their machines.
func (u *UI) named(ctx context.Context, found []registry.Deployment) (all []deploymentView, err error) {
	machines := map[string]registry.Machine{}
	var ids []string
	for _, d := range found {
		ids = append(ids, d.Machine)
	}
	if len(ids) > 0 {
		known, err := u.Machines.Machines(ctx, registry.Query{IDs: ids, Bare: true})
		if err != nil {
			return nil, err
		}
		for _, m := range known {
			machines[m.ID] = m
		}
	}
	now := time.Now()
	for _, d := range found {
		all = append(all, viewOf(d, machines[d.Machine], now))
	}
	return all, nil
}

// question is what is asked before something is lost.
type question struct {
	Title, Text, Yes, Action, Back string
	Fault                          string // what became of the answer before
	Version                        int64  // of what it is about, where that matters
}

// askCancel and askRetry say what would come of it.
func (u *UI) askCancel(w http.ResponseWriter, r *http.Request) error {
	return u.ask(w, r, func(v deploymentPageView) question {
		q := question{Title: "Cancel the deployment on " + v.Name + "?", Yes: "Cancel the deployment",
			Text: "Nothing has been written: the disk stays as it is, and " + v.Name + " what it was."}
		if v.Wrote {
			q.Text = "The disk " + v.Disk + " has been written to. It will not boot, and " + v.Name + " is failed until something is deployed to it again."
		}
		return q
	})
}

func (u *UI) askRetry(w http.ResponseWriter, r *http.Request) error {
	return u.ask(w, r, func(v deploymentPageView) question {
		return question{Title: "Try again on " + v.Name + "?", Yes: "Overwrite the disk of " + v.Name,
			Text: "The same is ordered once more (" + v.Title + "), as things are now. What is on the disk " + v.Disk + " of " + v.Name + " is lost."}
	})
}

func (u *UI) ask(w http.ResponseWriter, r *http.Request, about func(deploymentPageView) question) error {
	v, err := u.deploymentPageView(r.Context(), r.PathValue("id"), "")
	if err != nil {
		return err
	}
	q := about(v)
	q.Action, q.Back = r.URL.Path, "/deployments/"+v.ID
	f := u.frame(r, q.Title)
	f.Still = true
	return render(w, r, http.StatusOK, confirmation(f, q))
}

func (u *UI) cancel(w http.ResponseWriter, r *http.Request) error {
	d, err := u.Orders.Cancel(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/deployments/"+d.ID, http.StatusSeeOther)
	return nil
}

func (u *UI) retry(w http.ResponseWriter, r *http.Request) error {
	plan, err := u.Orders.Retry(r.Context(), r.PathValue("id"), registry.Batch{})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/deployments/"+plan.Deployment.ID, http.StatusSeeOther)
	return nil
}
