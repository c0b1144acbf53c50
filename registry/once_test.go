package registry_test

import (
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// A change that would count as a repetition of another one is not acknowledged.
func TestOneOperationIsOneChange(t *testing.T) {
	r, m := fleet(t, registrytest.Memory())
	claimed := registry.Claimed{Op: "op"}
	ctx := registry.WithOnce(by(t, "ana"), claimed)
	if _, err := r.Lock(ctx, m.ID, "mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Unlock(ctx, m.ID, false); err == nil || !strings.Contains(err.Error(), "a second change as operation op") {
		t.Errorf("a second change of the operation: %v", err)
	}
	if _, err := r.Unlock(registry.OncePart(ctx, "unlock"), m.ID, false); err != nil {
		t.Errorf("a part of its own: %v", err)
	}
	again := registry.WithOnce(by(t, "ana"), claimed) // which does not know that it was applied
	if _, err := r.Lock(again, m.ID, "mine"); err != nil {
		t.Errorf("another attempt at the request: %v", err)
	}
}
