package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"dragonfly/tinkerbell/objects"
)

// requestWithin is how long one request may take.
const requestWithin = 10 * time.Second

// Stats counts what a provisioner has done.
type Stats struct {
	HandedOver, Reports, Retries, Removed, WatchErrors atomic.Uint64
}

// read is an object as it is now; nil: it is not there.
func (c *Cluster) read(ctx context.Context, kind schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	u, err := c.objects.Resource(kind).Namespace(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	if isGone(err) {
		return nil, nil
	}
	return u, isThat(u, name, err)
}

// isThat errs where an answer that is none of a Kubernetes API was taken for an object.
func isThat(u *unstructured.Unstructured, name string, err error) error {
	if err == nil && (u.GetName() != name || u.GetUID() == "") {
		return &strange{name, fmt.Sprintf("%.40q named %.40q", u.GetKind(), u.GetName())}
	}
	return err
}

// isGone reports whether an object is not there, while its kind is.
func isGone(err error) bool {
	return apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// apply makes an object what it is here, and leaves what others say of it. Fields that
// the API does not know are an error.
func (c *Cluster) apply(ctx context.Context, object *unstructured.Unstructured) error {
	text, err := json.Marshal(object.Object)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	kind := map[string]schema.GroupVersionResource{"Hardware": Hardware, "Template": Template, "Workflow": Workflow}[object.GetKind()]
	made, err := c.objects.Resource(kind).Namespace(c.Namespace).Patch(ctx, object.GetName(), types.ApplyPatchType, text, applied)
	if isMine(err) {
		return &refused{fmt.Sprintf("Kubernetes refuses the %s %s: %s", object.GetKind(), object.GetName(), Plain(err))}
	}
	return isThat(made, object.GetName(), err)
}

// patch changes an object (RFC 6902).
func (c *Cluster) patch(ctx context.Context, kind schema.GroupVersionResource, name string, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	_, err := c.objects.Resource(kind).Namespace(c.Namespace).Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: objects.Manager})
	return err
}

// remove deletes an object; one that is not there is no error.
func (c *Cluster) remove(ctx context.Context, kind schema.GroupVersionResource, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	err := c.objects.Resource(kind).Namespace(c.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if isGone(err) {
		return nil
	}
	return err
}

// removeAsSeen deletes an object if it still is what was seen of it, so that one that
// somebody has made his own since stays: that is an error, for another look. removed
// reports whether it was deleted by this.
func (c *Cluster) removeAsSeen(ctx context.Context, kind schema.GroupVersionResource, u *unstructured.Unstructured) (removed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	seen := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(u.GetUID()), ResourceVersion: new(u.GetResourceVersion())}}
	err = c.objects.Resource(kind).Namespace(c.Namespace).Delete(ctx, u.GetName(), seen)
	if isGone(err) {
		return false, nil
	}
	return err == nil, err
}
