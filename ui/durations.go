package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// lastRuns is how many deployments are in the bar of the last ones, and lookedAt how many
// are compared by how long they took.
const (
	lastRuns = 100
	lookedAt = 500
)

// durationsView is how long deployments took.
type durationsView struct {
	Rows  []durationRow
	Chart string // the points, as JSON for the script
	All   int
}

// durationRow is the deployments of one operating system on one model.
type durationRow struct {
	OS, Model            string
	N                    int
	Median, Ninety, Most string
}

// chartData is a point for each deployment: seconds since 1970 in order, and of each
// series the minutes at those, or nothing.
type chartData struct {
	At     []int64       `json:"at"`
	Series []chartSeries `json:"series"`
}

type chartSeries struct {
	Name    string     `json:"name"`
	Minutes []*float64 `json:"minutes"`
}

// maxSeries is how many operating systems are told apart by colour.
const maxSeries = 6

func (u *UI) durations(w http.ResponseWriter, r *http.Request) error {
	v, err := u.durationsView(r.Context())
	if err != nil {
		return err
	}
	f := u.frame(r, "Durations")
	f.Still = true
	return render(w, r, http.StatusOK, durationsPage(f, v))
}

func (u *UI) durationsView(ctx context.Context) (v durationsView, err error) {
	found, err := u.Deployments.Deployments(ctx, registry.DeploymentQuery{States: []registry.DeploymentState{registry.DeploymentSucceeded}, Limit: lookedAt})
	if err != nil {
		return v, err
	}
	slices.Reverse(found) // the oldest first
	found = slices.DeleteFunc(found, func(d registry.Deployment) bool { return ran(d) <= 0 })
	v.All, v.Rows = len(found), durationRows(found)
	chart, err := json.Marshal(chartOf(found))
	if err != nil {
		return v, fmt.Errorf("chart of durations: %w", err)
	}
	v.Chart = string(chart)
	return v, nil
}

// ran is how long a deployment took from when its machine took it up; 0 where that is
// not known.
func ran(d registry.Deployment) time.Duration {
	if d.StartedAt.IsZero() || d.EndedAt.IsZero() {
		return 0
	}
	return d.EndedAt.Sub(d.StartedAt)
}

// installed names what a deployment put there.
func installed(d registry.Deployment) string { return cmp.Or(d.OS, "wipe") }

func durationRows(found []registry.Deployment) (rows []durationRow) {
	took := map[[2]string][]time.Duration{}
	for _, d := range found {
		key := [2]string{installed(d), d.Model}
		took[key] = append(took[key], ran(d))
	}
	for key, all := range took {
		slices.Sort(all)
		rows = append(rows, durationRow{OS: key[0], Model: cmp.Or(key[1], "not known"), N: len(all),
			Median: tookAt(all, 50), Ninety: tookAt(all, 90), Most: tookAt(all, 100)})
	}
	slices.SortFunc(rows, func(a, b durationRow) int {
		return cmp.Or(strings.Compare(a.OS, b.OS), strings.Compare(a.Model, b.Model))
	})
	return rows
}

// tookAt is a percentile of durations in order: the smallest that so many of a hundred do
// not exceed.
func tookAt(sorted []time.Duration, percent int) string {
	return took(sorted[max(0, (len(sorted)*percent+99)/100-1)])
}

// chartOf is the points of the most frequent operating systems; the rest share a colour.
func chartOf(found []registry.Deployment) chartData {
	count := map[string]int{}
	for _, d := range found {
		count[installed(d)]++
	}
	var names []string
	for name := range count {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b)) })
	if len(names) > maxSeries {
		names = append(names[:maxSeries-1], "others")
	}
	data := chartData{At: make([]int64, len(found)), Series: make([]chartSeries, len(names))}
	for i, name := range names {
		data.Series[i] = chartSeries{Name: name, Minutes: make([]*float64, len(found))}
	}
	slices.SortStableFunc(found, func(a, b registry.Deployment) int { return a.EndedAt.Compare(b.EndedAt) })
	for i, d := range found {
		at := slices.Index(names, installed(d))
		if at < 0 {
			at = len(names) - 1
		}
		minutes := float64(ran(d).Round(time.Second)) / float64(time.Minute)
		data.At[i], data.Series[at].Minutes[i] = d.EndedAt.Unix(), &minutes
	}
	return data
}
