package registry_test

import (
	"fmt"
	"regexp"
	"testing"

	"dragonfly/registry"
)

// A rack is bought in one go: serial numbers and addresses in a row must not
// give names that look alike.
func TestNamesOfOneFleetDiffer(t *testing.T) {
	shape := regexp.MustCompile(`^[a-z]+-[a-z]+(-\d+)?$`)
	taken := map[string]bool{}
	alike := 0
	previous := [2]byte{}
	for i := range 1000 {
		seed := fmt.Sprintf("52:54:00:00:%02x:%02x", i>>8, i&255)
		attempt := 0
		for taken[registry.Name(seed, attempt)] {
			attempt++
		}
		name := registry.Name(seed, attempt)
		if !shape.MatchString(name) {
			t.Fatalf("%q is no name", name)
		}
		taken[name] = true
		if now := [2]byte{name[0], name[1]}; now == previous {
			alike++
		} else {
			previous = now
		}
	}
	if alike > 50 {
		t.Errorf("%d of 1000 neighbours begin with the same two letters", alike)
	}
}

func TestNameIsStable(t *testing.T) {
	if a, b := registry.Name(uuidA, 0), registry.Name(uuidA, 0); a != b {
		t.Errorf("%q and %q for one machine", a, b)
	}
	if a, b := registry.Name(uuidA, 0), registry.Name(uuidB, 0); a == b {
		t.Errorf("%q for two machines", a)
	}
}
