package tinkerbell

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

// What Tinkerbell reads of a rendered template (types.go), for the same library to
// decode into.
type upstreamWorkflow struct {
	Version       string         `yaml:"version"`
	Name          string         `yaml:"name"`
	ID            string         `yaml:"id"`
	GlobalTimeout int            `yaml:"global_timeout"`
	Tasks         []upstreamTask `yaml:"tasks"`
}

type upstreamTask struct {
	Name        string            `yaml:"name"`
	Worker      string            `yaml:"worker"`
	Actions     []upstreamAction  `yaml:"actions"`
	Volumes     []string          `yaml:"volumes"`
	Environment map[string]string `yaml:"environment"`
}

type upstreamAction struct {
	Name        string            `yaml:"name"`
	Image       string            `yaml:"image"`
	Timeout     int64             `yaml:"timeout"`
	Command     []string          `yaml:"command"`
	OnTimeout   []string          `yaml:"on-timeout"`
	OnFailure   []string          `yaml:"on-failure"`
	Volumes     []string          `yaml:"volumes"`
	Environment map[string]string `yaml:"environment"`
	PID         string            `yaml:"pid"`
	Namespaces  struct {
		Network string `yaml:"network"`
		PID     string `yaml:"pid"`
	} `yaml:"namespaces"`
}

// decodeUpstream reads a text as Tinkerbell does.
func decodeUpstream(text []byte) (w upstreamWorkflow, err error) {
	defer func() {
		if cause := recover(); cause != nil { // the library's, on some texts
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return w, yaml.Unmarshal(text, &w)
}

// upstream is the verdict of Tinkerbell on a rendered text: template_validator.go,
// rule by rule.
func upstream(text []byte) error {
	w, err := decodeUpstream(text)
	if err != nil {
		return err
	}
	if !fitsName(w.Name) || len(w.Tasks) == 0 {
		return errors.New("name or tasks")
	}
	tasks := map[string]bool{}
	for _, task := range w.Tasks {
		if !fitsName(task.Name) || tasks[task.Name] || task.Worker == "" {
			return fmt.Errorf("task %q", task.Name)
		}
		tasks[task.Name] = true
		actions := map[string]bool{}
		for _, a := range task.Actions {
			if _, err := reference.ParseNormalizedNamed(a.Image); err != nil {
				return err
			}
			if !fitsName(a.Name) || actions[a.Name] {
				return fmt.Errorf("action %q", a.Name)
			}
			actions[a.Name] = true
		}
	}
	return nil
}

func fitsName(name string) bool { return name != "" && len(name) < 200 }

// compare is an error of the test where Tinkerbell reads the text otherwise.
func compare(t *testing.T, read Template, text []byte) {
	t.Helper()
	w, err := decodeUpstream(text)
	if err != nil || w.Version != read.Version || w.Name != read.Name || w.ID != read.ID ||
		int64(w.GlobalTimeout) != read.GlobalTimeout || len(w.Tasks) != len(read.Tasks) {
		t.Fatalf("Tinkerbell reads %+v, %v; we read %+v", w, err, read)
	}
	for i, theirs := range w.Tasks {
		ours := read.Tasks[i]
		if ours.Name != theirs.Name || ours.Worker != theirs.Worker || !slices.Equal(ours.Volumes, theirs.Volumes) ||
			!maps.Equal(ours.Environment, theirs.Environment) || len(ours.Actions) != len(theirs.Actions) {
			t.Fatalf("Tinkerbell reads %+v; we read %+v", theirs, ours)
		}
		for j, theirs := range theirs.Actions {
			compareAction(t, ours.Actions[j], theirs)
		}
	}
}

func compareAction(t *testing.T, ours Action, theirs upstreamAction) {
	t.Helper()
	if ours.Name != theirs.Name || ours.Image != theirs.Image || ours.Timeout != theirs.Timeout || ours.PID != theirs.PID ||
		ours.Namespaces.Network != theirs.Namespaces.Network || ours.Namespaces.PID != theirs.Namespaces.PID ||
		!slices.Equal(ours.Command, theirs.Command) || !slices.Equal(ours.Volumes, theirs.Volumes) ||
		!slices.Equal(ours.OnTimeout, theirs.OnTimeout) || !slices.Equal(ours.OnFailure, theirs.OnFailure) ||
		!maps.Equal(ours.Environment, theirs.Environment) {
		t.Fatalf("Tinkerbell reads %+v; we read %+v", theirs, ours)
	}
}
