package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// open starts a registry over a fresh store; it runs until the test ends.
func open(t *testing.T, store registry.Store) *registry.Registry { return openWith(t, store, nil) }

// openWith is [open] with something that finds hardware addresses.
func openWith(t *testing.T, store registry.Store, resolve func(netip.Addr) registry.MAC) *registry.Registry {
	t.Helper()
	return openEquipped(t, store, func(r *registry.Registry) {
		r.Resolve(resolve)
		r.Equip(catalogue)
	})
}

// catalogue has what machines are assigned where nothing is deployed.
var catalogue = registry.Tools{Catalogue: []registry.OS{{ID: "debian-12"}, {ID: "ubuntu-24.04"}, {ID: "linux"}}}

// openEquipped is [open] with what has to be set before it runs.
func openEquipped(t *testing.T, store registry.Store, equip func(*registry.Registry)) *registry.Registry {
	t.Helper()
	r, err := registry.New(t.Context(), store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	equip(r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func registration(last byte, uuid, serial string) registry.Registration {
	return registry.Registration{MAC: mac(last), MACs: []registry.MAC{mac(last)}, Hardware: system(uuid, serial)}
}

func mustRegister(t *testing.T, r *registry.Registry, reg registry.Registration) (registry.Machine, bool) {
	t.Helper()
	m, created, err := r.Register(t.Context(), reg)
	if err != nil {
		t.Fatal(err)
	}
	return m, created
}

func TestRegisterIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registrytest.Memory())
		first, created := mustRegister(t, r, registration(1, uuidA, "SN-A"))
		if !created || first.State != registry.Ready || first.Name == "" {
			t.Fatalf("first registration: created %v, %+v", created, first)
		}
		for _, tt := range []struct {
			name string
			off  time.Duration // before it
			reg  registry.Registration
		}{
			{"again", 0, registration(1, uuidA, "SN-A")},
			{"with another NIC", registry.OnlineFor, registration(2, uuidA, "SN-A")},
			{"by serial alone", registry.OnlineFor, registration(3, "", "SN-A")},
			{"by address alone", 0, registration(3, "", "")},
		} {
			time.Sleep(tt.off)
			m, created := mustRegister(t, r, tt.reg)
			if created || m.ID != first.ID || m.Name != first.Name {
				t.Errorf("%s: created %v, record %s; want %s", tt.name, created, m.ID, first.ID)
			}
		}
		m, err := r.Machine(t.Context(), first.Name)
		if err != nil || !slices.Contains(m.MACs, mac(1)) || !slices.Contains(m.MACs, mac(3)) {
			t.Errorf("addresses of %s: %v, %v; the old ones belong to it still", first.Name, m.MACs, err)
		}
	})
}

// The nodes of one chassis are set up one after the other.
func TestNodesOfOneChassis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		node := func(n byte) registry.Registration {
			reg := registration(n, fmt.Sprintf("4c4c4544-0042-3510-8052-b4c04f5644%02x", n), "CHASSIS")
			reg.Hardware = fitted(reg.Hardware, fmt.Sprint("M", n), fmt.Sprint("D", n))
			return reg
		}
		first, _ := mustRegister(t, r, node(1))
		time.Sleep(registry.OnlineFor)
		second, created := mustRegister(t, r, node(2))
		if !created {
			t.Fatalf("the second node took over the record %s of the first", second.Name)
		}
		time.Sleep(registry.OnlineFor)
		for n, want := range []registry.Machine{first, second} {
			if m, created := mustRegister(t, r, node(byte(n+1))); created || m.ID != want.ID {
				t.Errorf("node %d came back as %s, new %t; want %s", n+1, m.Name, created, want.Name)
			}
		}
		events, err := store.Events(t.Context(), 0, 100)
		said := slices.ContainsFunc(events, func(e registry.Event) bool {
			return e.Machine == second.ID && e.Message == "has the serial number of "+first.Name+", and counts as another machine; merge the two if they are one"
		})
		if err != nil || !said {
			t.Errorf("nobody is told of it: %+v, %v", events, err)
		}
	})
}

