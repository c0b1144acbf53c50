package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A deployment whose image is not on this server yet is pending until it is: the
// machine stays what it was, and every server on the same database fetches the image
// for itself. The first that has it begins the deployment, and has its machine fetch
// the image from there. Only the server that was asked for the deployment fails it
// where the image cannot be fetched: another one may have no way out.

// noImageYet stands for the name of an image in the plan of a deployment that waits
// for it.
const noImageYet = "/boot/images/named-once-it-is-fetched.img.zst"

// fetches is the deployments whose images this process has asked for, with the
// images: work on one of these that is gone was cancelled.
type fetches struct {
	mu    sync.Mutex
	asked map[string]ImageSource // by deployment

	waiting int // deployments, whoever fetches
}

// ask reports whether the image of a deployment is asked for the first time.
func (f *fetches) ask(deployment string, image ImageSource) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[string]ImageSource{}
	}
	_, before := f.asked[deployment]
	f.asked[deployment] = image
	return !before
}

// forget has the image of a deployment asked for anew.
func (f *fetches) forget(deployment string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.asked, deployment)
}

// only forgets all deployments but those that wait, with their images. It returns the
// images that were asked for and that none of them waits for.
func (f *fetches) only(waiting map[string]ImageSource) (unwanted []ImageSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := slices.Collect(maps.Values(waiting))
	maps.DeleteFunc(f.asked, func(id string, image ImageSource) bool {
		if _, waits := waiting[id]; waits {
			return false
		}
		if !slices.Contains(wanted, image) && !slices.Contains(unwanted, image) {
			unwanted = append(unwanted, image)
		}
		return true
	})
	f.waiting = len(waiting)
	return unwanted
}

// await notes which deployments wait for images, and gives up those that none waits
// for any more.
func (r *Registry) await(ctx context.Context, waiting map[string]ImageSource) {
	for _, image := range r.fetches.only(waiting) {
		if err := r.tools.Unwanted(ctx, image); err != nil {
			r.log.Warn("give up an image that no deployment waits for", "url", image.URL, "err", err)
		}
	}
}

// AwaitingImages is how many deployments wait for images, as this process saw last.
func (r *Registry) AwaitingImages() int {
	r.fetches.mu.Lock()
	defer r.fetches.mu.Unlock()
	return r.fetches.waiting
}

// ImagesChanged has the deployments looked at that wait for images: work on one of
// them has ended.
func (r *Registry) ImagesChanged() { r.wakeBatches() }

// LocalImages is the architectures of an operating system whose images are in the
// store of this server.
func (r *Registry) LocalImages(o OS) (arches []string) {
	for _, arch := range slices.Sorted(maps.Keys(o.Images)) {
		if r.tools.Image == nil || o.Images[arch].Kernel != "" {
			continue
		}
		if _, there := r.tools.Image(o.Images[arch].Source(o.Name)); there {
			arches = append(arches, arch)
		}
	}
	return arches
}

// lately is a deployment with how far it is, and how far its image is here.
func (r *Registry) lately(d Deployment) Deployment {
	d.Track = r.tracks.latest(d)
	if d.State == DeploymentPending && d.Image != (ImageSource{}) && r.tools.Fetching != nil {
		if job, there := r.tools.Fetching(d.Image); there {
			d.Fetch = &job
		}
	}
	return d
}

// hasImage reports whether a deployment has the image it needs, and sees to it that
// it is fetched where it has not. Where it cannot be, the deployment fails.
func (r *Registry) hasImage(ctx context.Context, d Deployment) bool {
	if d.Image == (ImageSource{}) {
		return true
	}
	if _, there := r.tools.Image(d.Image); there {
		return true
	}
	if !d.Deadline.IsZero() && r.now().After(d.Deadline) {
		if err := r.expireUnfetched(ctx, d); err != nil {
			r.log.Warn("end a deployment without its image", "deployment", d.ID, "err", err)
		}
		return false
	}
	why, err := r.fetchImage(ctx, d)
	if err == nil && why != "" {
		err = r.failWithoutImage(ctx, d, why)
	}
	if err != nil {
		r.log.Warn("fetch the image of a deployment", "deployment", d.ID, "url", d.Image.URL, "err", err)
	}
	return false
}

