package registrytest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"dragonfly/registry"
)

func testVersions(t *testing.T, s registry.Store) {
	create(t, s, 1, 1)
	m := get(t, s, 1)
	wantEqual(t, "version of a new machine", m.Version, 1)

	m.Hostname = "second"
	commit(t, s, registry.Change{Op: "update", Put: []registry.Machine{m}})
	wantEqual(t, "version after an update", get(t, s, 1).Version, 2)

	stale, again, unknown := m, machine(1), machine(2)
	unknown.Version = 3
	for what, lost := range map[string]registry.Change{
		"a stale update":                 {Put: []registry.Machine{stale}},
		"creating what exists":           {Put: []registry.Machine{again}},
		"updating what does not exist":   {Put: []registry.Machine{unknown}},
		"a stale delete":                 {Delete: []registry.Machine{stale}},
		"deleting what does not exist":   {Delete: []registry.Machine{unknown}},
		"the same machine twice":         {Put: []registry.Machine{get(t, s, 1), get(t, s, 1)}},
		"a new machine twice, same name": {Put: []registry.Machine{machine(3), machine(3)}},
	} {
		t.Run(what, func(t *testing.T) {
			lost.Op = what
			all := append(lost.Put, lost.Delete...)
			err := s.Commit(t.Context(), lost)
			wantConflict(t, err, "machine "+all[0].ID)
			if conflict, ok := errors.AsType[*registry.ConflictError](err); ok && what == "a stale update" {
				wantEqual(t, "versions", [2]int64{conflict.Read, conflict.Stored}, [2]int64{1, 2})
			}
		})
	}
	wantEqual(t, "what is stored afterwards", names(t, s, registry.Query{}), "001")
	wantEqual(t, "version afterwards", get(t, s, 1).Version, 2)
}

func testOnce(t *testing.T, s registry.Store) {
	c := registry.Change{Op: "x'4142'", Put: []registry.Machine{machine(1)}, Events: []registry.Event{{At: noon(), Kind: registry.MachineDiscovered}}}
	for range 3 {
		commit(t, s, c)
	}
	wantEqual(t, "version", get(t, s, 1).Version, 1)
	last, err := s.LastEvent(t.Context())
	wantEqual(t, "events", last, 1)
	wantEqual(t, "error", err, nil)

	c.Op = ""
	if err := s.Commit(t.Context(), c); err == nil {
		t.Error("a change without an operation id was accepted")
	}
}

func testAtomic(t *testing.T, s registry.Store) {
	create(t, s, 1, 1)
	c := registry.Change{
		Op:     "half",
		Put:    []registry.Machine{machine(2), machine(1)}, // the second exists
		Events: []registry.Event{{At: noon(), Kind: registry.MachineDiscovered}},
	}
	wantConflict(t, s.Commit(t.Context(), c), "machine "+machine(1).ID)
	wantEqual(t, "machines", names(t, s, registry.Query{}), "001")
	last, err := s.LastEvent(t.Context())
	if last != 0 || err != nil {
		t.Errorf("an event of a refused change was stored: %d, %v", last, err)
	}
	c.Put = c.Put[:1]
	commit(t, s, c) // a refused operation was not applied, so its id is free
	wantEqual(t, "machines", names(t, s, registry.Query{}), "001 002")
}

func testNames(t *testing.T, s registry.Store) {
	create(t, s, 1, 2)
	third, second := machine(3), get(t, s, 2)
	third.Name, second.Name = machine(1).Name, machine(1).Name
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "create", Put: []registry.Machine{third}}), "name name-001")
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "rename", Put: []registry.Machine{second}}), "name name-001")
}

func testAddresses(t *testing.T, s registry.Store) {
	create(t, s, 1, 2)
	third, second := machine(3), get(t, s, 2)
	third.MACs = append(third.MACs, mac(1))
	second.MACs = []registry.MAC{mac(1)}
	for op, m := range map[string]registry.Machine{"create": third, "update": second} {
		err := s.Commit(t.Context(), registry.Change{Op: op, Put: []registry.Machine{m}})
		wantConflict(t, err, "hardware address "+mac(1).String())
	}
	wantEqual(t, "addresses afterwards", get(t, s, 2).MACs, []registry.MAC{mac(2)})
}

func testMove(t *testing.T, s registry.Store) {
	create(t, s, 1, 2)
	// Both ways round: the giver first, then the taker first.
	for i, order := range [][2]int{{1, 2}, {2, 1}} {
		from, to := get(t, s, order[0]), get(t, s, order[1])
		taken := from.MACs
		from.MACs, to.MACs = nil, append(to.MACs, taken...)
		put := []registry.Machine{get(t, s, 1), get(t, s, 2)}
		put[order[0]-1], put[order[1]-1] = from, to
		commit(t, s, registry.Change{Op: fmt.Sprint("move ", i), Put: put})
		wantEqual(t, "addresses of the giver", get(t, s, order[0]).MACs, nil)
		wantEqual(t, "addresses of the taker", get(t, s, order[1]).MACs, to.MACs)
	}
	wantEqual(t, "owner", names(t, s, registry.Query{MACs: []registry.MAC{mac(2)}}), "001")
}

