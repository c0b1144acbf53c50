package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/durable"
)

// Where imports do their work: each has a directory, and in it what was asked for.
const (
	workDir     = "work"
	requestName = "request.json"
)

// request is what a job is to do. It is on the disk before anybody is told that it
// will be done.
type request struct {
	Kind      registry.ImageJobKind `json:"kind"`
	Source    registry.ImageSource  `json:"source"`         // of an upload it has no URL
	Size      int64                 `json:"size,omitempty"` // of the file that is uploaded
	CreatedAt time.Time             `json:"created_at"`
	Lent      bool                  `json:"lent,omitempty"`   // for deployments alone: it ends with the last of them
	Failed    string                `json:"failed,omitempty"` // why
}

// job is a job, running or not.
type job struct {
	id, dir string
	ask     request
	do      func(context.Context, *job) (registry.Image, error)
	ctx     context.Context // ends when the job is cancelled, or nothing goes on
	cancel  context.CancelCauseFunc
	ended   chan struct{} // closed when nobody works on it any more
	arrival chan struct{} // has room for the one part of an upload that arrives

	mu    sync.Mutex
	now   registry.ImageJob
	began time.Time // of the stage
	from  int64     // where the stage began
}

var (
	errCancelled = errors.New("it was cancelled")
	errStopping  = errors.New("the server stops; it goes on with the next start")
)

func newJob(id string, ask request) *job {
	j := &job{id: id, ask: ask, ended: make(chan struct{}), arrival: make(chan struct{}, 1)}
	j.ctx, j.cancel = context.WithCancelCause(context.Background())
	j.now = registry.ImageJob{ID: id, Kind: ask.Kind, State: registry.ImageJobWaiting, Title: titleOf(ask.Source), URL: ask.Source.URL, CreatedAt: ask.CreatedAt}
	return j
}

// titleOf is what people call an image where nobody has said: the name of the file.
func titleOf(src registry.ImageSource) string {
	if src.Title != "" {
		return src.Title
	}
	u, err := url.Parse(src.URL)
	if err != nil || src.URL == "" {
		return src.SHA256
	}
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '<' || r == '>' {
			return '_'
		}
		return r
	}, path.Base(u.Path))
	return name[:min(len(name), 128)]
}

