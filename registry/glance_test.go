package registry_test

import (
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

func TestGlances(t *testing.T) {
	r := open(t, registrytest.Memory())
	a, _ := mustRegister(t, r, registration(1, "", "A"))
	b, _ := mustRegister(t, r, registration(2, "", "B"))
	all := r.Glances()
	if len(all) != 2 {
		t.Fatalf("%d glances of two machines", len(all))
	}
	found := r.Glances(b.ID, "m-nobody")
	if len(found) != 1 || found[0].Entry != (registry.Entry{ID: b.ID, Name: b.Name, State: registry.Ready, Boots: b.MACs[0]}) {
		t.Errorf("%+v", found)
	}
	if now := time.Now(); !found[0].Online(now) || found[0].Online(now.Add(registry.OnlineFor)) {
		t.Errorf("seen at %v", found[0].SeenAt)
	}
	if err := r.Delete(t.Context(), a.ID, registry.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if left := r.Glances(a.ID); len(left) != 0 {
		t.Errorf("a deleted machine: %+v", left)
	}
}
