package registry

import (
	"slices"
	"testing"
)

// What ended stays as it ended, and everything that lasts can be cancelled, and can
// fail.
func TestDeploymentSteps(t *testing.T) {
	causes := []DeploymentCause{DeployStart, DeployClaim, DeployFinish, DeployEnd, DeployVerify, DeployFail, DeployCancel, DeployExpire}
	for _, from := range DeploymentStates() {
		allowed := []DeploymentCause{}
		for _, cause := range causes {
			to, err := from.Step(cause)
			if err != nil {
				if to != from || err.Error() != "a deployment that is "+string(from)+" may not "+string(cause) {
					t.Errorf("%s, %s: %s, %v", from, cause, to, err)
				}
				continue
			}
			if !slices.Contains(DeploymentStates(), to) {
				t.Errorf("%s, %s leads to %q, which is no state", from, cause, to)
			}
			allowed = append(allowed, cause)
		}
		switch ends := []DeploymentCause{DeployFail, DeployCancel}; {
		case from.Ended() && len(allowed) > 0:
			t.Errorf("%s has ended and may %v", from, allowed)
		case !from.Ended() && !slices.Contains(allowed, ends[0]), !from.Ended() && !slices.Contains(allowed, ends[1]):
			t.Errorf("%s may only %v", from, allowed)
		case !from.Ended() && from != DeploymentPending && !slices.Contains(allowed, DeployExpire):
			t.Errorf("%s has no deadline", from)
		}
	}
}

func TestHeldBy(t *testing.T) {
	for _, c := range []struct {
		kind  DeploymentKind
		state DeploymentState
		key   string
		want  bool
	}{
		{KindISO, DeploymentRunning, "K3Y", true},
		{KindMemtest, DeploymentRunning, "K3Y", true},
		{KindScript, DeploymentRunning, "K3Y", true},
		{KindISO, DeploymentRunning, "K3Z", false},
		{KindISO, DeploymentRunning, "", false},
		{KindISO, DeploymentWaiting, "K3Y", false},
		{KindISO, DeploymentSucceeded, "K3Y", false},
		{KindISO, DeploymentCancelled, "K3Y", false},
		{KindRescue, DeploymentRunning, "K3Y", false}, // an agent has it
		{KindInstall, DeploymentRunning, "K3Y", false},
	} {
		if got := (Deployment{Kind: c.kind, State: c.state, Boot: "K3Y"}).heldBy(c.key); got != c.want {
			t.Errorf("%s that is %s, by %q: %v", c.kind, c.state, c.key, got)
		}
	}
	if (Deployment{Kind: KindISO, State: DeploymentRunning}).heldBy("") {
		t.Error("no key is a key")
	}
}
