package registry_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// shelf is an image store of one image that is there, or is being fetched.
type shelf struct {
	mu    sync.Mutex
	path  string
	job   *registry.ImageJob
	asked int          // how often it was to be fetched
	given atomic.Int64 // how often it was given up
}

func (s *shelf) put(path string, job *registry.ImageJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.path, s.job = path, job
}

func (s *shelf) tools(server string) registry.Tools {
	t := testTools()
	t.Server = func(registry.Machine) (string, error) { return server, nil }
	t.Image = func(registry.ImageSource) (string, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.path, s.path != ""
	}
	t.Fetching = func(registry.ImageSource) (registry.ImageJob, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.job == nil {
			return registry.ImageJob{}, false
		}
		return *s.job, true
	}
	t.Unwanted = func(context.Context, registry.ImageSource) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.given.Add(1)
		s.job = nil
		return nil
	}
	t.Fetch = func(_ context.Context, src registry.ImageSource) (registry.ImageJob, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		s.path, s.job = "", &registry.ImageJob{ID: "i-1", URL: src.URL, State: registry.ImageJobRunning, Progress: registry.Progress{Stage: "fetching", Done: 41, Total: 100, Rate: 12 << 20}}
		return *s.job, nil
	}
	return t
}

// shelved is a rig whose images are on a shelf.
func shelved(t *testing.T, s *shelf) *rig {
	t.Helper()
	store := registrytest.Memory()
	g := &rig{Registry: openTools(t, store, s.tools("http://10.0.0.2:3000")), store: store}
	g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
	return g
}

// changed has the registry look at its images, and waits until it has.
func (g *rig) changed() {
	g.ImagesChanged()
	synctest.Wait()
}

func TestDeployAwaitsItsImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := shelved(t, s)
		plan, err := g.Deploy(registry.WithDryRun(by(t, "ana")), g.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{})
		if err != nil || len(plan.Problems) != 0 || len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], "fetches it first, from http://x/linux.qcow2") {
			t.Fatalf("plan %v %v, %v", plan.Notes, plan.Problems, err)
		}
		if synctest.Wait(); s.asked != 0 {
			t.Fatal("a dry run fetches")
		}
		d := g.deploy(t, "linux")
		synctest.Wait()
		d, _ = g.is(t, d.ID, registry.DeploymentPending, registry.Ready, "")
		if s.asked != 1 || d.Fetch == nil || d.Fetch.Line() != "fetching, 41 %, 12 MiB/s" || g.AwaitingImages() != 1 {
			t.Fatalf("asked for %d times: %+v, %d wait", s.asked, d.Fetch, g.AwaitingImages())
		}
		if _, _, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"}); !refusedFor(err, "is pending") {
			t.Errorf("a claim before the image is there: %v", err)
		}
		time.Sleep(time.Minute)
		if synctest.Wait(); s.asked != 1 {
			t.Errorf("asked for %d times", s.asked)
		}
		s.put("/boot/images/abc.img.zst", nil)
		g.changed()
		d, _ = g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootAgent)
		_, recipe, err := g.ClaimByAgent(t.Context(), g.m.ID, registry.AgentBoot{ID: "boot-1"})
		if err != nil || !strings.Contains(recipe.Text, "image_url=http://10.0.0.2:3000/boot/images/abc.img.zst") || d.Image.URL != "" || d.Stored != "/boot/images/abc.img.zst" || d.Fetch != nil || g.AwaitingImages() != 0 {
			t.Errorf("recipe %q, %+v, %v", recipe.Text, d, err)
		}
		if _, err := g.Cancel(by(t, "ana"), d.ID); err != nil {
			t.Fatal(err)
		}
		if again := g.deploy(t, "linux"); again.Stored != d.Stored {
			t.Errorf("with the image there: %+v", again)
		}
	})
}

func TestImageDoesNotCome(t *testing.T) {
	for name, c := range map[string]struct {
		job  *registry.ImageJob
		want string
	}{
		"it fails":        {&registry.ImageJob{State: registry.ImageJobFailed, Reason: "GET http://x/linux.qcow2: 404 Not Found"}, "its image was not fetched from http://x/linux.qcow2: GET http://x/linux.qcow2: 404 Not Found; nothing was begun"},
		"it is cancelled": {nil, "it was cancelled; nothing was begun"},
		"it is deleted":   {&registry.ImageJob{State: registry.ImageJobSucceeded}, "it is not there any more; nothing was begun"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shelf{}
				g := shelved(t, s)
				d := g.deploy(t, "linux")
				synctest.Wait()
				s.put("", c.job)
				g.changed()
				if d, _ := g.is(t, d.ID, registry.DeploymentFailed, registry.Ready, ""); !strings.Contains(d.Reason, c.want) {
					t.Errorf("reason %q, want %q", d.Reason, c.want)
				}
				if _, err := g.Retry(by(t, "ana"), d.ID, registry.Batch{}); err != nil {
					t.Fatal(err)
				}
				if synctest.Wait(); s.asked != 2 {
					t.Errorf("asked for %d times", s.asked)
				}
			})
		})
	}
}

