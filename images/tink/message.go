package tink

import (
	"fmt"
	"time"
)

// Action is what a worker is to carry out (ActionResponse).
type Action struct {
	Workflow    string // namespace/name
	Task        string
	Agent       string
	ID          string
	Name        string
	Image       string
	Timeout     int64 // seconds
	Command     []string
	Volumes     []string
	Environment []string // NAME=value
	PID         string   // "host" shares the host's process IDs
	Network     string   // "host" shares the host's network
}

func (a Action) marshal() (b []byte) {
	for i, text := range []string{a.Workflow, a.Task, a.Agent, a.ID, a.Name, a.Image} {
		b = appendText(b, 1+number(i), text)
	}
	b = appendNumber(b, 7, uint64(a.Timeout))
	b = appendTexts(b, 8, a.Command)
	b = appendTexts(b, 9, a.Volumes)
	b = appendTexts(b, 10, a.Environment)
	b = appendText(b, 11, a.PID)
	return appendMessage(b, 12, appendText(appendText(nil, 1, a.Network), 2, a.PID))
}

func (a *Action) unmarshal(b []byte) error {
	*a = Action{}
	texts := map[number]*string{1: &a.Workflow, 2: &a.Task, 3: &a.Agent, 4: &a.ID, 5: &a.Name, 6: &a.Image}
	var old, pid string
	err := fields(b, func(f field) error {
		switch f.number {
		case 7:
			return f.number64(&a.Timeout)
		case 8:
			return f.texts(&a.Command)
		case 9:
			return f.texts(&a.Volumes)
		case 10:
			return f.texts(&a.Environment)
		case 11:
			return f.text(&old)
		case 12:
			return fields(f.bytes, pick(map[number]*string{1: &a.Network, 2: &pid}))
		}
		return pick(texts)(f)
	})
	if a.PID = pid; pid == "" {
		a.PID = old
	}
	return err
}

// State is what a worker says of an action.
type State int32

// The states of an action.
const (
	Pending State = 1
	Running State = 2
	Failed  State = 3
	Timeout State = 4
	Success State = 5
)

// String is the state in a word.
func (s State) String() string {
	names := map[State]string{Pending: "pending", Running: "running", Failed: "failed", Timeout: "timed out", Success: "done"}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("state %d", int32(s))
}

// Status is what a worker says of an action (ActionStatusRequest).
type Status struct {
	Workflow string
	Agent    string
	Task     string
	Action   string // ID
	Name     string
	State    State
	Start    time.Time // zero: it has not begun
	Stop     time.Time // zero: it has not ended
	Duration string
	Message  string
}

func (s Status) marshal() (b []byte) {
	for i, text := range []string{s.Workflow, s.Agent, s.Task, s.Action, s.Name} {
		b = appendText(b, 1+number(i), text)
	}
	b = appendNumber(b, 6, uint64(s.State))
	b = appendTime(b, 7, s.Start)
	b = appendTime(b, 8, s.Stop)
	b = appendText(b, 9, s.Duration)
	return appendMessage(b, 10, appendText(nil, 1, s.Message))
}

func (s *Status) unmarshal(b []byte) error {
	*s = Status{}
	texts := map[number]*string{1: &s.Workflow, 2: &s.Agent, 3: &s.Task, 4: &s.Action, 5: &s.Name, 9: &s.Duration}
	var state int64
	err := fields(b, func(f field) error {
		switch f.number {
		case 6:
			return f.number64(&state)
		case 7:
			return f.time(&s.Start)
		case 8:
			return f.time(&s.Stop)
		case 10:
			return fields(f.bytes, pick(map[number]*string{1: &s.Message}))
		}
		return pick(texts)(f)
	})
	s.State = State(state)
	return err
}

// request is ActionRequest.
type request struct {
	agent      string
	attributes []byte // encoded
}

func (r request) marshal() []byte {
	return appendMessage(appendText(nil, 1, r.agent), 2, r.attributes)
}

// unmarshal passes the attributes over.
func (r *request) unmarshal(b []byte) error {
	*r = request{}
	return fields(b, pick(map[number]*string{1: &r.agent}))
}