// fetchImage has the image of a deployment fetched, or says why it will not come. It
// errs where it is worth another try.
func (r *Registry) fetchImage(ctx context.Context, d Deployment) (why string, err error) {
	job, under := r.tools.Fetching(d.Image)
	switch first := r.fetches.ask(d.ID, d.Image); {
	case under && !job.State.Ended():
		return "", nil
	case first:
		_, err := r.tools.Fetch(ctx, d.Image)
		if wrong, is := errors.AsType[*InvalidError](err); is {
			return wrong.Error(), nil
		}
		if err != nil {
			r.fetches.forget(d.ID)
		}
		return "", err
	case !under:
		return "it was cancelled", nil
	case job.State == ImageJobSucceeded: // and deleted since, or damaged
		return "it is not there any more", nil
	}
	return job.Reason, nil
}

// failWithoutImage ends a deployment whose image will not come, where this server was
// asked for it.
func (r *Registry) failWithoutImage(ctx context.Context, d Deployment, why string) error {
	_, _, err := r.turn(ctx, d.ID, func(t *turn) error {
		if t.d.State != DeploymentPending {
			return nil
		}
		recipe, err := r.open(t.d)
		if err != nil {
			return err
		}
		if server, err := r.tools.Server(t.m); err != nil || server != recipe.Parameters["server"] {
			return err
		}
		return r.failUnbegun(t, fmt.Sprintf("its image was not fetched from %s: %s", d.Image.URL, why))
	})
	return err
}

// expireUnfetched ends a deployment whose image has not come in time. Any server does
// it: the one that was asked for the deployment may be gone for good.
func (r *Registry) expireUnfetched(ctx context.Context, d Deployment) error {
	seen := "from " + d.Image.URL
	if job, there := r.tools.Fetching(d.Image); there {
		seen += ", here: " + job.Line()
	}
	_, _, err := r.turn(ctx, d.ID, func(t *turn) (err error) {
		if t.d.State != DeploymentPending || t.d.Image == (ImageSource{}) {
			return nil
		}
		t.d, err = t.d.expired(seen, r.now())
		t.tellState(r, t.d.name()+" timed out: "+t.d.Reason)
		return err
	})
	return err
}

// withImage is a deployment that has waited for its image, with the path of that on
// this server.
func (r *Registry) withImage(d Deployment, m Machine, path string) (Deployment, error) {
	recipe, err := r.open(d)
	if err != nil {
		return d, err
	}
	server, err := r.tools.Server(m)
	if err != nil {
		return d, err
	}
	recipe.Parameters["image_url"] = server + path
	rendered, err := r.tools.Render(recipe.Template, m, recipe.Parameters)
	if err != nil {
		return d, err
	}
	recipe.Text, recipe.Actions, recipe.Template = rendered.Text, rendered.Actions, ""
	d.Image, d.Stored, d.Actions = ImageSource{}, path, pendingActions(rendered.Actions)
	d.Sealed, err = r.seal(d.ID, recipe)
	return d, err
}

// pendingActions is what is known of actions before they begin.
func pendingActions(actions []RecipeAction) (runs []ActionRun) {
	for _, a := range actions {
		runs = append(runs, ActionRun{Name: a.Name, Image: a.Image, State: ActionPending, Timeout: time.Duration(a.Timeout) * time.Second})
	}
	return runs
}

// Line is how far a job is, for people: "fetching, 41 %, 12 MiB/s".
func (j ImageJob) Line() string {
	switch p := j.Progress; {
	case j.State.Ended():
		return string(j.State)
	case j.Reason != "":
		return "trying again: " + j.Reason
	case j.State == ImageJobWaiting || p.Stage == "":
		return "others come first"
	default:
		text := p.Stage
		if p.Total > 0 {
			text += fmt.Sprintf(", %d %%", p.Done*100/p.Total)
		}
		if p.Rate > 0 {
			text += fmt.Sprintf(", %.0f MiB/s", p.Rate/(1<<20))
		}
		return text
	}
}
