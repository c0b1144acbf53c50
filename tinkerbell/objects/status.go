package objects

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The states of a Workflow and of its actions (v0.25.0, api/v1alpha1/tinkerbell/workflow.go).
const (
	statePreparing = "PREPARING" // the boot options are carried out
	statePending   = "PENDING"   // it waits for the agent
	stateRunning   = "RUNNING"
	statePost      = "POST" // every action succeeded; the boot options are taken back
	stateSuccess   = "SUCCESS"
	stateFailed    = "FAILED"
	stateTimeout   = "TIMEOUT"
)

// status is what a Workflow says of itself. What is not there, or not of the kind that
// it has to be, is empty: whoever may write the object may write anything.
type status struct {
	State         string
	Rendering     string // successful or failed; empty: the controller has not looked at it
	GlobalTimeout int64  // seconds
	Picked        bool   // an agent has asked for its first action
	Actions       []actionStatus
	Conditions    []condition
}

type actionStatus struct{ Name, State, Message, Duration string }

type condition struct{ Type, Status, Message string }

func statusOf(w *unstructured.Unstructured) (s status) {
	tree, _ := w.Object["status"].(map[string]any)
	s.State, s.Rendering = text(tree, "state"), text(tree, "templateRendering")
	s.GlobalTimeout, _ = tree["globalTimeout"].(int64)
	current, _ := tree["currentState"].(map[string]any)
	s.Picked = text(current, "actionID") != ""
	for _, task := range list(tree, "tasks") {
		for _, a := range list(task, "actions") {
			s.Actions = append(s.Actions, actionStatus{text(a, "name"), text(a, "state"), text(a, "message"), text(a, "executionDuration")})
		}
	}
	for _, c := range list(tree, "conditions") {
		s.Conditions = append(s.Conditions, condition{text(c, "type"), text(c, "status"), text(c, "message")})
	}
	return s
}

// begun reports whether an agent carries the Workflow out, or did.
func (s status) begun() bool {
	for _, a := range s.Actions {
		if a.State != "" && a.State != statePending {
			return true
		}
	}
	return s.Picked
}

// condition is the message of the first condition of that type with one of those
// statuses, and whether there is one.
func (s status) condition(kind string, statuses ...string) (message string, there bool) {
	for _, c := range s.Conditions {
		for _, want := range statuses {
			if c.Type == kind && c.Status == want {
				return c.Message, true
			}
		}
	}
	return "", false
}

func text(tree map[string]any, key string) string {
	value, _ := tree[key].(string)
	return value
}

// list is a list of objects; what is none in it is left out.
func list(tree map[string]any, key string) (all []map[string]any) {
	entries, _ := tree[key].([]any)
	for _, entry := range entries {
		if object, ok := entry.(map[string]any); ok {
			all = append(all, object)
		}
	}
	return all
}
