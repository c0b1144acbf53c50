package cluster

import (
	"bytes"
	_ "embed" // rbac.tmpl
	"fmt"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"dragonfly/tinkerbell/objects"
)

// The kinds of objects.
var (
	Hardware = objects.Version.WithResource("hardware")
	Template = objects.Version.WithResource("templates")
	Workflow = objects.Version.WithResource("workflows")
	BMC      = schema.GroupVersionResource{Group: "bmc.tinkerbell.org", Version: "v1alpha1", Resource: "machines"}
)

// Permission is one thing that the hand-off does, in the namespace of the objects.
type Permission struct {
	Verb     string
	Resource schema.GroupVersionResource
}

func (p Permission) String() string { return p.Verb + " " + p.Resource.GroupResource().String() }

var (
	verbs    = []string{"get", "list", "watch", "create", "patch", "delete"}
	bmcVerbs = []string{"get", "list", "create", "patch"}
)

// Needed is what the hand-off does. NeededForBMC is what it does beside that where
// Tinkerbell powers machines on.
var (
	Needed       = permissions(verbs, Hardware, Template, Workflow)
	NeededForBMC = permissions(bmcVerbs, BMC)
)

func permissions(verbs []string, resources ...schema.GroupVersionResource) (all []Permission) {
	for _, r := range resources {
		for _, verb := range verbs {
			all = append(all, Permission{verb, r})
		}
	}
	return all
}

//go:embed rbac.tmpl
var manifest string

// RBAC is the manifest of a ServiceAccount, a Role and a RoleBinding in a namespace
// that allow what the hand-off needs, and nothing else; with bmc also what it needs of
// the machines of Rufio. The error is about the namespace.
func RBAC(namespace string, bmc bool) (string, error) {
	if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
		return "", fmt.Errorf("namespace %.80q: want at most 63 lower-case letters, digits and dashes, as in tinkerbell", namespace)
	}
	list := func(texts []string) string { return `["` + strings.Join(texts, `", "`) + `"]` }
	var out bytes.Buffer
	err := template.Must(template.New("").Parse(manifest)).Execute(&out, map[string]any{
		"Namespace": namespace, "Verbs": list(verbs), "BMC": bmc, "BMCVerbs": list(bmcVerbs)})
	return out.String(), err
}
