package registrytest_test

import (
	"errors"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

func TestMemory(t *testing.T) {
	registrytest.Store(t, func(*testing.T) registry.Store { return registrytest.Memory() })
	registrytest.Accounts(t, func(*testing.T) registrytest.AccountStore { return registrytest.Memory() })
	registrytest.Requests(t, func(*testing.T) registrytest.RequestStore { return registrytest.Memory() })
}

func TestMemoryKeepsItsOwnCopy(t *testing.T) {
	s := registrytest.Memory()
	m := registry.Machine{ID: "m-1", Name: "one", MACs: []registry.MAC{{2}}, Hardware: registry.Hardware{Disks: []registry.Disk{{Name: "sda"}}}}
	if err := s.Commit(t.Context(), registry.Change{Op: "1", Put: []registry.Machine{m}}); err != nil {
		t.Fatal(err)
	}
	m.MACs[0], m.Hardware.Disks[0].Name = registry.MAC{4}, "changed"
	for range 2 {
		found, err := s.Machines(t.Context(), registry.Query{})
		if err != nil || len(found) != 1 || found[0].MACs[0] != (registry.MAC{2}) || found[0].Hardware.Disks[0].Name != "sda" {
			t.Fatalf("the store changed with what it was given or gave: %+v, %v", found, err)
		}
		found[0].MACs[0], found[0].Hardware.Disks[0].Name = registry.MAC{4}, "changed"
	}
}

func TestBroken(t *testing.T) {
	s, ctx := registrytest.Broken(registry.ErrUnavailable), t.Context()
	_, machines := s.Machines(ctx, registry.Query{})
	_, versions := s.Versions(ctx, nil)
	_, events := s.Events(ctx, 0, 1)
	_, last := s.LastEvent(ctx)
	_, timeline := s.Timeline(ctx, "m", 0, 1)
	_, history := s.History(ctx, "m", 1)
	_, audit := s.Audit(ctx, "", 0, 1)
	_, rules := s.Rules(ctx)
	_, defaults := s.Defaults(ctx)
	_, secret := s.Secret(ctx, "key", func() (string, error) { t.Error("asked for a secret"); return "", nil })
	for call, err := range map[string]error{
		"Machines": machines, "Versions": versions, "Events": events, "LastEvent": last, "Secret": secret,
		"Timeline": timeline, "History": history, "Audit": audit, "Rules": rules, "Defaults": defaults,
		"Commit": s.Commit(ctx, registry.Change{Op: "1"}), "Touch": s.Touch(ctx, nil),
		"Ping": s.Ping(ctx),
	} {
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s: %v", call, err)
		}
	}
}
