package cluster

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"dragonfly/registry"
)

// ForeignTemplate is a Template that Dragonfly did not make.
type ForeignTemplate struct{ Name, Text string }

// Templates are the Templates that Dragonfly did not make, by name, as they were when the
// cluster was reached last. The error, a [*registry.RefusalError], says why they were
// never read.
func (p *Provisioner) Templates() (all []ForeignTemplate, err error) {
	if !p.seen.templates.HasSynced() {
		why := cmp.Or(p.monitor.Health().Problem, "its objects are being read")
		return nil, &registry.RefusalError{Why: "Tinkerbell at " + p.cluster.Host + ": " + why}
	}
	for _, object := range p.seen.templates.GetStore().List() {
		if u, ok := object.(*unstructured.Unstructured); ok && !ours(u) {
			text, _, _ := unstructured.NestedString(u.Object, "spec", "data")
			all = append(all, ForeignTemplate{u.GetName(), text})
		}
	}
	slices.SortFunc(all, func(a, b ForeignTemplate) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Template is the text of a Template that Dragonfly did not make, by its name; its
// errors are those of [registry.Tools].
func (p *Provisioner) Template(name string) (string, error) {
	all, err := p.Templates()
	if err != nil {
		return "", err
	}
	names := make([]string, len(all))
	for i, t := range all {
		if names[i] = t.Name; t.Name == name {
			return t.Text, nil
		}
	}
	message := fmt.Sprintf("there is no Template %.80q in the namespace %s of Tinkerbell's cluster", name, p.cluster.Namespace)
	if near := registry.Nearest(name, names); near != "" {
		message += "; did you mean " + registry.ClusterTemplate + near + "?"
	}
	return "", &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/template", Message: message}}}
}
