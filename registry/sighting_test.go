package registry_test

import (
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
