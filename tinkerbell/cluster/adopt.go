package cluster

import (
	"cmp"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"dragonfly/registry"
	"dragonfly/tinkerbell/objects"
)

// Found is a Hardware that Dragonfly did not make.
type Found struct {
	Hardware string          // name
	Auto     bool            // Tinkerbell found it by itself, or enrols it by itself
	Machine  registry.Listed // that it is of
}

// Foreign are the Hardware objects that Dragonfly did not make, by name. The error says
// why the cluster's are not known.
func (p *Provisioner) Foreign() (all []Found, err error) {
	if why := p.away(); why != "" {
		return nil, errors.New(why)
	}
	for _, object := range p.seen.hardware.GetStore().List() {
		if u, ok := object.(*unstructured.Unstructured); ok && !ours(u) {
			all = append(all, Found{u.GetName(), objects.ByItself(u), objects.Adopt(u)})
		}
	}
	slices.SortFunc(all, func(a, b Found) int { return cmp.Compare(a.Hardware, b.Hardware) })
	return all, nil
}
