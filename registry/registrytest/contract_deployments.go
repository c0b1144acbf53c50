package registrytest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// deployment is the n-th deployment, of the n-th machine, n minutes after noon.
func deployment(n int) registry.Deployment {
	return registry.Deployment{ID: fmt.Sprintf("d-%012d", n), Machine: machine(n).ID, Kind: registry.KindInstall, OS: "debian-12",
		Engine: registry.EngineBuiltin, State: registry.DeploymentWaiting, CreatedAt: noon().Add(time.Duration(n) * time.Minute)}
}

// fullDeployment is a deployment without an empty field.
func fullDeployment() registry.Deployment {
	d := deployment(1)
	d.OSIE, d.FirstBoot, d.State, d.Reason = registry.OSIEHook, registry.FirstBootCloudInit, registry.DeploymentFailed, "x'4142'"
	d.Limits = registry.DeployLimits{Wait: time.Minute, Run: time.Hour, Verify: time.Second}
	d.Batch, d.Limit, d.Hostname, d.Model = "b-1", 3, "node1", "PowerEdge"
	d.Disk = registry.DeploymentDisk{ByID: "/dev/disk/by-id/x", Serial: "x'4142'", Bytes: 1<<53 + 1}
	d.Actions = []registry.ActionRun{{Name: "write", Image: "image2disk", Timeout: time.Hour, State: registry.ActionFailed, Message: "it broke", StartedAt: noon(), EndedAt: noon().Add(time.Second)}, {Name: "restart"}}
	d.Action, d.Sealed, d.Stored, d.Image = 1, "sealed:1:x", "/boot/images/abc.img.zst", registry.ImageSource{URL: "https://x/y.qcow2", Sums: "https://x/SHA256SUMS"}
	d.Attempt, d.BootID, d.Boot, d.Wrote, d.WroteAt = 2, "boot-1", "0011223344556677", true, noon()
	d.Was, d.WasReason, d.By = registry.Failed, "before", "ana"
	d.StartedAt, d.StateAt, d.EndedAt, d.Deadline = noon().Add(time.Hour), noon().Add(2*time.Hour), noon().Add(3*time.Hour), noon().Add(4*time.Hour)
	d.Track = registry.Track{Attempt: 2, Action: 1, At: noon(), Progress: registry.Progress{Stage: "writing", Done: 1<<53 + 1, Total: 1 << 54, Rate: 1.5}}
	return d
}

func findDeployments(t *testing.T, s registry.Store, q registry.DeploymentQuery) []registry.Deployment {
	t.Helper()
	found, err := s.Deployments(t.Context(), q)
	if err != nil {
		t.Fatalf("deployments %+v: %v", q, err)
	}
	return found
}

func testDeployment(t *testing.T, s registry.Store) {
	d := fullDeployment()
	for field, value := range reflect.ValueOf(d).Fields() {
		if field.Name != "Version" && field.Name != "Fetch" && value.IsZero() {
			t.Errorf("fullDeployment() leaves %s empty", field.Name)
		}
	}
	fine := d
	fine.CreatedAt = fine.CreatedAt.Add(time.Microsecond).In(time.FixedZone("", 3600)) // stored in whole milliseconds
	commit(t, s, registry.Change{Op: "1", Deployments: []registry.Deployment{fine}})
	if err := s.Track(t.Context(), map[string]registry.Track{d.ID: d.Track, "d-none": d.Track}); err != nil {
		t.Fatal(err)
	}
	d.Version = 1
	wantEqual(t, "deployments", findDeployments(t, s, registry.DeploymentQuery{}), []registry.Deployment{d})

	bare := registry.Deployment{ID: d.ID, Machine: d.Machine, Version: 1}
	commit(t, s, registry.Change{Op: "2", Deployments: []registry.Deployment{bare}})
	bare.Version, bare.Track = 2, d.Track
	wantEqual(t, "after it was emptied", findDeployments(t, s, registry.DeploymentQuery{}), []registry.Deployment{bare})
}