// A server that was not asked does not fail a deployment, and begins it with the image
// it has.
func TestAnotherServerHasTheImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, other := &shelf{}, &shelf{}
		g := shelved(t, asked)
		second := openTools(t, g.store, other.tools("http://10.0.0.3:3000"))
		d := g.deploy(t, "linux")
		time.Sleep(time.Minute)
		synctest.Wait()
		if other.asked != 1 {
			t.Fatalf("the other server asked for it %d times", other.asked)
		}
		other.put("", &registry.ImageJob{State: registry.ImageJobFailed, Reason: "no route to host"})
		second.ImagesChanged()
		synctest.Wait()
		g.is(t, d.ID, registry.DeploymentPending, registry.Ready, "")
		other.put("/boot/images/abc.img.zst", nil)
		second.ImagesChanged()
		time.Sleep(time.Second)
		synctest.Wait()
		g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootAgent)
		if recipe, err := g.Recipe(t.Context(), d.ID); err != nil || !strings.Contains(recipe.Text, "image_url=http://10.0.0.3:3000/boot/images/abc.img.zst") {
			t.Errorf("recipe %q, %v", recipe.Text, err)
		}
	})
}

// One of a batch that waits for its image takes nobody's place.
func TestBatchWithAMissingImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := shelved(t, s)
		m := g.boot(t, 2, disk("sda", "S2", 8e9))
		batch := registry.NewBatch(1)
		first, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "linux"}, batch)
		if err != nil {
			t.Fatal(err)
		}
		second, err := g.Deploy(by(t, "ana"), m.ID, registry.DeployRequest{OS: "linux", Parameters: map[string]string{"image_url": "http://y/own.raw"}}, batch)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		g.is(t, first.Deployment.ID, registry.DeploymentPending, registry.Ready, "")
		if d, err := g.Deployment(t.Context(), second.Deployment.ID); err != nil || d.State != registry.DeploymentWaiting {
			t.Errorf("the one with an image of its own is %s, %v", d.State, err)
		}
		if d, err := g.Cancel(by(t, "ben"), first.Deployment.ID); err != nil || d.State != registry.DeploymentCancelled {
			t.Errorf("cancelled: %s, %v", d.State, err)
		}
		s.put("/boot/images/abc.img.zst", nil)
		g.changed()
		g.is(t, first.Deployment.ID, registry.DeploymentCancelled, registry.Ready, "")
	})
}

// An image that does not come is not waited for for ever, whichever server was asked.
func TestImageThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		store := registrytest.Memory()
		tools := s.tools("http://10.0.0.2:3000")
		tools.Limits.Fetch = 6 * time.Hour
		g := &rig{Registry: openTools(t, store, tools), store: store}
		g.m = g.boot(t, 1, disk("sda", "S1", 8e9))
		d := g.deploy(t, "linux")
		if want := d.CreatedAt.Add(6 * time.Hour); !d.Deadline.Equal(want) {
			t.Errorf("its deadline is %v; want %v", d.Deadline, want)
		}
		time.Sleep(6*time.Hour - time.Minute)
		if d, _ = g.is(t, d.ID, registry.DeploymentPending, registry.Ready, ""); s.given.Load() != 0 {
			t.Error("it was given up before its time")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		d, _ = g.is(t, d.ID, registry.DeploymentTimedOut, registry.Ready, "")
		if want := "its image was not fetched within 360 minutes; from http://x/linux.qcow2, here: fetching, 41 %, 12 MiB/s; the disk sda ACME S1 is as it was"; d.Reason != want {
			t.Errorf("%q; want %q", d.Reason, want)
		}
		if s.given.Load() != 1 {
			t.Errorf("its image was given up %d times", s.given.Load())
		}
	})
}

// The last deployment that waits for an image takes it along when it is cancelled.
func TestCancelGivesTheImageUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := shelved(t, s)
		first := g.deploy(t, "linux")
		g.m = g.boot(t, 2, disk("sda", "S2", 8e9))
		second := g.deploy(t, "linux")
		synctest.Wait()
		for i, d := range []registry.Deployment{first, second} {
			if _, err := g.Cancel(by(t, "ana"), d.ID); err != nil {
				t.Fatal(err)
			}
			if synctest.Wait(); s.given.Load() != int64(i) {
				t.Errorf("after %d were cancelled the image was given up %d times", i+1, s.given.Load())
			}
		}
	})
}