func testDelete(t *testing.T, s registry.Store) {
	create(t, s, 1, 2)
	commit(t, s, registry.Change{Op: "delete", Delete: []registry.Machine{{ID: machine(1).ID, Version: 1}}})
	wantEqual(t, "what is left", names(t, s, registry.Query{}), "002")
	wantEqual(t, "by its address", names(t, s, registry.Query{MACs: []registry.MAC{mac(1)}}), "")
	successor := machine(3)
	successor.Name, successor.MACs = machine(1).Name, machine(1).MACs
	commit(t, s, registry.Change{Op: "again", Put: []registry.Machine{successor}})
}

func testMerge(t *testing.T, s registry.Store) {
	create(t, s, 1, 2)
	kept, gone := get(t, s, 1), get(t, s, 2)
	kept.MACs, kept.Name = append(kept.MACs, gone.MACs...), gone.Name
	commit(t, s, registry.Change{Op: "merge", Put: []registry.Machine{kept}, Delete: []registry.Machine{gone}})
	merged := find(t, s, registry.Query{})
	if len(merged) != 1 {
		t.Fatalf("%d machines after a merge", len(merged))
	}
	kept.Version++
	wantEqual(t, "merged machine", merged[0], kept)
}

func testMoveRecords(t *testing.T, s registry.Store) {
	create(t, s, 1, 3)
	for i := range 40 {
		c := registry.Change{Op: fmt.Sprint("report ", i)}
		for n := 1; n <= 3; n++ {
			at := noon().Add(time.Duration(i)*time.Minute + time.Duration(n)*time.Second)
			c.Events = append(c.Events, registry.Event{At: at, Kind: registry.MachineBoot, Machine: machine(n).ID, MAC: mac(n), Message: fmt.Sprint(n, i)})
			c.History = append(c.History, registry.HardwareRecord{Machine: machine(n).ID, At: at, Hardware: registry.Hardware{Memory: registry.Memory{Bytes: int64(i)}}})
		}
		commit(t, s, c)
	}
	kept, gone := get(t, s, 1), get(t, s, 2)
	stale := gone
	stale.Version++
	move := []registry.Move{{From: gone.ID, To: kept.ID}}
	wantConflict(t, s.Commit(t.Context(), registry.Change{Op: "stale", Put: []registry.Machine{kept}, Delete: []registry.Machine{stale}, Move: move}), "machine "+gone.ID)
	commit(t, s, registry.Change{Op: "merge", Put: []registry.Machine{kept}, Delete: []registry.Machine{gone}, Move: move,
		Events: []registry.Event{{At: noon(), Kind: registry.MachineMerged, Machine: kept.ID}, {At: noon(), Kind: registry.MachineDeleted, Machine: gone.ID}}})
	for n, want := range map[int]struct{ events, history int }{1: {81, 50}, 2: {1, 0}, 3: {40, 40}} {
		events, err := s.Timeline(t.Context(), machine(n).ID, 0, 1000)
		history, errHistory := s.History(t.Context(), machine(n).ID, 1000)
		if err := errors.Join(err, errHistory); err != nil || len(events) != want.events || len(history) != want.history {
			t.Errorf("machine %d has %d events and %d hardware records, %v; want %+v", n, len(events), len(history), err, want)
		}
	}
	events, err := s.Timeline(t.Context(), kept.ID, 0, 3)
	if err != nil || events[0].Kind != registry.MachineMerged || events[1].Message != "2 39" || events[2].Message != "1 39" || events[1].MAC != mac(2) {
		t.Errorf("timeline: %+v, %v", events, err)
	}
	history, err := s.History(t.Context(), kept.ID, 50)
	for i, r := range history { // the records of both, by turns
		at := noon().Add(time.Duration(39-i/2)*time.Minute + time.Duration(2-i%2)*time.Second)
		if err != nil || r.Machine != kept.ID || !r.At.Equal(at) || r.Hardware.Memory.Bytes != int64(39-i/2) {
			t.Fatalf("record %d: %+v, %v; want that of %v", i, r, err, at)
		}
	}
}