func testDeploymentVersions(t *testing.T, s registry.Store) {
	create(t, s, 1, 1)
	commit(t, s, registry.Change{Op: "create", Deployments: []registry.Deployment{deployment(1)}})
	stored := findDeployments(t, s, registry.DeploymentQuery{})[0]
	unknown := deployment(2)
	unknown.Version = 7
	for what, c := range map[string]registry.Change{
		"creating what exists":         {Deployments: []registry.Deployment{deployment(1)}},
		"updating what does not exist": {Deployments: []registry.Deployment{unknown}},
		"the same one twice":           {Deployments: []registry.Deployment{stored, stored}},
	} {
		c.Op = what
		wantConflict(t, s.Commit(t.Context(), c), "deployment "+c.Deployments[0].ID)
	}
	// A change of a machine and of a deployment is applied whole, or not at all.
	m := get(t, s, 1)
	m.Deployment = stored.ID
	stale := deployment(1)
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "half", Put: []registry.Machine{m}, Deployments: []registry.Deployment{stale}}), "deployment "+stale.ID)
	wantEqual(t, "machine", get(t, s, 1).Deployment, "")
	m.Version = 9
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "other half", Put: []registry.Machine{m}, Deployments: []registry.Deployment{stored}}), "machine "+m.ID)
	wantEqual(t, "version", findDeployments(t, s, registry.DeploymentQuery{})[0].Version, 1)

	errs := race(func(i int) error {
		d := stored
		d.Reason = fmt.Sprint(i)
		return s.Commit(t.Context(), registry.Change{Op: fmt.Sprint("race ", i), Deployments: []registry.Deployment{d}})
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantConflict(t, err, "deployment "+stored.ID)
	}
	wantEqual(t, "winners", won, 1)
}

func testDeploymentQuery(t *testing.T, s registry.Store) {
	c := registry.Change{Op: "create"}
	for n := 1; n <= 6; n++ {
		d := deployment(n)
		d.Machine = machine((n + 1) / 2).ID
		d.State = registry.DeploymentStates()[n]
		if n > 3 {
			d.OS, d.Batch, d.CreatedAt = "flatcar", "b-1", noon().Add(time.Hour) // at once: by their IDs
		}
		c.Deployments = append(c.Deployments, d)
	}
	commit(t, s, c)
	for _, want := range []struct {
		q    registry.DeploymentQuery
		want string
	}{
		{registry.DeploymentQuery{}, "6 5 4 3 2 1"},
		{registry.DeploymentQuery{Oldest: true}, "1 2 3 4 5 6"},
		{registry.DeploymentQuery{Limit: 2}, "6 5"},
		{registry.DeploymentQuery{IDs: []string{deployment(2).ID, deployment(5).ID, "d-none"}}, "5 2"},
		{registry.DeploymentQuery{Machines: []string{machine(1).ID, machine(3).ID}}, "6 5 2 1"},
		{registry.DeploymentQuery{States: []registry.DeploymentState{registry.DeploymentRunning, registry.DeploymentVerifying}}, "3 2"},
		{registry.DeploymentQuery{OS: "flatcar"}, "6 5 4"},
		{registry.DeploymentQuery{Batch: "b-1", Oldest: true}, "4 5 6"},
		{registry.DeploymentQuery{OS: "debian-12", Machines: []string{machine(2).ID}}, "3"},
		{registry.DeploymentQuery{After: deployment(3).Position()}, "2 1"},
		{registry.DeploymentQuery{Oldest: true, After: c.Deployments[4].Position()}, "6"},
		{registry.DeploymentQuery{After: c.Deployments[4].Position(), Limit: 2}, "4 3"},
		{registry.DeploymentQuery{OS: "x'4142'"}, ""},
	} {
		var got []string
		for _, d := range findDeployments(t, s, want.q) {
			got = append(got, strings.TrimLeft(strings.TrimPrefix(d.ID, "d-"), "0"))
		}
		wantEqual(t, fmt.Sprintf("%+v", want.q), strings.Join(got, " "), want.want)
	}
	counts, err := s.CountDeployments(t.Context())
	if err != nil || len(counts) != len(registry.DeploymentStates()) || counts[registry.DeploymentPending] != 0 || counts[registry.DeploymentSucceeded] != 1 {
		t.Errorf("counts: %v, %v", counts, err)
	}
}

func testDeploymentsOfMachines(t *testing.T, s registry.Store) {
	create(t, s, 1, 3)
	line := registry.DeploymentLine{LinePosition: registry.LinePosition{Attempt: 1}, At: noon(), Text: "line"}
	c := registry.Change{Op: "deploy"}
	for n := 1; n <= 3; n++ {
		line.Deployment = deployment(n).ID
		c.Deployments, c.Lines = append(c.Deployments, deployment(n)), append(c.Lines, line)
	}
	commit(t, s, c)
	gone := get(t, s, 2)
	commit(t, s, registry.Change{Op: "merge", Delete: []registry.Machine{gone}, Move: []registry.Move{{From: gone.ID, To: machine(1).ID}}})
	commit(t, s, registry.Change{Op: "delete", Delete: []registry.Machine{get(t, s, 3)}})
	wantEqual(t, "of the machine that another went into", len(findDeployments(t, s, registry.DeploymentQuery{Machines: []string{machine(1).ID}})), 2)
	wantEqual(t, "of all", len(findDeployments(t, s, registry.DeploymentQuery{})), 2)
	for n, want := range map[int]int{1: 1, 2: 1, 3: 0} {
		lines, err := s.Lines(t.Context(), deployment(n).ID, registry.LinePosition{}, 10)
		if err != nil || len(lines) != want {
			t.Errorf("lines of deployment %d: %v, %v", n, lines, err)
		}
	}
}

