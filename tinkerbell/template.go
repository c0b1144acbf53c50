package tinkerbell

import "maps"

// Version is the one version of the format.
const Version = "0.1"

// Template is a rendered template: what is to be done, in its order.
type Template struct {
	Version       string
	Name          string
	ID            string
	GlobalTimeout int64 // seconds for all of it; 0: no limit
	Tasks         []Task
}

// Task is a list of actions for one worker.
type Task struct {
	Name        string
	Worker      string // the agent that carries it out, by its id: a MAC by custom
	Volumes     []string
	Environment map[string]string // for each of the actions; theirs wins
	Actions     []Action
	Line        int // where it begins in the text, from 1
}

// Action is one container that is run to its end.
type Action struct {
	Name        string
	Image       string
	Timeout     int64 // seconds; the action fails after it
	Command     []string
	OnTimeout   []string // read and, as in Tinkerbell, not used
	OnFailure   []string // the same
	Volumes     []string
	Environment map[string]string
	PID         string // "host" shares the host's process ids
	Namespaces  Namespaces
	Line        int // where it begins in the text, from 1
}

// Namespaces are those of the host that an action shares. PID wins over
// [Action.PID].
type Namespaces struct {
	Network, PID string
}

// Variables is the environment that the action sees: the task's, and over it its own.
func (t Task) Variables(a Action) map[string]string {
	all := make(map[string]string, len(t.Environment)+len(a.Environment))
	maps.Copy(all, t.Environment)
	maps.Copy(all, a.Environment)
	return all
}

// Actions counts the actions of all tasks.
func (t Template) Actions() (n int) {
	for _, task := range t.Tasks {
		n += len(task.Actions)
	}
	return n
}
