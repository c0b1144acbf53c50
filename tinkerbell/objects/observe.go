package objects

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// Sight is a look at the Workflow of a deployment.
type Sight struct {
	Workflow   *unstructured.Unstructured // nil: it was there, and is not any more
	Deployment registry.Deployment        // as it is stored: what was told before is in it
	Before     Waiting                    // of the last look; zero at the first one
	Now        time.Time
	Timeline   string // the last that our own timeline has of the machine, for the reason of a failure; may be empty
}

// Seen is what a look says. The same look at a deployment that was told of it says
// nothing new, so what was lost may be looked at again.
type Seen struct {
	// Boot is not empty where an agent carries the Workflow out: the deployment is
	// claimed as that boot, before anything is reported.
	Boot string
	// Reports are what happened since, in its order. Their Attempt is that of the claim.
	Reports []registry.ActionReport
	Failed  string    // why it failed before any agent took it up; empty where it did not
	Note    string    // what it waits for, for people; empty where an agent carries it out
	Ended   bool      // Tinkerbell is through with it, however it went
	Clear   bool      // allowPXE may be on, and Tinkerbell will not turn it off
	Again   time.Time // when to look again even if nothing changes; zero: never
	Waiting Waiting   // for the next look
}

// Waiting is what a Workflow waits for, and since when by our own clock.
type Waiting struct {
	For   string
	Since time.Time
}

// patience is how long a Workflow may be without its Template or Hardware: the
// controller reads both from a cache, and may see the Workflow before them.
const patience = time.Minute

// Observe says what has become of a deployment by its Workflow. It never trusts that
// it sees every state: several may have passed since the last look.
func Observe(s Sight) (seen Seen) {
	if s.Workflow == nil {
		return s.gone()
	}
	st := statusOf(s.Workflow)
	broken := st.State == stateFailed || st.State == stateTimeout
	seen.Ended, seen.Clear = broken || st.State == stateSuccess, broken
	switch state := s.Deployment.State; {
	case state == registry.DeploymentVerifying && broken:
		seen.Note = st.problem("") // it was carried out before
	case state != registry.DeploymentWaiting && state != registry.DeploymentRunning:
	case st.begun():
		seen.Boot = string(s.Workflow.GetUID())
		seen.Reports = s.reports(st)
	case seen.Ended || st.State == statePost:
		seen.Failed = s.and(st.problem("Tinkerbell says that the Workflow is " + st.State + ", and no action of it was carried out"))
	default:
		s.wait(st, &seen)
	}
	if edited := s.edited(); edited != "" && s.Deployment.State == registry.DeploymentWaiting && seen.Boot == "" && !seen.Ended {
		seen.Failed, seen.Clear = edited, true
	}
	return seen
}

// edited is how somebody has the Workflow carry out something else than what was
// handed over; empty where nobody did.
func (s Sight) edited() string {
	have, _, _ := unstructured.NestedString(s.Workflow.Object, "spec", "templateRef")
	if have == "" || have == (Order{Deployment: s.Deployment}).TemplateName() {
		return ""
	}
	return "somebody changed the Workflow in Kubernetes: its Template is now " + brief(have)
}

// gone is what follows where somebody deleted the Workflow.
func (s Sight) gone() (seen Seen) {
	const what = "the Workflow was deleted in Kubernetes, and not by Dragonfly"
	switch s.Deployment.State {
	case registry.DeploymentWaiting:
		seen.Failed = what
	case registry.DeploymentRunning:
		seen.Boot = s.Deployment.BootID
		seen.Reports = []registry.ActionReport{s.report(s.Deployment.Action, registry.ActionFailed, what)}
	}
	seen.Clear, seen.Ended = true, true
	return seen
}

