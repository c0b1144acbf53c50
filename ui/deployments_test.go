package ui

import (
	"context"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// ordered is deployments in memory.
type ordered struct {
	others
	all []registry.Deployment
}

type others = Deployments // that nothing here asks for

func (o ordered) Deployments(context.Context, registry.DeploymentQuery) ([]registry.Deployment, error) {
	return o.all, nil
}

// Of a machine's deployments that one is told of which has changed a disk; one that failed
// before has not.
func TestWritten(t *testing.T) {
	failed := registry.Deployment{ID: "d-2", Kind: registry.KindInstall, OS: "debian-12", State: registry.DeploymentFailed}
	wrote := failed
	wrote.ID, wrote.Wrote = "d-1", true
	for want, all := range map[string][]registry.Deployment{"": {failed}, "d-1": {failed, wrote}} {
		u := newUI(t, newRack(0), func(c *Config) { c.Deployments = ordered{all: all} })
		got, err := u.written(t.Context(), registry.Machine{}, time.Now())
		if err != nil || (got == nil) != (want == "") || got != nil && got.ID != want {
			t.Errorf("%q: %+v, %v", want, got, err)
		}
	}
}

// Of what iPXE was given nobody knows how far it is, and nothing is given up.
func TestHandedToIPXE(t *testing.T) {
	d := registry.Deployment{Kind: registry.KindISO, State: registry.DeploymentRunning, Deadline: time.Now().Add(time.Hour)}
	if v := viewOf(d, registry.Machine{}, time.Now()); v.Word != "handed to iPXE" || v.Bar || !v.Deadline.at.IsZero() {
		t.Errorf("an ISO: %+v", v)
	}
	d.Kind = registry.KindRescue
	if v := viewOf(d, registry.Machine{}, time.Now()); v.Word != "running" || !v.Bar || v.Deadline.at.IsZero() {
		t.Errorf("a rescue: %+v", v)
	}
}

func TestNoDeployments(t *testing.T) {
	u := newUI(t, newRack(0), func(c *Config) { c.Deployments = ordered{} })
	for show, says := range map[string]string{"": "dragonfly deploy MACHINE", "underway": "Nothing here is under way", "failed": "None here has failed"} {
		wantPage(t, get(t, u, "/deployments?show="+show), says)
	}
}

// The script puts what has the time of a line in it into the zone of the reader.
func TestLinesHaveTheirTime(t *testing.T) {
	var v deploymentPageView
	v.take(registry.Deployment{}, []registry.DeploymentLine{{At: time.Date(2026, 11, 1, 23, 4, 5, 0, time.FixedZone("", 3600)), Text: "written"}})
	var page strings.Builder
	if err := deploymentPart(v, false).Render(t.Context(), &page); err != nil {
		t.Fatal(err)
	}
	if want := `datetime="2026-11-01T22:04:05Z" data-clock="day">22:04:05</time>`; !strings.Contains(page.String(), want) {
		t.Errorf("the page lacks %s", want)
	}
}
