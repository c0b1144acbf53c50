package main

import (
	"fmt"
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestHardwareChoice(t *testing.T) {
	there := []foreignHardware{{Hardware: "discovery-1", Auto: true}, {Hardware: "rack1-7"}}
	for _, c := range []struct {
		choice hardwareChoice
		want   string
	}{
		{hardwareChoice{}, "[discovery-1]"},
		{hardwareChoice{all: true}, "[discovery-1 rack1-7]"},
		{hardwareChoice{names: []string{"rack1-7"}}, "[rack1-7]"},
		{hardwareChoice{names: []string{"rack1-7", "nobody"}}, `[] there is no Hardware "nobody" that Dragonfly did not make`},
	} {
		picked, err := c.choice.pick(there)
		names := []string{}
		for _, h := range picked {
			names = append(names, h.Hardware)
		}
		got := fmt.Sprint(names)
		if err != nil {
			got += " " + err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.choice, got, c.want)
		}
	}
}

// Hardware becomes machines, once, and what is wrong with one is said with its name.
func TestAdopt(t *testing.T) {
	r := start(t, testConfig(t))
	picked := []foreignHardware{
		{Hardware: "discovery-1", Machine: registry.Listed{MACs: []registry.MAC{{2, 0, 0, 0, 0, 9}}, Serial: "SN-7"}},
		{Hardware: "empty"},
	}
	for _, c := range []struct {
		dry  bool
		want string
	}{{true, "1 to create"}, {false, "1 created"}, {false, "1 unchanged"}} {
		done, err := bring(t.Context(), r.client(), picked, c.dry)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		done.printDiff(&out)
		if refusal := done.refusal(); refusal == nil || !strings.Contains(refusal.Error(), "empty: ") ||
			!strings.Contains(out.String(), c.want+", ") || !strings.Contains(out.String(), "nothing says which machine it is") {
			t.Errorf("%+v: %v\n%s", c, refusal, out.String())
		}
	}
	code, _, stderr := r.cli(t, "", "tinkerbell", "adopt")
	if code != exitConflict || !strings.Contains(stderr, "Tinkerbell is not set up here: start with --kubeconfig") {
		t.Error(code, stderr)
	}
}
