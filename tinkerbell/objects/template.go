package objects

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/tinkerbell"
)

// template is the recipe as the data of a Template, and what is wrong with it.
func (o Order) template() (data string, wrong []string) {
	text := o.Recipe.Text
	if len(text) > tinkerbell.MaxRendered {
		return "", []string{fmt.Sprintf("the rendered template has %d bytes, and Tinkerbell takes %d at most; user data is what most often is large", len(text), tinkerbell.MaxRendered)}
	}
	t, err := tinkerbell.Parse([]byte(text))
	if err != nil {
		return "", []string{fmt.Sprintf("the rendered template: %v", err)}
	}
	if t.GlobalTimeout == 0 {
		if text, err = withTimeout(text, t); err != nil {
			return "", []string{fmt.Sprintf("the rendered template: %v", err)}
		}
	}
	return escape(text), o.wrongTasks(t)
}

// wrongTasks is what Tinkerbell would take and never carry out, or we not recognise.
func (o Order) wrongTasks(t tinkerbell.Template) (wrong []string) {
	agent := o.Machine.BootMAC().String()
	for _, task := range t.Tasks {
		if task.Worker != agent {
			wrong = append(wrong, fmt.Sprintf("task %q is for the worker %q, and the machine asks for work as %s: write worker: \"{{ .device_1 }}\"", task.Name, task.Worker, agent))
		}
	}
	if have, want := t.Actions(), len(o.Deployment.Actions); have != want {
		wrong = append(wrong, fmt.Sprintf("the rendered template has %d actions, and the deployment %d", have, want))
	}
	return wrong
}

// escape is text that a Go template renders to text: what Tinkerbell renders again is
// what was rendered here, whatever a password has in it.
func escape(text string) string { return strings.ReplaceAll(text, "{{", `{{"{{"}}`) }

// margin is what a Workflow may take beyond the timeouts of its actions, in seconds.
const margin = 300

// withTimeout adds a global_timeout that leaves every action its time. Without one
// Tinkerbell ends a Workflow as soon as it has taken twice as long as its first action
// (v0.25.0, tink/controller/internal/workflow/reconciler.go: GlobalExecutionStop).
func withTimeout(text string, t tinkerbell.Template) (string, error) {
	total := int64(margin)
	for _, task := range t.Tasks {
		for _, action := range task.Actions {
			total += action.Timeout
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "global_timeout" {
			root.Content[i+1] = number(total)
			out, err := yaml.Marshal(&doc)
			return string(out), err
		}
	}
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "global_timeout"}, number(total))
	out, err := yaml.Marshal(&doc)
	return string(out), err
}

func number(n int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(n)}
}
