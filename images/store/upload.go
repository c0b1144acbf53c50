package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dragonfly/registry"
)

// Upload takes a file with an image, or a part of one; body is from u.Offset on, and
// may end before the file does. What arrived is kept, so after a connection broke
// one goes on from there ([Store.Uploaded]). When the file is whole, its image is
// made in a job that has begun already when the answer comes.
func (s *Store) Upload(ctx context.Context, u registry.ImageUpload, body io.Reader) (registry.ImageJob, error) {
	u.SHA256 = strings.ToLower(u.SHA256)
	if err := u.Validate(); err != nil {
		return registry.ImageJob{}, err
	}
	j, err := s.uploadJob(u)
	if err != nil || j.snapshot().State != registry.ImageJobReceiving {
		return j.snapshot(), err
	}
	return s.arrive(j, u, body)
}

// arrive takes what arrives of the file of a job.
func (s *Store) arrive(j *job, u registry.ImageUpload, body io.Reader) (registry.ImageJob, error) {
	select {
	case j.arrival <- struct{}{}:
		defer func() { <-j.arrival }()
	default:
		return registry.ImageJob{}, &registry.ImageError{Why: "this file is being sent already"}
	}
	if now := j.snapshot(); now.State != registry.ImageJobReceiving { // all of it came meanwhile
		return now, nil
	}
	have, err := s.receive(j, u, body)
	if have < u.Size || err != nil {
		return j.snapshot(), err
	}
	j.set(func(now *registry.ImageJob) { now.State = registry.ImageJobWaiting })
	s.queue <- j // has room for all that are admitted
	return j.snapshot(), nil
}

// Uploaded is the job of a file with that SHA-256 that was sent, or is to be: its
// progress says how much has arrived; of one that failed, how much was kept.
func (s *Store) Uploaded(sum string) (registry.ImageJob, error) {
	sum = strings.ToLower(sum)
	job, err := s.Job(jobID("u", sum))
	if image, ok := s.Find(registry.ImageSource{SHA256: sum}); ok && (err != nil || !job.State.Ended()) {
		return registry.ImageJob{ID: jobID("u", sum), Kind: registry.ImageSent, State: registry.ImageJobSucceeded, Title: image.Title, Image: image.Name,
			CreatedAt: image.ImportedAt, EndedAt: image.ImportedAt}, nil
	}
	if err == nil && job.State == registry.ImageJobFailed {
		job.Progress = registry.Progress{Stage: "receiving", Done: sizeOf(filepath.Join(s.cfg.Dir, workDir, job.ID, fileName)), Total: job.Progress.Total}
	}
	return job, err
}

// uploadJob is the job of an upload, which is made where there is none, or one that
// has ended.
func (s *Store) uploadJob(u registry.ImageUpload) (*job, error) {
	j := newJob(jobID("u", u.SHA256), request{Kind: registry.ImageSent, Size: u.Size, CreatedAt: time.Now().UTC(),
		Source: registry.ImageSource{Title: u.Title, Format: u.Format, SHA256: u.SHA256}})
	j.do = s.takeUpload
	j.now.State = registry.ImageJobReceiving
	if image, ok := s.Find(j.ask.Source); ok {
		j.now.State, j.now.Image, j.now.EndedAt = registry.ImageJobSucceeded, image.Name, image.ImportedAt
		return j, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.jobs[j.id]; ok && !known.snapshot().State.Ended() {
		if known.ask.Size != u.Size {
			return known, &registry.ImageError{Why: fmt.Sprintf("the file with this sum has %d bytes, as was said before, and not %d", known.ask.Size, u.Size)}
		}
		return known, nil
	}
	return j, s.admit(j)
}

// receive writes what arrives to the end of the file, and says how much is there.
func (s *Store) receive(j *job, u registry.ImageUpload, body io.Reader) (have int64, err error) {
	file, err := os.OpenFile(filepath.Join(j.dir, fileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Sync(), file.Close()) }()
	if have, err = file.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	if have != u.Offset {
		return have, &registry.ImageError{Why: fmt.Sprintf("%d bytes of the file are here; go on from there, with offset=%d", have, have)}
	}
	if err := s.room(u.Size - have); err != nil {
		return have, err
	}
	to, buf := &careful{store: s, file: file}, make([]byte, 1<<20)
	in := &cancellable{j.ctx, body}
	for {
		n, err := in.Read(buf)
		if have+int64(n) > u.Size {
			return have, &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "", Message: fmt.Sprintf("more than the %d bytes that there should be", u.Size)}}}
		}
		if _, failed := to.Write(buf[:n]); failed != nil {
			return have, errors.Join(failed, file.Truncate(have))
		}
		have += int64(n)
		j.report("receiving", have, u.Size)
		if err == io.EOF {
			return have, nil
		}
		if err != nil {
			return have, &registry.CutError{Have: have, Size: u.Size, Cause: err}
		}
	}
}

// takeUpload makes an image of a file that was sent.
func (s *Store) takeUpload(ctx context.Context, j *job) (registry.Image, error) {
	sum, err := hex.DecodeString(j.ask.Source.SHA256)
	if err != nil {
		return registry.Image{}, err
	}
	origin, err := s.check(ctx, j, expected{sum, "sha256"})
	if errors.Is(err, errSum) {
		err = errors.Join(err, dropFile(j.dir))
	}
	if err != nil {
		return registry.Image{}, err
	}
	return s.convertFile(ctx, j, origin)
}