// snapshot is the job as it is now.
func (j *job) snapshot() registry.ImageJob {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

func (j *job) set(edit func(*registry.ImageJob)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	edit(&j.now)
}

// report is a [report].
func (j *job) report(stage string, done, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := &j.now.Progress
	if p.Stage != stage {
		j.began, j.from = time.Now(), done
	}
	*p = registry.Progress{Stage: stage, Done: done, Total: total}
	if took := time.Since(j.began).Seconds(); took > 0.1 {
		p.Rate = float64(done-j.from) / took
	}
	j.now.Reason = ""
}

// rest is a [rest] that says why the job is not getting on.
func (j *job) rest(ctx context.Context, why error, long time.Duration) error {
	j.set(func(now *registry.ImageJob) { now.Reason = why.Error() })
	select {
	case <-time.After(long):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Jobs is all jobs, the latest first.
func (s *Store) Jobs() []registry.ImageJob {
	s.mu.Lock()
	jobs := slices.Collect(maps.Values(s.jobs))
	s.mu.Unlock()
	list := make([]registry.ImageJob, 0, len(jobs))
	for _, j := range jobs {
		list = append(list, j.snapshot())
	}
	slices.SortFunc(list, func(a, b registry.ImageJob) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list
}

// Job is one job.
func (s *Store) Job(id string) (registry.ImageJob, error) {
	s.mu.Lock()
	j, ok := s.jobs[id]
	s.mu.Unlock()
	if !ok {
		return registry.ImageJob{}, fmt.Errorf("image job %.80q: %w", id, registry.ErrNotFound)
	}
	return j.snapshot(), nil
}

// jobID names what is asked for, so that the same, asked for twice, is done once.
func jobID(kind string, what any) string {
	text, _ := json.Marshal(what) // text only: cannot fail
	sum := sha256.Sum256(text)
	return kind + "-" + hex.EncodeToString(sum[:8])
}

// Import has an image fetched from a URL. The answer comes at once; the job goes on
// until it has ended, over restarts too. The same source is fetched once, however
// many ask.
func (s *Store) Import(ctx context.Context, src registry.ImageSource) (registry.ImageJob, error) {
	return s.importFor(src, false)
}

// ImportFor is [Store.Import] for a deployment: once nobody waits for the image it is
// [Store.Unwanted], unless somebody has asked for it for its own sake.
func (s *Store) ImportFor(_ context.Context, src registry.ImageSource) (registry.ImageJob, error) {
	return s.importFor(src, true)
}

func (s *Store) importFor(src registry.ImageSource, lent bool) (registry.ImageJob, error) {
	if err := src.Validate(); err != nil {
		return registry.ImageJob{}, err
	}
	j := newJob(importID(src), request{Kind: registry.ImageImport, Source: src, CreatedAt: time.Now().UTC(), Lent: lent})
	j.do = s.importImage
	return s.begin(j)
}

// Unwanted ends an import that no deployment waits for any more, and removes what it
// has, unless somebody has asked for it for its own sake.
func (s *Store) Unwanted(ctx context.Context, src registry.ImageSource) error {
	s.mu.Lock()
	j, ok := s.jobs[importID(src)]
	s.mu.Unlock()
	if !ok || !j.lent() || j.snapshot().State.Ended() {
		return nil
	}
	return s.Cancel(ctx, j.id)
}

// importID names the import of a source, whatever it is called.
func importID(src registry.ImageSource) string {
	src.Title = ""
	return jobID("i", src)
}

// Importing is the job that imports a source, or did so lately; not ok: there is none.
func (s *Store) Importing(src registry.ImageSource) (job registry.ImageJob, ok bool) {
	job, err := s.Job(importID(src))
	return job, err == nil
}

// Verify has all of an image read and compared. One that is damaged is not served
// from then on.
func (s *Store) Verify(ctx context.Context, name string) (registry.ImageJob, error) {
	image, err := s.Get(name)
	if err != nil {
		return registry.ImageJob{}, err
	}
	j := newJob(jobID("v", image.Name), request{Kind: registry.ImageVerify, Source: registry.ImageSource{Title: image.Title}, CreatedAt: time.Now().UTC()})
	j.now.Image = image.Name
	j.do = s.verifyImage
	return s.begin(j)
}

// begin queues a job, unless the same one is at work already.
func (s *Store) begin(j *job) (registry.ImageJob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.jobs[j.id]; ok && !known.snapshot().State.Ended() {
		return known.snapshot(), known.keep(j.ask.Lent)
	}
	if err := s.admit(j); err != nil {
		return registry.ImageJob{}, err
	}
	s.queue <- j // has room for all that are admitted
	return j.snapshot(), nil
}

// keep has a job that is asked for again go on without deployments, unless one of those
// asks.
func (j *job) keep(lent bool) error {
	if lent || !j.lent() {
		return nil
	}
	return j.amend(func(ask *request) { ask.Lent = false })
}

// lent reports whether the job is for deployments alone.
func (j *job) lent() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ask.Lent
}

// endedFor is how long a job that has ended can be asked about.
const endedFor = time.Hour

// admit makes j known, and writes down what it is to do. The caller has the lock.
func (s *Store) admit(j *job) error {
	open := 0
	for id, other := range s.jobs {
		switch now := other.snapshot(); {
		case !now.State.Ended():
			open++
		case now.State == registry.ImageJobSucceeded && time.Since(now.EndedAt) > endedFor:
			delete(s.jobs, id)
		}
	}
	if open >= maxJobs {
		return &registry.ImageError{Why: fmt.Sprintf("%d imports are under way; wait until some have ended, or cancel some", open)}
	}
	if j.ask.Kind != registry.ImageVerify {
		j.dir = filepath.Join(s.cfg.Dir, workDir, j.id)
		if err := s.writeRequest(j); err != nil {
			return err
		}
	}
	s.jobs[j.id] = j
	return nil
}

func (s *Store) writeRequest(j *job) error {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(j.dir)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(j.dir, requestName), j.ask)
}

// reloadJobs takes up what the last process left.
func (s *Store) reloadJobs() error {
	work := filepath.Join(s.cfg.Dir, workDir)
	entries, err := os.ReadDir(work)
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	for _, entry := range entries {
		dir := filepath.Join(work, entry.Name())
		var ask request
		if err := readJSON(filepath.Join(dir, requestName), &ask); err != nil {
			s.cfg.Log.Warn("an import that was never begun is removed", "dir", dir, "err", err)
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("image store: %w", err)
			}
			continue
		}
		if err := s.reload(entry.Name(), ask); err != nil {
			return fmt.Errorf("image store: %s: %w", dir, err)
		}
	}
	return nil
}

func (s *Store) reload(id string, ask request) error {
	j := newJob(id, ask)
	j.dir = filepath.Join(s.cfg.Dir, workDir, id)
	j.do = s.importImage
	s.jobs[id] = j
	have := int64(0)
	if ask.Kind == registry.ImageSent {
		j.do = s.takeUpload
		if info, err := os.Stat(filepath.Join(j.dir, fileName)); err == nil {
			have = info.Size()
		}
		j.report("receiving", have, ask.Size)
	}
	switch {
	case ask.Failed != "":
		j.now.State, j.now.Reason, j.now.EndedAt = registry.ImageJobFailed, ask.Failed, ask.CreatedAt
		close(j.ended)
	case ask.Kind == registry.ImageSent && have < ask.Size:
		j.now.State = registry.ImageJobReceiving
	case len(s.queue) == cap(s.queue):
		return errors.New("more imports than can be taken up")
	default:
		s.queue <- j
	}
	return nil
}

// run carries out a job, until it has ended or ctx has.
func (s *Store) run(ctx context.Context, j *job) {
	defer close(j.ended)
	stop := context.AfterFunc(ctx, func() { j.cancel(errStopping) })
	defer stop()
	image, err := j.do(j.ctx, j)
	cause := context.Cause(j.ctx)
	log := s.cfg.Log.With("job", j.id, "title", titleOf(j.ask.Source))
	switch {
	case err == nil:
		log.Info("image "+string(j.ask.Kind), "image", image.Name)
	case cause != nil:
		log.Info("image job ends", "why", cause)
		if cause == errStopping {
			return
		}
		err = cause
	default:
		log.Warn("image job failed", "err", err)
	}
	if err := s.settle(j, err); err != nil {
		log.Error("write down how an import ended", "err", err)
	}
	j.set(func(now *registry.ImageJob) {
		now.State, now.EndedAt, now.Reason = registry.ImageJobSucceeded, time.Now().UTC(), ""
		if err != nil {
			now.State, now.Reason = registry.ImageJobFailed, err.Error()
		} else {
			now.Image = image.Name
		}
	})
	s.tellEnded()
}

// tellEnded says that a job is at work no more.
func (s *Store) tellEnded() {
	if s.cfg.Ended != nil {
		s.cfg.Ended()
	}
}

// settle leaves on the disk what is worth it: nothing of what succeeded, and of what
// failed why.
func (s *Store) settle(j *job, failed error) error {
	switch {
	case j.dir == "":
		return nil
	case failed == nil:
		return os.RemoveAll(j.dir)
	case failed == errCancelled:
		return nil // Cancel removes all
	}
	return j.amend(func(ask *request) { ask.Failed = failed.Error() })
}

// amend changes what is written down of a job.
func (j *job) amend(change func(*request)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.ask)
	return writeJSON(filepath.Join(j.dir, requestName), j.ask)
}

