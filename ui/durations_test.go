package ui

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"dragonfly/registry"
)

// run is a deployment that took so many minutes, the n-th.
func run(n int, os, model string, minutes int) registry.Deployment {
	start := time.Date(2026, 11, 1, 0, n, 0, 0, time.UTC)
	return registry.Deployment{ID: fmt.Sprint("d-", n), OS: os, Model: model, State: registry.DeploymentSucceeded, StartedAt: start, EndedAt: start.Add(time.Duration(minutes) * time.Minute)}
}

func TestDurations(t *testing.T) {
	var all []registry.Deployment
	for n := range 10 {
		all = append(all, run(n, "debian-12", "R650", n+1))
	}
	all = append(all, run(10, "", "", 2))
	rows := durationRows(all)
	want := []durationRow{{"debian-12", "R650", 10, "5 min 0 s", "9 min 0 s", "10 min 0 s"}, {"wipe", "not known", 1, "2 min 0 s", "2 min 0 s", "2 min 0 s"}}
	if len(rows) != 2 || rows[0] != want[0] || rows[1] != want[1] {
		t.Errorf("%+v", rows)
	}
	for n := range 9 {
		all = append(all, run(20+n, fmt.Sprint("os-", n), "", 1))
	}
	chart := chartOf(all)
	if len(chart.Series) != maxSeries || chart.Series[0].Name != "debian-12" || chart.Series[maxSeries-1].Name != "others" {
		t.Errorf("%+v", chart.Series)
	}
	points := 0
	for i := range chart.At {
		if i > 0 && chart.At[i] < chart.At[i-1] {
			t.Error("the points are in no order")
		}
		for _, s := range chart.Series {
			if s.Minutes[i] != nil {
				points++
			}
		}
	}
	if points != len(all) {
		t.Errorf("%d points of %d deployments", points, len(all))
	}
	if _, err := json.Marshal(chart); err != nil {
		t.Error(err)
	}
}