// A NIC on USB has booted one machine, and now another one.
func TestUSBNICGoesRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registrytest.Memory())
		with := func(n byte) registry.Registration {
			reg := registration(1, fmt.Sprintf("4c4c4544-0042-3510-8052-b4c04f5644%02x", n), fmt.Sprint("SN-", n))
			reg.Hardware = fitted(reg.Hardware, fmt.Sprint("M", n), fmt.Sprint("D", n))
			return reg
		}
		var all []registry.Machine
		for n := range byte(3) {
			m, created := mustRegister(t, r, with(n))
			if !created {
				t.Errorf("machine %d took over the record %s", n, m.Name)
			}
			all = append(all, m)
			time.Sleep(registry.OnlineFor)
		}
		for n, want := range all {
			m, created := mustRegister(t, r, with(byte(n)))
			if created || m.ID != want.ID || !slices.Equal(m.MACs, []registry.MAC{mac(1)}) {
				t.Errorf("machine %d came back as %s with %v, new %t; want %s", n, m.Name, m.MACs, created, want.Name)
			}
			time.Sleep(registry.OnlineFor)
		}
		if first, err := r.Machine(t.Context(), all[0].ID); err != nil || len(first.MACs) > 0 {
			t.Errorf("the first machine, whose address another one has: %v, %v", first.MACs, err)
		}
	})
}

// Blades of one chassis may all say its serial number. One that comes while another is
// being deployed, and so does not wait for instructions, or talks to another server, is
// a machine of its own.
func TestTwinsOfABusyMachine(t *testing.T) {
	for name, shared := range map[string]bool{"of this server": false, "of another server": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := registrytest.Memory()
				tools := testTools()
				tools.Shared = shared
				g := &rig{Registry: openTools(t, store, tools), store: store}
				g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
				beside := g.Registry
				if shared {
					beside = openTools(t, store, tools)
				}
				g.deploy(t, "linux")
				d := g.claim(t, "boot 1")
				for range 20 {
					time.Sleep(5 * time.Second)
					g.report(t, registry.ActionReport{Deployment: d.ID, Boot: d.Boot, Attempt: d.Attempt, State: registry.ActionRunning})
				}
				twin, created := mustRegister(t, beside, registration(2, "", "SN-1"))
				if !created || twin.ID == g.m.ID {
					t.Errorf("a blade with the serial number of %s: created %t, record %s", g.m.Name, created, twin.Name)
				}
			})
		})
	}
}

func TestRegisterTakesOverWhatWasDiscovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, registrytest.Memory())
		for _, last := range []byte{1, 2} { // one machine tries both its ports
			r.Sight(registry.Sighting{At: time.Now(), MAC: mac(last), Stage: registry.StageDHCP, Detail: "offered snponly.efi"})
		}
		time.Sleep(time.Second)
		if n := r.Count(); n != 2 {
			t.Fatalf("%d machines discovered, want 2", n)
		}
		reg := registration(1, uuidA, "SN-A")
		reg.MACs = append(reg.MACs, mac(2))
		m, created := mustRegister(t, r, reg)
		if n := r.Count(); n != 1 || !created {
			t.Errorf("%d machines after the registration, created %v; want the one, new", n, created)
		}
		if e, ok := r.Lookup(mac(2)); !ok || e.ID != m.ID {
			t.Errorf("second port belongs to %+v", e)
		}
		timeline, err := r.Timeline(t.Context(), m.ID, 0, 10)
		ports := map[registry.MAC]bool{}
		for _, e := range timeline {
			ports[e.MAC] = ports[e.MAC] || e.Kind == registry.MachineBoot
		}
		if err != nil || !ports[mac(1)] || !ports[mac(2)] {
			t.Errorf("the timeline lacks what one of the ports did: %+v, %v", timeline, err)
		}
	})
}