// reports are what the actions have done since the deployment was told last.
func (s Sight) reports(st status) (all []registry.ActionReport) {
	next := 0
	if s.Deployment.BootID == string(s.Workflow.GetUID()) {
		next = s.Deployment.Action
	}
	if why := s.otherActions(st); why != "" {
		return append(all, s.report(next, registry.ActionFailed, why+": somebody changed its Template in Kubernetes"))
	}
	for i := next; i < len(st.Actions); i++ {
		a := st.Actions[i]
		if a.State == stateSuccess {
			all = append(all, s.report(i, registry.ActionSucceeded, told(a.Message)))
			continue
		}
		if a.State == stateRunning {
			all = append(all, s.running(i, a)...)
		}
		if why := s.failure(st, i); why != "" {
			all = append(all, s.report(i, registry.ActionFailed, why))
		}
		break
	}
	return all
}

// otherActions is how those of the Workflow are not those of the deployment; empty where
// they are.
func (s Sight) otherActions(st status) string {
	if have, want := len(st.Actions), len(s.Deployment.Actions); have != want {
		return fmt.Sprintf("the Workflow has %d actions, and the deployment %d", have, want)
	}
	for i, a := range st.Actions {
		if want := s.Deployment.Actions[i].Name; a.Name != want {
			return fmt.Sprintf("action %d of the Workflow is %q, and that of the deployment %q", i+1, brief(a.Name), want)
		}
	}
	return ""
}

// running says that an action began, or how far its agent says it is.
func (s Sight) running(i int, a actionStatus) []registry.ActionReport {
	began, message := s.began(i), told(a.Message)
	if began && message == "" {
		return nil
	}
	r := s.report(i, registry.ActionRunning, "")
	if message != "" {
		r.Progress = &registry.Progress{Stage: message}
	}
	return []registry.ActionReport{r}
}

// began reports whether the deployment knows that an action runs.
func (s Sight) began(i int) bool {
	d := s.Deployment
	return d.BootID == string(s.Workflow.GetUID()) && d.Actions[i].State != registry.ActionPending
}

// report is one of an action. Nobody says whether a disk was written to, so each action
// that does that has.
func (s Sight) report(i int, state registry.ActionState, message string) registry.ActionReport {
	r := registry.ActionReport{Deployment: s.Deployment.ID, Action: i, State: state, Message: message}
	if actions := s.Deployment.Actions; s.Workflow != nil && i < len(actions) {
		acted := state != registry.ActionFailed || s.acted(i)
		r.Wrote = acted && tinkerbell.Writes(actions[i].Image)
	}
	return r
}

// acted reports whether an action was begun by its agent.
func (s Sight) acted(i int) bool {
	all := statusOf(s.Workflow).Actions
	return i < len(all) && all[i].State != "" && all[i].State != statePending
}

// wait says what the Workflow waits for.
func (s Sight) wait(st status, seen *Seen) {
	seen.Note = s.waitsFor(st)
	seen.Waiting = s.Before
	if s.Before.For != seen.Note {
		seen.Waiting = Waiting{seen.Note, s.Now}
	}
	if st.Rendering != "failed" {
		return
	}
	seen.Again = seen.Waiting.Since.Add(patience)
	if !s.Now.Before(seen.Again) {
		seen.Failed, seen.Again = s.and(seen.Note), time.Time{}
	}
}

// waitsFor is that in words.
func (s Sight) waitsFor(st status) string {
	disabled, _, _ := unstructured.NestedBool(s.Workflow.Object, "spec", "disabled")
	mode, _, _ := unstructured.NestedString(s.Workflow.Object, "spec", "bootOptions", "bootMode")
	switch {
	case st.Rendering == "failed":
		return st.problem("Tinkerbell could not render the Template")
	case disabled && st.State == "":
		return "somebody disabled the Workflow in Kubernetes (spec.disabled)"
	case st.State == "":
		return "Tinkerbell's controller has yet to take up the Workflow"
	case st.State == statePreparing && mode != "":
		return "Tinkerbell has the BMC start the machine"
	case st.State == statePreparing:
		return "Tinkerbell is about to let the machine boot from the network"
	case st.State == statePending || st.State == stateRunning || st.State == "STATE_"+statePending:
		return "Tinkerbell waits for the machine to boot, and its agent to ask for work"
	}
	return fmt.Sprintf("the Workflow is in a state that this version does not know: %s", brief(st.State))
}