// testMoveHardware merges records whose hardware was recorded as it was stored, the
// newer one into the older one and the other way round.
func testMoveHardware(t *testing.T, s registry.Store) {
	for round, order := range [][2]int{{1, 2}, {4, 3}} {
		c := registry.Change{Op: fmt.Sprint("create ", round)}
		older, newer := machine(2*round+1), machine(2*round+2)
		for i, m := range []registry.Machine{older, newer} {
			m.Hardware.Memory.Bytes = int64(i + 1)
			c.Put = append(c.Put, m)
			c.History = append(c.History, registry.HardwareRecord{Machine: m.ID, At: noon().Add(time.Duration(i) * time.Hour), Hardware: m.Hardware})
		}
		commit(t, s, c)
		kept, gone := get(t, s, order[0]), get(t, s, order[1])
		kept.Hardware = get(t, s, 2*round+2).Hardware
		commit(t, s, registry.Change{Op: fmt.Sprint("merge ", round), Put: []registry.Machine{kept}, Delete: []registry.Machine{gone},
			Move: []registry.Move{{From: gone.ID, To: kept.ID}}})
		history, err := s.History(t.Context(), kept.ID, 10)
		if err != nil || len(history) != 2 || history[0].Hardware.Memory.Bytes != 2 || history[1].Hardware.Memory.Bytes != 1 {
			t.Errorf("round %d: history %+v, %v", round, history, err)
		}
		// The next report comes first.
		next := get(t, s, order[0])
		next.Hardware.Memory.Bytes = 3
		commit(t, s, registry.Change{Op: fmt.Sprint("report ", round), Put: []registry.Machine{next},
			History: []registry.HardwareRecord{{Machine: next.ID, At: noon().Add(2 * time.Hour), Hardware: next.Hardware}}})
		if history, err := s.History(t.Context(), kept.ID, 10); err != nil || len(history) != 3 || history[0].Hardware.Memory.Bytes != 3 {
			t.Errorf("round %d: history after a report %+v, %v", round, history, err)
		}
	}
}

// racers is how many writers there are at once.
const racers = 300

func testRace(t *testing.T, s registry.Store) {
	create(t, s, 1, 1)
	read := get(t, s, 1)
	errs := race(func(i int) error {
		m := read
		m.Hostname = fmt.Sprintf("racer-%d", i)
		return s.Commit(t.Context(), registry.Change{Op: fmt.Sprint("race ", i), Put: []registry.Machine{m}})
	})
	won := -1
	for i, err := range errs {
		if err == nil && won < 0 {
			won = i
			continue
		}
		wantConflict(t, err, "machine "+read.ID)
	}
	m := get(t, s, 1)
	wantEqual(t, "winner", m.Hostname, fmt.Sprintf("racer-%d", won))
	wantEqual(t, "version", m.Version, 2)
}

func testConcurrent(t *testing.T, s registry.Store) {
	errs := race(func(i int) error {
		event := registry.Event{At: noon(), Kind: registry.MachineDiscovered, Machine: machine(i).ID}
		return s.Commit(t.Context(), registry.Change{Op: fmt.Sprint("create ", i), Put: []registry.Machine{machine(i)}, Events: []registry.Event{event}})
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "machines", len(find(t, s, registry.Query{})), racers)
	last, err := s.LastEvent(t.Context())
	if last != racers || err != nil {
		t.Errorf("last event %d, %v; want %d", last, err, racers)
	}
}

// race calls f with 0 to racers-1 at once and returns what each call returned.
func race(f func(i int) error) []error {
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errs
}

// imported is a change with machines from to to, inclusive, in no order, each with
// hardware of some 4 kB.
func imported(from, to int) registry.Change {
	c := registry.Change{Op: fmt.Sprintf("import %d to %d", from, to)}
	for i := from; i <= to; i++ {
		m, mixed := machine(i), uint64(i)*11400714819323198485
		m.ID, m.Name, m.Owner = fmt.Sprintf("m-%016x", mixed), fmt.Sprintf("%016x", mixed), fmt.Sprintf("owner-%d", i%7)
		for disk := range 24 {
			m.Hardware.Disks = append(m.Hardware.Disks, registry.Disk{Name: fmt.Sprintf("sd%c", 'a'+disk), Bytes: 1 << 40,
				Model: "MZ7LH960HAJR-00005", Serial: fmt.Sprintf("%X", mixed+uint64(disk))})
		}
		c.Put = append(c.Put, m)
		c.History = append(c.History, registry.HardwareRecord{Machine: m.ID, At: noon(), Hardware: m.Hardware})
		c.Events = append(c.Events, registry.Event{At: noon(), Kind: registry.MachineRegistered, Machine: m.ID})
	}
	return c
}

// What undoes a change is in memory at first and in a file once it is large: one of
// hundreds of machines, as an import makes it, among as many, gets there.
func testLarge(t *testing.T, s registry.Store) {
	const n = 600
	first, second := imported(1, n), imported(n+1, 2*n)
	commit(t, s, first)
	commit(t, s, second)
	want := map[string]registry.Hardware{}
	for _, m := range append(first.Put[:n:n], second.Put...) {
		want[m.ID] = m.Hardware
	}
	edit := registry.Change{Op: "edit"}
	for _, m := range find(t, s, registry.Query{}) {
		wantEqual(t, "hardware of "+m.Name, m.Hardware, want[m.ID])
		m.Owner, m.Hardware.Disks = "ana", m.Hardware.Disks[1:]
		edit.Put = append(edit.Put, m)
	}
	commit(t, s, edit)
	half := imported(2*n+1, 3*n)
	half.Put = append(half.Put, first.Put[0]) // exists
	wantConflict(t, s.Commit(t.Context(), half), "machine "+first.Put[0].ID)
	owners, err := s.Tally(t.Context(), registry.Query{}, registry.TallyBy{Field: registry.FieldOwner})
	wantEqual(t, "error", err, nil)
	wantEqual(t, "owners", owners, []registry.Tally{{Value: "ana", N: 2 * n}})
}