// TestRegisterTakesOnlyWhatItBootedFrom has a machine list the addresses of others
// as its own.
func TestRegisterTakesOnlyWhatItBootedFrom(t *testing.T) {
	store := registrytest.Memory()
	r := open(t, store)
	a, _ := mustRegister(t, r, registration(1, uuidA, "SN-A"))
	b, _ := mustRegister(t, r, registration(2, uuidB, "SN-B"))
	const uuidT = "11111111-2222-3333-4444-555555555555"
	greedy := registration(9, uuidT, "SN-T")
	greedy.MACs = append(greedy.MACs, mac(1), mac(2), mac(3))
	thief, _ := mustRegister(t, r, greedy)
	if !slices.Equal(thief.MACs, []registry.MAC{mac(9), mac(3)}) {
		t.Errorf("it has %v, want its own and the one that nobody had", thief.MACs)
	}
	for want, m := range map[registry.MAC]registry.Machine{mac(1): a, mac(2): b} {
		if e, _ := r.Lookup(want); e.ID != m.ID {
			t.Errorf("%s boots as %s, was %s", want, e.Name, m.Name)
		}
	}
	events, err := store.Events(t.Context(), 0, 100)
	if err != nil || !slices.ContainsFunc(events, func(e registry.Event) bool {
		return e.Machine == thief.ID && strings.Contains(e.Message, "and 1 more of other machines, which it did not boot from")
	}) {
		t.Errorf("the timeline does not say what it claimed: %v, %v", events, err)
	}
	moved := registration(1, uuidT, "SN-T") // the card was put into this machine, which now boots from it
	if thief, _ = mustRegister(t, r, moved); !slices.Contains(thief.MACs, mac(1)) {
		t.Errorf("after it booted from the card it has %v", thief.MACs)
	}
	if e, _ := r.Lookup(mac(1)); e.ID != thief.ID {
		t.Errorf("the card boots as %s", e.Name)
	}
	if _, err := r.Retire(t.Context(), b.ID, 0); err != nil {
		t.Fatal(err)
	}
	moved.MACs = append(moved.MACs, mac(2))
	if thief, _ = mustRegister(t, r, moved); !slices.Contains(thief.MACs, mac(2)) {
		t.Errorf("the card of a retired machine was not taken: %v", thief.MACs)
	}
}

// As many at once as a registration has attempts: each round has a winner, so nobody can
// lose more often.
func TestRegisterRaces(t *testing.T) {
	r := open(t, registrytest.Memory())
	var group sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]int{}
	for range 16 {
		group.Go(func() {
			m, _, err := r.Register(t.Context(), registration(1, uuidA, "SN-A"))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[m.ID]++
		})
	}
	group.Wait()
	if len(ids) != 1 {
		t.Errorf("one machine became %d records: %v", len(ids), ids)
	}
}

func TestRegisterRefuses(t *testing.T) {
	many := registration(1, uuidA, "")
	many.Hardware.Disks = make([]registry.Disk, 10_000)
	group := registration(1, uuidA, "")
	group.MACs = []registry.MAC{{1, 0, 0x5e, 0, 0, 1}}
	negative := registration(1, uuidA, "")
	negative.Hardware.Memory.Bytes = -1
	tests := map[string]struct {
		reg     registry.Registration
		pointer string
	}{
		"turned text":        {registration(1, uuidA, "SN\u202e4321"), "/hardware/system/serial"},
		"two lines":          {registration(1, uuidA, "SN\u2028x"), "/hardware/system/serial"},
		"control characters": {registration(1, uuidA, "SN\x1b[2J"), "/hardware/system/serial"},
		"markup":             {registration(1, uuidA, "<script>alert(1)</script>"), "/hardware/system/serial"},
		"not UTF-8":          {registration(1, uuidA, "\xff\xfe"), "/hardware/system/serial"},
		"too long":           {registration(1, uuidA, strings.Repeat("x", 10_000)), "/hardware/system/serial"},
		"10,000 disks":       {many, "/hardware/disks"},
		"multicast address":  {group, "/macs/0"},
		"no address":         {registry.Registration{}, "/mac"},
		"negative size":      {negative, "/hardware/memory/bytes"},
	}
	r := open(t, registrytest.Memory())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := r.Register(t.Context(), tt.reg)
			invalid, ok := errors.AsType[*registry.InvalidError](err)
			if !ok || invalid.Fields[0].Pointer != tt.pointer {
				t.Errorf("got %v, want an error at %s", err, tt.pointer)
			}
			if r.Count() != 0 {
				t.Error("the refused registration left a record")
			}
		})
	}
}

