package tinkerbell

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Parse reads a rendered template. The error is an [*InvalidError] with all that
// is wrong; lines and columns are those of text.
func Parse(text []byte) (Template, error) {
	return read(text, func(line, column int) (int, int) { return line, column })
}

// read is [Parse] with a word for where a place of the text was written.
func read(text []byte, origin func(line, column int) (int, int)) (Template, error) {
	r := &reader{origin: origin}
	root := r.document(text)
	if root == nil {
		return Template{}, invalid(r.problems)
	}
	t := r.template(root)
	return t, invalid(r.problems)
}

// reader reads a tree of YAML nodes and gathers what is wrong with it.
type reader struct {
	origin       func(line, column int) (int, int)
	problems     []Problem
	task, action string // where it stands
	member       string // whose value is read
	members      int    // read so far
	actions      int    // read so far
	tooMany      bool
}

// problem notes what is wrong at a node.
func (r *reader) problem(at *yaml.Node, format string, args ...any) {
	line, column := r.origin(at.Line, at.Column)
	r.problems = append(r.problems, Problem{Line: line, Column: column, Task: r.task, Action: r.action, Message: fmt.Sprintf(format, args...)})
}

// document is the root of the text; nil, and a problem, where it has none.
func (r *reader) document(text []byte) *yaml.Node {
	top := &yaml.Node{Line: 1, Column: 1}
	if len(text) > MaxRendered {
		r.problem(top, "the text has %d bytes; want at most %d", len(text), MaxRendered)
		return nil
	}
	var doc, second yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.problem(top, "the text is empty; want version, name and tasks")
		return nil
	case err != nil:
		r.syntax(err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		r.problem(&second, "a second document begins here, and it would be passed over; want one")
	case !errors.Is(err, io.EOF):
		r.syntax(err)
	}
	return doc.Content[0]
}

// yamlLine is how the YAML library says where: "yaml: line 7: did not find ...".
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntax notes what the YAML library says.
func (r *reader) syntax(err error) {
	at, text := &yaml.Node{}, err.Error()
	found := yamlLine.FindStringSubmatch(text)
	if line, err := strconv.Atoi(found[1]); err == nil {
		at.Line = line
	}
	r.problem(at, "this is no YAML: %s", strings.TrimPrefix(text, found[0]))
}

func (r *reader) template(n *yaml.Node) (t Template) {
	r.object(n, "a template", fields{
		"version": r.text(&t.Version), "name": r.text(&t.Name), "id": r.text(&t.ID),
		"global_timeout": r.number(&t.GlobalTimeout),
		"tasks": r.each(func(n *yaml.Node) {
			if len(t.Tasks) == MaxTasks {
				r.over(n, "there are more than %d tasks", MaxTasks)
				return
			}
			t.Tasks = append(t.Tasks, r.readTask(n, len(t.Tasks)))
		}),
	})
	r.name(n, t.Name)
	if t.Version != "" && t.Version != Version {
		r.problem(memberOf(n, "version"), "version is %s; the only one is %q", short(t.Version), Version)
	}
	if len(t.Tasks) == 0 && lacks(n, "tasks") {
		r.problem(n, "tasks is missing; want at least one")
	}
	first := map[string]int{}
	for _, task := range t.Tasks {
		r.task = task.Name
		r.once(first, task.Name, task.Line, "task")
	}
	r.task = ""
	return t
}

func (r *reader) readTask(n *yaml.Node, index int) (t Task) {
	r.task = nameOf(n, index)
	defer func() { r.task, r.action = "", "" }()
	t.Line, _ = r.origin(n.Line, n.Column)
	r.object(n, "a task", fields{
		"name": r.text(&t.Name), "worker": r.text(&t.Worker),
		"volumes": r.texts(&t.Volumes), "environment": r.variables(&t.Environment),
		"actions": r.each(func(n *yaml.Node) {
			if r.actions++; r.actions > MaxActions {
				r.over(n, "there are more than %d actions", MaxActions)
				return
			}
			t.Actions = append(t.Actions, r.readAction(n, len(t.Actions)))
		}),
	})
	r.name(n, t.Name)
	if t.Worker == "" && lacks(n, "worker") {
		r.problem(n, `worker is missing; want the id of the machine's agent, such as worker: "{{ .device_1 }}"`)
	}
	first := map[string]int{}
	for _, action := range t.Actions {
		r.action = action.Name
		r.once(first, action.Name, action.Line, "action")
	}
	return t
}

func (r *reader) readAction(n *yaml.Node, index int) (a Action) {
	r.action = nameOf(n, index)
	defer func() { r.action = "" }()
	a.Line, _ = r.origin(n.Line, n.Column)
	r.object(n, "an action", fields{
		"name": r.text(&a.Name), "image": r.text(&a.Image), "timeout": r.number(&a.Timeout),
		"command": r.texts(&a.Command), "on-timeout": r.texts(&a.OnTimeout), "on-failure": r.texts(&a.OnFailure),
		"volumes": r.texts(&a.Volumes), "environment": r.variables(&a.Environment), "pid": r.text(&a.PID),
		"namespaces": func(n *yaml.Node) {
			r.object(n, "namespaces", fields{"network": r.text(&a.Namespaces.Network), "pid": r.text(&a.Namespaces.PID)})
		},
	})
	r.name(n, a.Name)
	r.image(n, a.Image)
	return a
}

// name checks a name for its length, which Tinkerbell counts in bytes.
func (r *reader) name(owner *yaml.Node, name string) {
	switch {
	case name == "" && lacks(owner, "name"):
		r.problem(owner, "name is missing; want 1 to %d characters", MaxName)
	case len(name) > MaxName:
		r.problem(memberOf(owner, "name"), "name has %d bytes; want 1 to %d", len(name), MaxName)
	}
}

// once notes a name that was there before.
func (r *reader) once(first map[string]int, name string, line int, what string) {
	if name == "" {
		return
	}
	if before, twice := first[name]; twice {
		r.problems = append(r.problems, Problem{Line: line, Task: r.task, Action: r.action, First: before,
			Message: fmt.Sprintf("another %s is called %s; give each a name of its own", what, short(name))})
		return
	}
	first[name] = line
}

// image checks that the reference of an image can be read.
func (r *reader) image(owner *yaml.Node, image string) {
	const example = "want a reference such as quay.io/tinkerbell/actions/image2disk:latest"
	if image == "" {
		if lacks(owner, "image") {
			r.problem(owner, "image is missing; %s", example)
		}
		return
	}
	if _, err := parseImage(image); err != nil {
		r.problem(memberOf(owner, "image"), "image %s: %s; %s", short(image), err, example)
	}
}

// over notes once that there is too much.
func (r *reader) over(n *yaml.Node, format string, args ...any) {
	if !r.tooMany {
		r.problem(n, format, args...)
	}
	r.tooMany = true
}
