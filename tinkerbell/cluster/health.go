package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"dragonfly/tinkerbell/objects"
)

// Health is how the Kubernetes API was found.
type Health struct {
	At       time.Time     // when it was looked at; zero: not yet
	Took     time.Duration // for its first answer
	Version  string        // of Kubernetes; empty where nobody answered
	Versions []string      // of tinkerbell.org that it serves
	BMC      bool          // it serves bmc.tinkerbell.org/v1alpha1 too
	Missing  []string      // permissions, such as "create workflows.tinkerbell.org"
	Problem  string        // why nothing can be handed over; empty: it can
	Absent   bool          // the problem is that there is no Tinkerbell
	Note     string        // worth knowing
}

// Good reports whether deployments can be handed over.
func (h Health) Good() bool { return !h.At.IsZero() && h.Problem == "" }

// checkWithin is how long the whole of a check may take.
const checkWithin = 15 * time.Second

// Check asks the API what it has, and for each thing that the hand-off does whether we
// may. It takes [checkWithin] at most.
func (c *Cluster) Check(ctx context.Context) (h Health) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	h.At = time.Now()
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	err := c.plain.get(ctx, "/version", &version)
	if err == nil && version.GitVersion == "" {
		err = &strange{"/version", "no version of Kubernetes"}
	}
	if h.Took = time.Since(h.At); err != nil {
		h.Problem = Plain(err)
		return h
	}
	h.Version = version.GitVersion
	if err := c.checkKinds(ctx, &h); err != nil {
		h.Problem = Plain(err)
	}
	if h.Problem != "" {
		return h
	}
	h.Missing, err = c.missing(ctx, Needed)
	switch {
	case err != nil:
		h.Note = "what we may do could not be asked: " + Plain(err)
	case len(h.Missing) > 0:
		h.Problem = "we may not " + strings.Join(h.Missing, ", ") + " in the namespace " + c.Namespace + "; `dragonfly tinkerbell rbac` prints the role that is needed"
	}
	return h
}

// checkKinds looks which versions of Tinkerbell's kinds are there, and that ours is
// one of them, with all three kinds.
func (c *Cluster) checkKinds(ctx context.Context, h *Health) error {
	var group struct {
		Versions []struct{ Version string }
	}
	err := c.plain.get(ctx, "/apis/"+objects.Version.Group, &group)
	if is, ok := errors.AsType[*status](err); ok && is.Code == http.StatusNotFound {
		h.Absent = true
		h.Problem = "Tinkerbell is not installed there: the API has no " + objects.Version.Group + "; install Tinkerbell, or its CRDs"
		return nil
	}
	if err != nil {
		return err
	}
	for _, v := range group.Versions {
		h.Versions = append(h.Versions, v.Version)
	}
	if !slices.Contains(h.Versions, objects.Version.Version) {
		h.Problem = fmt.Sprintf("Tinkerbell's CRDs are of another version: %s is needed, and there is %s", objects.Version, cmp.Or(strings.Join(h.Versions, ", "), "none"))
		return nil
	}
	if err := c.kindsOf(ctx, objects.Version.String(), h); err != nil {
		return err
	}
	err = c.plain.get(ctx, "/apis/"+BMC.GroupVersion().String(), &group)
	h.BMC = err == nil
	return nil
}

// kindsOf notes which of the three kinds are not there.
func (c *Cluster) kindsOf(ctx context.Context, version string, h *Health) error {
	var list struct {
		Resources []struct{ Name string }
	}
	if err := c.plain.get(ctx, "/apis/"+version, &list); err != nil {
		return err
	}
	have := map[string]bool{}
	for _, r := range list.Resources {
		have[r.Name] = true
	}
	var lacking []string
	for _, r := range []schema.GroupVersionResource{Hardware, Template, Workflow} {
		if !have[r.Resource] {
			lacking = append(lacking, r.GroupResource().String())
		}
	}
	if len(lacking) > 0 {
		h.Problem = "Tinkerbell's CRDs are not complete: " + strings.Join(lacking, " and ") + " of " + version + " not there"
	}
	return nil
}

// missing is which of the permissions we do not have, each asked for by itself
// (SelfSubjectAccessReview, authorization.k8s.io/v1).
func (c *Cluster) missing(ctx context.Context, wanted []Permission) ([]string, error) {
	denied := make([]string, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, p := range wanted {
		group.Go(func() error {
			allowed, err := c.may(ctx, p)
			if err == nil && !allowed {
				denied[i] = p.String()
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(denied, func(text string) bool { return text == "" }), err
}

var reviews = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}

// may reports whether we have a permission.
func (c *Cluster) may(ctx context.Context, p Permission) (bool, error) {
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": reviews.GroupVersion().String(), "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{
			"namespace": c.Namespace, "verb": p.Verb, "group": p.Resource.Group, "resource": p.Resource.Resource}},
	}}
	answer, err := c.objects.Resource(reviews).Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return allowed, err
}