// Cancel ends a job and removes what it has, and every trace of it.
func (s *Store) Cancel(ctx context.Context, id string) error {
	s.mu.Lock()
	j, ok := s.jobs[id]
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("image job %.80q: %w", id, registry.ErrNotFound)
	}
	j.cancel(errCancelled)
	if j.snapshot().State != registry.ImageJobReceiving {
		select {
		case <-j.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case j.arrival <- struct{}{}: // a part that arrives takes note with the next bytes
	case <-ctx.Done():
		return ctx.Err()
	}
	defer s.tellEnded()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[id] == j {
		delete(s.jobs, id)
	}
	if j.dir == "" {
		return nil
	}
	return os.RemoveAll(j.dir)
}

// place is one of those of a job among the jobs that do the same at once.
type place struct {
	job   *job
	among chan struct{} // has room for so many
	held  bool
}

// take waits for the place.
func (p *place) take(ctx context.Context) error {
	turn := fmt.Sprintf("%d others are at it; it begins after one of them", cap(p.among))
	select {
	case p.among <- struct{}{}:
	default:
		p.job.set(func(now *registry.ImageJob) {
			now.State, now.Reason = registry.ImageJobWaiting, cmp.Or(now.Reason, turn)
		})
		select {
		case p.among <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p.held = true
	p.job.set(func(now *registry.ImageJob) {
		if now.State = registry.ImageJobRunning; now.Reason == turn {
			now.Reason = ""
		}
	})
	return nil
}

// leave gives the place to another job, if it is held.
func (p *place) leave() {
	if p.held {
		p.held = false
		<-p.among
	}
}

// rest is a [rest] without the place: a server that does not answer holds up nobody
// else.
func (p *place) rest(ctx context.Context, why error, long time.Duration) error {
	p.leave()
	if err := p.job.rest(ctx, why, long); err != nil {
		return err
	}
	return p.take(ctx)
}