func TestRegisterWithoutStore(t *testing.T) {
	_, err := registry.New(t.Context(), registrytest.Broken(registry.ErrUnavailable), slog.New(slog.DiscardHandler))
	if !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestNextHandsOutOnce(t *testing.T) {
	r := open(t, registrytest.Memory())
	m, _ := mustRegister(t, r, registration(1, uuidA, ""))
	type answer struct {
		what registry.Instruction
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		_, what, err := r.Next(t.Context(), m.ID, "", registry.MaxWait)
		answers <- answer{what, err}
	}()
	if _, err := r.Instruct(t.Context(), m.Name, registry.Reboot); err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got.err != nil || got.what != registry.Reboot {
		t.Errorf("waiting agent got %+v", got)
	}
	if _, what, err := r.Next(t.Context(), m.ID, "", 0); err != nil || what != registry.Wait {
		t.Errorf("second poll got %q, %v; an instruction is given once", what, err)
	}
}

// What an operator tells a machine is not eaten by the connection of a boot that is over.
func TestNextTellsTheBootThatRegisteredLast(t *testing.T) {
	r := open(t, registrytest.Memory())
	at := func(boot string) (m registry.Machine) {
		reg := registration(1, uuidA, "")
		reg.Boot = boot
		m, _ = mustRegister(t, r, reg)
		return m
	}
	at("first")
	m := at("second")
	if _, err := r.Instruct(t.Context(), m.Name, registry.Reboot); err != nil {
		t.Fatal(err)
	}
	for _, poll := range []struct {
		boot string
		want registry.Instruction
	}{{"first", registry.Wait}, {"", registry.Wait}, {"second", registry.Reboot}} {
		if _, what, err := r.Next(t.Context(), m.ID, poll.boot, 0); err != nil || what != poll.want {
			t.Errorf("boot %q is told %q, %v; want %q", poll.boot, what, err, poll.want)
		}
	}
}

func TestInstructRefuses(t *testing.T) {
	r := open(t, registrytest.Memory())
	m, _ := mustRegister(t, r, registration(1, uuidA, ""))
	if _, err := r.Instruct(t.Context(), m.ID, "explode"); err == nil {
		t.Error("an unknown instruction was queued")
	}
	if _, err := r.Instruct(t.Context(), "nobody", registry.Reboot); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("unknown machine: %v", err)
	}
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		m, _ := mustRegister(t, r, registration(1, uuidA, ""))
		if _, what, err := r.Next(t.Context(), m.ID, "", time.Hour); err != nil || what != registry.Wait {
			t.Fatalf("poll: %q, %v", what, err)
		}
		m, err := r.Machine(t.Context(), m.ID)
		if err != nil || !m.Online(time.Now()) {
			t.Fatalf("not online right after a poll: %v, %v", m.SeenAt, err)
		}
		time.Sleep(registry.OnlineFor + 10*time.Second)
		if _, _, err := r.Next(t.Context(), m.ID, "", 0); err != nil {
			t.Fatal(err)
		}
		want := []registry.Kind{registry.MachineRegistered, registry.MachineOffline, registry.MachineOnline}
		if kinds := kindsOf(t, store); !slices.Equal(kinds, want) {
			t.Errorf("events %v; want %v", kinds, want)
		}
		stored, err := store.Machines(t.Context(), registry.Query{IDs: []string{m.ID}})
		if err != nil || stored[0].SeenAt.IsZero() {
			t.Errorf("the sign of life was not stored: %+v, %v", stored, err)
		}
	})
}

// Of three servers on one store, only one hears a machine, and all know that it is there.
func TestPresenceIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		server := func() *registry.Registry {
			return openEquipped(t, store, func(r *registry.Registry) { r.Equip(registry.Tools{Shared: true}) })
		}
		a, b := server(), server()
		m, _ := mustRegister(t, a, registration(1, uuidA, ""))
		online := func(r *registry.Registry, want bool) {
			t.Helper()
			if found := r.Glances(m.ID); len(found) != 1 || found[0].Online(time.Now()) != want {
				t.Errorf("after %s: %+v; want online %t", time.Since(m.SeenAt), found, want)
			}
		}
		var c *registry.Registry
		for n := range 10 {
			if _, _, err := a.Next(t.Context(), m.ID, "", registry.MaxWait); err != nil {
				t.Fatal(err)
			}
			if n == 5 {
				c = server()
			}
			time.Sleep(8 * time.Second)
			online(a, true)
			online(b, true)
		}
		online(c, true)
		if kinds := kindsOf(t, store); !slices.Equal(kinds, []registry.Kind{registry.MachineRegistered}) {
			t.Errorf("events while it was polling: %v", kinds)
		}
		time.Sleep(2 * registry.OnlineFor)
		online(a, false)
		online(b, false)
		if kinds := kindsOf(t, store); !slices.Equal(kinds, []registry.Kind{registry.MachineRegistered, registry.MachineOffline}) {
			t.Errorf("events after it fell silent: %v", kinds)
		}
	})
}

