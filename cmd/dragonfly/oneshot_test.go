package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
)

// What iPXE says when it can start nothing of what it was given, as its script has it.
var saysFailed = regexp.MustCompile(`/boot/\S+/auto\.ipxe\?arch=bios&failed=([A-Z2-7]+)`)

// An ISO that iPXE cannot load ends as failed, by what the machine's own script says.
func TestBootThatIPXECannotStart(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	_, m := r.rack(t, 1, 100e9)
	_, other := r.rack(t, 2, 100e9)
	client := r.client()
	order := func(id string) (deployment, says string) {
		t.Helper()
		reply, err := client.Deploy(t.Context(), id, registry.DeployRequest{Kind: registry.KindISO, ISO: "http://10.0.0.9/nothing.iso"}, false)
		if err != nil {
			t.Fatal(err)
		}
		_, script := r.get(t, map[string]string{m.ID: "/boot/52:54:00:00:01:01", other.ID: "/boot/52:54:00:00:01:02"}[id]+"/auto.ipxe?arch=bios")
		if says = saysFailed.FindString(script); says == "" {
			t.Fatalf("the script tells nothing:\n%s", script)
		}
		return reply.Deployment.ID, says
	}
	is := func(id string, want ...registry.DeploymentState) string {
		t.Helper()
		d, err := client.Deployment(t.Context(), id)
		if err != nil || !slices.Contains(want, d.State) {
			t.Fatalf("it is %s (%s), %v; want %s", d.State, d.Reason, err, want)
		}
		return d.Reason
	}
	// Whoever asks for a script is soon taken to have come back.
	unfailed := []registry.DeploymentState{registry.DeploymentRunning, registry.DeploymentSucceeded}
	first, says := order(m.ID)
	second, _ := order(other.ID)
	is(first, registry.DeploymentRunning)
	r.get(t, strings.Replace(says, "01-01", "01-02", 1)) // another machine, by the key of this one
	is(first, registry.DeploymentRunning)
	is(second, unfailed...)
	r.get(t, says)
	if reason := is(first, registry.DeploymentFailed); !strings.Contains(reason, "reaches its address by HTTP") {
		t.Errorf("reason %q", reason)
	}
	newer, _ := order(m.ID)
	r.get(t, says) // once more, when something else is under way
	is(newer, unfailed...)
}