func testTrack(t *testing.T, s registry.Store) {
	commit(t, s, registry.Change{Op: "create", Deployments: []registry.Deployment{deployment(1), deployment(2)}})
	track := registry.Track{Attempt: 1, At: noon(), Progress: registry.Progress{Done: 1 << 40}}
	errs := []error{s.Track(t.Context(), nil), s.Track(t.Context(), map[string]registry.Track{deployment(1).ID: {Attempt: 1}, "d-none": track}),
		s.Track(t.Context(), map[string]registry.Track{deployment(1).ID: track})}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	found := findDeployments(t, s, registry.DeploymentQuery{Oldest: true})
	wantEqual(t, "tracks", [2]registry.Track{found[0].Track, found[1].Track}, [2]registry.Track{track, {}})
	wantEqual(t, "version", found[0].Version, 1)
}

func testLines(t *testing.T, s registry.Store) {
	lines := func(attempt, from, count int) (all []registry.DeploymentLine) {
		for n := from; n < from+count; n++ {
			all = append(all, registry.DeploymentLine{Deployment: "d-1", LinePosition: registry.LinePosition{Attempt: attempt, N: n},
				At: noon().Add(time.Duration(n) * time.Second), Action: n % 3, Text: fmt.Sprintf("x'%d' line", n)})
		}
		return all
	}
	other := lines(1, 0, 1)
	other[0].Deployment = "d-2"
	for i, some := range [][]registry.DeploymentLine{lines(1, 0, 3), lines(2, 0, 1), lines(1, 2, 2), other} {
		commit(t, s, registry.Change{Op: fmt.Sprint("some ", i), Lines: some})
	}
	changed := lines(1, 1, 1)
	changed[0].Text = "something else"
	commit(t, s, registry.Change{Op: "changed", Lines: changed})
	got, err := s.Lines(t.Context(), "d-1", registry.LinePosition{}, 10)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "lines", got, append(lines(1, 0, 4), lines(2, 0, 1)...))
	got, err = s.Lines(t.Context(), "d-1", registry.LinePosition{Attempt: 1, N: 2}, 2)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "behind a line", got, append(lines(1, 3, 1), lines(2, 0, 1)...))

	const total = registry.FirstLines + registry.NewestLines + 700
	for some := range slices.Chunk(lines(1, 4, total-4), 500) {
		commit(t, s, registry.Change{Op: fmt.Sprint("from ", some[0].N), Lines: some})
	}
	got, err = s.Lines(t.Context(), "d-1", registry.LinePosition{}, total)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "how many", len(got), registry.FirstLines+registry.NewestLines+1)
	wantEqual(t, "before the gap", got[registry.FirstLines-1].N, registry.FirstLines-1)
	wantEqual(t, "behind the gap", got[registry.FirstLines].N, registry.FirstLines+700)
	wantEqual(t, "the last of the attempt", got[len(got)-2].N, total-1)
}

func testOSes(t *testing.T, s registry.Store) {
	linux := registry.OS{ID: "linux", Name: "x'4142'", Template: "a\nb", FirstBoot: registry.FirstBootNone, MinDisk: 1<<53 + 1,
		Images: map[string]registry.OSImage{"amd64": {URL: "http://x/y", Format: "raw.xz", SHA256: "ab"}}}
	commit(t, s, registry.Change{Op: "create", OSes: []registry.OS{linux, {ID: "bsd", Disabled: true}}})
	linux.Revision = 1
	want := []registry.OS{{ID: "bsd", Disabled: true, Revision: 1}, linux}
	got, err := s.OSes(t.Context())
	wantEqual(t, "error", err, nil)
	wantEqual(t, "operating systems", got, want)
	for what, c := range map[string]registry.Change{
		"creating what exists":       {OSes: []registry.OS{{ID: "linux"}}},
		"a stale update":             {OSes: []registry.OS{{ID: "linux", Revision: 2}}},
		"deleting what is not there": {DeleteOSes: []registry.OS{{ID: "linux", Revision: 3}}},
		"the same one twice":         {OSes: []registry.OS{linux, linux}},
	} {
		c.Op = what
		wantConflict(t, s.Commit(t.Context(), c), "operating system linux")
	}
	linux.Disabled = true
	commit(t, s, registry.Change{Op: "change", OSes: []registry.OS{linux}, DeleteOSes: want[:1]})
	linux.Revision = 2
	got, err = s.OSes(t.Context())
	wantEqual(t, "error", err, nil)
	wantEqual(t, "what is left", got, []registry.OS{linux})
}
