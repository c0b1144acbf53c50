package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/registrytest"
)

// TestMachinesAreBounded has a host register machines that it makes up. Those that are
// known go on, and what the wire shows makes no further record, either.
func TestMachinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 5
		r := openEquipped(t, registrytest.Memory(), func(r *registry.Registry) { r.Bound(most) })
		made := func(i int) registry.Registration {
			return registration(byte(i), fmt.Sprintf("%s%02d", uuidA[:34], i), "")
		}
		for i := range most {
			mustRegister(t, r, made(i))
		}
		_, _, err := r.Register(t.Context(), made(most))
		if full, ok := errors.AsType[*registry.FullError](err); !ok || full.Most != most || r.TurnedAway() != 1 {
			t.Errorf("one too many: %v; %d were turned away", err, r.TurnedAway())
		}
		r.Sight(registry.Sighting{At: time.Now(), MAC: mac(99), Stage: registry.StageDHCP, Detail: "offer"})
		time.Sleep(time.Second)
		if n := r.Count(); n != most {
			t.Errorf("%d machines; the bound is %d", n, most)
		}
		m, _, err := r.Register(t.Context(), made(0))
		if err != nil {
			t.Fatalf("one that is known: %v", err)
		}
		if err := r.Delete(t.Context(), m.ID, registry.AnyVersion); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Register(t.Context(), made(most)); err != nil {
			t.Errorf("after another one was deleted: %v", err)
		}
	})
}

// TestMachinesAreBoundedInTheJournal is the same while the database is away: what was
// acknowledged is written when it is back, and no more than that.
func TestMachinesAreBoundedInTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		h.Bound(1)
		store.off.Store(true)
		mustRegister(t, h.Registry, named(1, "a"))
		mustRegister(t, h.Registry, named(1, "a, again"))
		if _, _, err := h.Register(t.Context(), named(2, "b")); h.Full() == nil || err == nil || !strings.Contains(err.Error(), h.Full().Error()) {
			t.Errorf("a machine too many: %v", err)
		}
		store.off.Store(false)
		h.settled(t)
		if n := countOf(t, store, registry.MachineRegistered); n != 2 {
			t.Errorf("%d registrations were written, want 2", n)
		}
	})
}
