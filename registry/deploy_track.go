package registry

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	trackEvery = 5 * time.Second // how often tracks are written
	showEvery  = time.Second     // how often those who watch are told of one deployment
)

// tracks is how far the deployments are whose agents report here. They are in memory,
// and written in batches.
type tracks struct {
	mu   sync.Mutex
	by   map[string]*tracked // by deployment
	seq  uint64              // of the newest that was shown
	more chan struct{}       // closed when seq moves
}

type tracked struct {
	Deployment           // as it was stored last, without its recipe
	follows    bool      // nothing else has happened to the deployment, as far as it is known here
	dirty      bool      // how far it is was not written yet
	seq        uint64    // when it was shown
	shown      time.Time // the same
}

func newTracks() *tracks {
	return &tracks{by: map[string]*tracked{}, more: make(chan struct{})}
}

// note takes in how far an action is, and reports whether it could: the deployment,
// as it was known last, is running that very action.
func (t *tracks) note(machine string, report ActionReport, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.by[report.Deployment]
	if k == nil || !k.follows || k.Machine != machine || k.Attempt != report.Attempt || k.Boot != report.Boot || k.Action != report.Action || report.Wrote && !k.Wrote {
		return false
	}
	t.set(k, *report.Progress, now)
	return true
}

func (t *tracks) set(k *tracked, p Progress, now time.Time) {
	k.Track, k.dirty = Track{Attempt: k.Attempt, Action: k.Action, At: now, Progress: p}, true
	if now.Sub(k.shown) < showEvery {
		return
	}
	t.seq++
	k.seq, k.shown = t.seq, now
	close(t.more)
	t.more = make(chan struct{})
}

// follow takes in a deployment that is running, as it is stored after a report.
func (t *tracks) follow(d Deployment, report ActionReport, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.by[d.ID]
	if k == nil {
		k = &tracked{}
		t.by[d.ID] = k
	}
	track := k.Track
	if k.Deployment, k.Sealed = d, ""; d.Track.At.Before(track.At) {
		k.Track = track
	}
	k.follows = d.Action == report.Action && d.Actions[d.Action].State == ActionRunning
	if report.Progress != nil && d.Action == report.Action {
		t.set(k, *report.Progress, now)
	}
}

// doubt has the next report of a machine go to the store: something happened to its
// deployment, which may have ended.
func (t *tracks) doubt(machine string, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.by {
		if k.Machine != machine {
			continue
		}
		if k.follows = false; ended {
			delete(t.by, id)
		}
	}
}

// forget drops a deployment that is not running any more.
func (t *tracks) forget(id string, state DeploymentState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if state != DeploymentRunning {
		delete(t.by, id)
	}
}

// latest is the newer of what is known here and stored.
func (t *tracks) latest(d Deployment) Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.by[d.ID]; k != nil && k.Track.At.After(d.Track.At) {
		return k.Track
	}
	return d.Track
}

// take returns what was not written yet.
func (t *tracks) take() map[string]Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := map[string]Track{}
	for id, k := range t.by {
		if k.dirty {
			taken[id], k.dirty = k.Track, false
		}
	}
	return taken
}

// giveBack returns what could not be written.
func (t *tracks) giveBack(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if k := t.by[id]; k != nil {
			k.dirty = true
		}
	}
}

// writeTracks writes how far deployments are.
func (r *Registry) writeTracks(ctx context.Context) {
	if r.away() {
		return
	}
	taken := r.tracks.take()
	if len(taken) == 0 {
		return
	}
	if err := r.heard(ctx, r.store.Track(ctx, taken)); err != nil {
		r.log.Warn("write how far deployments are", "count", len(taken), "err", err)
		r.tracks.giveBack(slices.Collect(maps.Keys(taken)))
	}
}

// Watch returns the deployments, with how far they are and without their recipes, of which more was told after the number that
// an earlier call returned (0: none), the number to go on with, and a channel that
// closes when there is more. One deployment is told of once a second at most. Only
// those are told of whose agents report to this process.
func (r *Registry) Watch(after uint64) (shown []Deployment, next uint64, more <-chan struct{}) {
	t := r.tracks
	t.mu.Lock()
	defer t.mu.Unlock()
	if after >= t.seq {
		return nil, t.seq, t.more
	}
	for _, id := range slices.Sorted(maps.Keys(t.by)) {
		if k := t.by[id]; k.seq > after {
			shown = append(shown, k.Deployment)
		}
	}
	return shown, t.seq, t.more
}