// The server that heard many machines is gone, and both others notice that they are.
func TestSilenceIsNoticedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const machines = 200
		first := open(t, registrytest.Memory())
		later := registrytest.Memory() // the server of the first one does not know it
		var put []registry.Machine
		for n := range machines {
			m, _ := mustRegister(t, first, registration(byte(n), "", ""))
			m.Version = 0
			put = append(put, m)
		}
		if err := later.Commit(t.Context(), registry.Change{Op: "same", Put: put}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			openEquipped(t, later, func(r *registry.Registry) { r.Equip(registry.Tools{Shared: true}) })
		}
		time.Sleep(3 * registry.OnlineFor)
		events, err := later.Events(t.Context(), 0, 10*machines)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]int{}
		for _, e := range events {
			if e.Kind != registry.MachineOffline {
				t.Errorf("an event of another kind: %+v", e)
			}
			told[e.Machine]++
		}
		if len(events) != machines || len(told) != machines {
			t.Errorf("%d events of %d machines; want one of each of %d", len(events), len(told), machines)
		}
	})
}

// TestDeletedMachineIsNotOffline has an agent report on whose machine was deleted; its
// token is good for a day.
func TestDeletedMachineIsNotOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		if _, err := r.Report(t.Context(), "m-gone", registry.ActionReport{Deployment: "d-gone", Attempt: 1, State: registry.ActionRunning}); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("a report: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if kinds := kindsOf(t, store); len(kinds) > 0 {
			t.Errorf("events of a machine that is not there: %v", kinds)
		}
	})
}

func kindsOf(t *testing.T, store registry.Store) []registry.Kind {
	t.Helper()
	events, err := store.Events(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make([]registry.Kind, 0, len(events))
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestSightingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		for i := range 3000 { // a host that invents addresses
			r.Sight(registry.Sighting{At: time.Now(), Stage: registry.StageDHCP, Detail: "offer",
				MAC: registry.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}})
		}
		time.Sleep(10 * time.Second)
		if n := r.Count(); n != 1000 {
			t.Errorf("%d machines were discovered; the bound is 1000", n)
		}
		last, err := store.LastEvent(t.Context())
		if dropped := r.Dropped(); dropped != 2000 || last != 2*1000 || err != nil {
			t.Errorf("%d dropped and %d events written, %v; want 2000 and two for each machine", dropped, last, err)
		}
	})
}

func TestFeedResumes(t *testing.T) {
	r := open(t, registrytest.Memory())
	for i := range 20 {
		mustRegister(t, r, registration(byte(i), fmt.Sprintf("%s%02d", uuidA[:34], i), ""))
	}
	var got []int64
	for after := int64(0); len(got) < 20; {
		events, err := r.Feed().Next(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			got = append(got, e.Seq)
		}
		after = got[len(got)-1]
	}
	for i, seq := range got {
		if seq != int64(i+1) {
			t.Fatalf("event %d has number %d: one was lost or came twice", i, seq)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Feed().Next(ctx, r.Feed().Last()); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for what has not happened: %v", err)
	}
}

func TestStepRefusesWithFromAndCause(t *testing.T) {
	for _, s := range registry.States() {
		if _, err := s.Step(registry.CauseRegister); err != nil {
			t.Errorf("a machine that is %s must be able to register: %v", s, err)
		}
	}
	_, err := registry.Ready.Step("fly")
	refused, ok := errors.AsType[*registry.TransitionError](err)
	if !ok || refused.From != registry.Ready || !strings.Contains(err.Error(), "ready may not fly") {
		t.Errorf("got %v", err)
	}
}
