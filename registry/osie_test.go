package registry_test

import (
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestParseOSIE(t *testing.T) {
	for _, good := range registry.OSIEs() {
		if got, err := registry.ParseOSIE(string(good)); got != good || err != nil {
			t.Errorf("%s: got %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", "HookOS", strings.Repeat("x", 1<<16)} {
		if _, err := registry.ParseOSIE(bad); err == nil || !strings.Contains(err.Error(), "want one of agent, hook, smee") || len(err.Error()) > 200 {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
