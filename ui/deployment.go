package ui

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"dragonfly/registry"
)

// deploymentPageView is one deployment with its log.
type deploymentPageView struct {
	deploymentView
	Log      []logLine
	Find     string // only lines with it are shown
	Lines    int    // how many there are, or match
	Earlier  int    // lines before those that are shown
	Operator bool
}

// shownLines is how much of a log is on the page, of readLines; the rest is in the API's.
const (
	shownLines = 2000
	readLines  = 4 * (registry.FirstLines + registry.NewestLines)
)

func (u *UI) deployment(w http.ResponseWriter, r *http.Request) error {
	v, err := u.deploymentPageView(r.Context(), r.PathValue("id"), r.FormValue("find"))
	if err != nil {
		return err
	}
	v.Operator = operator(r)
	return render(w, r, http.StatusOK, deploymentPage(u.frame(r, v.Title+" on "+v.Name), v))
}

func (u *UI) deploymentLive(w http.ResponseWriter, r *http.Request) error {
	id, find := r.PathValue("id"), r.FormValue("find")
	v, err := u.deploymentPageView(r.Context(), id, find)
	if err != nil {
		return err
	}
	may := operator(r)
	return u.watch(w, r, watched{
		concerns: func(e registry.Event) bool { return e.Machine == v.Machine },
		part: func(ctx context.Context) (templ.Component, error) {
			v, err := u.deploymentPageView(ctx, id, find)
			v.Operator = may
			return deploymentPart(v, true), err
		},
	})
}

func (u *UI) deploymentPageView(ctx context.Context, id, find string) (v deploymentPageView, err error) {
	d, err := u.Deployments.Deployment(ctx, id)
	if err != nil {
		return v, err
	}
	all, err := u.named(ctx, []registry.Deployment{d})
	if err != nil {
		return v, err
	}
	v.deploymentView = all[0]
	v.Find = cut(strings.TrimSpace(find), 100)
	lines, err := u.Deployments.Lines(ctx, id, registry.LinePosition{}, readLines)
	v.take(d, lines)
	return v, err
}

// take shows the end of a log, or of those lines that are looked for.
func (v *deploymentPageView) take(d registry.Deployment, lines []registry.DeploymentLine) {
	if v.Find != "" {
		want := strings.ToLower(v.Find)
		lines = slices.DeleteFunc(lines, func(l registry.DeploymentLine) bool { return !strings.Contains(strings.ToLower(l.Text), want) })
	}
	v.Lines, v.Earlier = len(lines), max(0, len(lines)-shownLines)
	now := time.Now()
	for _, l := range lines[v.Earlier:] {
		name := ""
		if l.Action < len(d.Actions) {
			name = d.Actions[l.Action].Name
		}
		if l.Attempt > 1 {
			name = fmt.Sprintf("%s, boot %d", name, l.Attempt)
		}
		v.Log = append(v.Log, logLine{moment{l.At, now}, name, l.Text})
	}
}
