package registry_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// Two processes on one database see a machine at the same moment: one makes the
// record, and the other's steps go to its timeline.
func TestBothSeeTheSameMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		a, b := open(t, store), open(t, store)
		for _, r := range []*registry.Registry{a, b} {
			r.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageDHCP, Detail: "offer"})
		}
		time.Sleep(2 * time.Second)
		machines, err := store.Machines(t.Context(), registry.Query{})
		if err != nil || len(machines) != 1 {
			t.Fatalf("%d machines, %v; want 1", len(machines), err)
		}
		events, err := store.Timeline(t.Context(), machines[0].ID, 0, 10)
		if err != nil || len(events) != 3 {
			t.Errorf("%d events on its timeline, %v; want the discovery and two offers", len(events), err)
		}
		if a.Dropped()+b.Dropped() != 0 {
			t.Errorf("%d and %d sightings were dropped", a.Dropped(), b.Dropped())
		}
	})
}

func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := openWith(t, store, func(addr netip.Addr) registry.MAC {
			if addr == netip.MustParseAddr("192.0.2.7") {
				return mac(7)
			}
			return registry.MAC{}
		})
		for _, remote := range []string{"192.0.2.7", "192.0.2.8"} {
			r.Sight(registry.Sighting{At: time.Now(), Remote: netip.MustParseAddr(remote), Stage: registry.StageProgram, Detail: remote})
		}
		time.Sleep(time.Second)
		if entry, known := r.Lookup(mac(7)); !known || entry.State != registry.Discovered || r.Count() != 1 {
			t.Errorf("%d machines, and %+v at the resolved address", r.Count(), entry)
		}
		if r.Dropped() != 0 {
			t.Errorf("%d sightings were dropped", r.Dropped())
		}
	})
}

// TestClientsWithoutAddressesAreTold has a rack load the same program within one
// tick; TFTP shows nothing of a client but where it is.
func TestClientsWithoutAddressesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := openWith(t, store, func(addr netip.Addr) registry.MAC { return mac(addr.As4()[3]) })
		for last := range byte(5) {
			r.Sight(registry.Sighting{At: time.Now(), Remote: netip.AddrFrom4([4]byte{192, 0, 2, last + 1}),
				Stage: registry.StageProgram, Detail: "undionly.kpxe by TFTP"})
		}
		time.Sleep(time.Second)
		if n := r.Count(); n != 5 {
			t.Errorf("%d machines of 5 were seen", n)
		}
	})
}

// TestStepsArePaced has an address boot without end, at a thousand steps a second.
func TestStepsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		start := time.Now()
		steps := func() (n int) {
			events, err := store.Events(t.Context(), 0, 5000)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Kind == registry.MachineBoot && e.MAC == mac(1) {
					n++
				}
			}
			return n
		}
		for range 300 {
			for i := range 200 {
				r.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageDHCP, Detail: fmt.Sprint(i)})
			}
			time.Sleep(200 * time.Millisecond)
		}
		if n := steps(); n < 60 || n > 63 {
			t.Errorf("%d steps of a minute were kept, want about 60 and two", n)
		}
		r.Sight(registry.Sighting{At: time.Now(), MAC: mac(2), Stage: registry.StageDHCP, Detail: "another machine"})
		time.Sleep(time.Hour)
		r.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageDHCP, Detail: "an hour later"})
		time.Sleep(time.Second)
		if _, known := r.Lookup(mac(2)); !known || steps() < 61 {
			t.Errorf("another machine is known: %v; %d steps after an hour", known, steps())
		}
		if last, err := store.LastEvent(t.Context()); err != nil || last > 100 {
			t.Errorf("%d events in %v, %v", last, time.Since(start), err)
		}
	})
}

// TestFloodOfStepsLeavesRoom has an address send ten thousand steps a second while
// another machine boots.
func TestFloodOfStepsLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := open(t, store)
		const steps = 50
		for step := range steps {
			for i := range 2000 {
				r.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageDHCP, Detail: fmt.Sprint(i)})
			}
			r.Sight(registry.Sighting{At: time.Now(), MAC: mac(2), Stage: registry.StageDHCP, Detail: fmt.Sprint(step)})
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(time.Second)
		entry, _ := r.Lookup(mac(2))
		events, err := store.Timeline(t.Context(), entry.ID, 0, 100)
		if err != nil || len(events) != steps+1 {
			t.Errorf("%d events on its timeline, %v; want the discovery and %d steps", len(events), err, steps)
		}
	})
}

// TestScriptForAnotherCard shows who asks for a machine's script, and so has its
// token.
func TestScriptForAnotherCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := registrytest.Memory()
		r := openWith(t, store, func(addr netip.Addr) registry.MAC { return mac(addr.As4()[3]) })
		for _, last := range []byte{1, 9} {
			r.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Remote: netip.AddrFrom4([4]byte{192, 0, 2, last}),
				Stage: registry.StageScript, Detail: "agent"})
		}
		time.Sleep(time.Second)
		entry, _ := r.Lookup(mac(1))
		events, err := store.Timeline(t.Context(), entry.ID, 0, 10)
		if err != nil || len(events) != 3 {
			t.Fatalf("%d events, %v; want the discovery and two scripts", len(events), err)
		}
		var own, other bool
		for _, e := range events {
			own = own || e.Message == "script: agent"
			other = other || e.Message == "script: agent; asked for by "+mac(9).String()
		}
		if !own || !other {
			t.Errorf("the timeline has %v", events)
		}
	})
}
