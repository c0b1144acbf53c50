package tinkerbell

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Validate says what Tinkerbell would accept and what would then fail on the
// machine, before anything is touched. The error is an [*InvalidError].
func (t Template) Validate() error {
	var problems []Problem
	if t.GlobalTimeout < 0 {
		problems = append(problems, Problem{Message: fmt.Sprintf("global_timeout is %d; want seconds, or 0 for no limit", t.GlobalTimeout)})
	}
	for _, task := range t.Tasks {
		for _, volume := range task.Volumes {
			if wrong := checkVolume(volume); wrong != "" {
				problems = append(problems, Problem{Line: task.Line, Task: task.Name, Message: wrong})
			}
		}
	}
	t.each(func(task Task, a Action, say func(string, ...any)) {
		if a.Timeout <= 0 {
			say("timeout is %d; want seconds above 0: the action would be stopped before it began", a.Timeout)
		}
		for _, volume := range a.Volumes {
			if wrong := checkVolume(volume); wrong != "" {
				say("%s", wrong)
			}
		}
		environment := task.Variables(a)
		for _, name := range slices.Sorted(maps.Keys(environment)) {
			if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(environment[name], "\x00") {
				say("variable %s cannot be in an environment: no name is empty or has =, and nothing has a zero byte", short(name))
			}
		}
		for _, wrong := range needs(a.Image, environment) {
			say("%s", wrong)
		}
		if known, ok := Known(a.Image); ok {
			if wrong := known.CheckCommand(a.Command); wrong != "" {
				say("%s", wrong)
			}
		}
	}, &problems)
	return invalid(append(problems, t.order()...))
}

// order says which actions come too late to find what they need.
func (t Template) order() (problems []Problem) {
	grown := map[string]string{} // the disks whose room is taken, by which action
	t.each(func(task Task, a Action, say func(string, ...any)) {
		disk := task.Variables(a)["DEST_DISK"]
		switch actionOf(a.Image) {
		case "growpart":
			grown[disk] = a.Name
		case "cidataio":
			if by, ok := grown[disk]; ok {
				say("there is no room left on %s: %s has given all of it to the last partition; put cidataio before growpart, which keeps the seed", disk, short(by))
			}
		}
	}, &problems)
	return problems
}

// Notes are what is allowed and worth knowing: nothing that would fail for certain.
func (t Template) Notes() (notes []Problem) {
	t.each(func(task Task, a Action, say func(string, ...any)) {
		known, ok := Known(a.Image)
		if !ok {
			say("%s is no action whose environment is known here; it is not checked", a.Image)
		}
		for _, name := range slices.Sorted(maps.Keys(a.Environment)) {
			if ok && !known.Any && !slices.Contains(known.names(), name) {
				say("%s does not read %s%s", known.Name, name, orSuggest(name, known.names()))
			}
		}
		if ok && known.HostPID && a.PID != "host" && a.Namespaces.PID != "host" {
			say("%s acts on the machine itself, for which Tinkerbell needs pid: host", known.Name)
		}
		if len(a.OnTimeout)+len(a.OnFailure) > 0 {
			say("on-timeout and on-failure are never run")
		}
		if a.PID != "" && a.Namespaces.PID != "" {
			say("pid is passed over, as namespaces has a pid")
		}
	}, &notes)
	return append(t.general(), notes...)
}

// general are the notes on the template and its tasks.
func (t Template) general() (notes []Problem) {
	if t.Version == "" {
		notes = append(notes, Problem{Message: fmt.Sprintf("version is missing; want version: %q", Version)})
	}
	for i, task := range t.Tasks {
		if len(task.Actions) == 0 {
			notes = append(notes, Problem{Line: task.Line, Task: task.Name, Message: "it has no actions"})
		}
		if i > 0 && task.Worker != t.Tasks[0].Worker {
			notes = append(notes, Problem{Line: task.Line, Task: task.Name,
				Message: fmt.Sprintf("its worker is %s, and that of the first task %s; Tinkerbell gives a workflow to the first worker", short(task.Worker), short(t.Tasks[0].Worker))})
		}
	}
	return notes
}

// each visits the actions, with what notes a problem of the action.
func (t Template) each(visit func(Task, Action, func(string, ...any)), problems *[]Problem) {
	for _, task := range t.Tasks {
		for _, a := range task.Actions {
			visit(task, a, func(format string, args ...any) {
				*problems = append(*problems, Problem{Line: a.Line, Task: task.Name, Action: a.Name, Message: fmt.Sprintf(format, args...)})
			})
		}
	}
}

// needs says what the action of an image misses; waitdaemon's are its own and
// those of the image that it runs.
func needs(image string, environment map[string]string) (wrong []string) {
	known, ok := Known(image)
	if !ok {
		return nil
	}
	wrong = known.Check(environment)
	inner := environment["IMAGE"]
	if !known.Any || inner == "" {
		return wrong
	}
	if _, err := parseImage(inner); err != nil {
		return append(wrong, fmt.Sprintf("IMAGE %s: %s", short(inner), err))
	}
	if run, ok := Known(inner); ok && !run.Any {
		wrong = append(wrong, run.Check(environment)...)
	}
	return wrong
}

// checkVolume says what is wrong with a volume as docker takes it: a target, or
// SOURCE:TARGET, or SOURCE:TARGET:OPTIONS.
func checkVolume(volume string) string {
	parts := strings.Split(volume, ":")
	target := parts[0]
	if len(parts) > 1 {
		target = parts[1]
	}
	wrong := ""
	switch {
	case len(parts) > 3:
		wrong = "it has too many parts"
	case slices.Contains(parts, ""):
		wrong = "a part is empty"
	case !strings.HasPrefix(target, "/"):
		wrong = "the target is no absolute path"
	default:
		return ""
	}
	return fmt.Sprintf("volume %s: %s; want SOURCE:TARGET, such as /dev:/dev", short(volume), wrong)
}
