package store

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"dragonfly/registry"
)

func TestUpload(t *testing.T) {
	raw := disk(t)
	dir := t.TempDir()
	s, stop := started(t, dir)
	u := registry.ImageUpload{SHA256: strings.ToUpper(hexSum(raw)), Size: int64(len(raw)), Title: "disk.raw", Format: "raw"}
	if _, err := s.Uploaded(u.SHA256); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("before: %v", err)
	}
	// The connection breaks after 1 MiB, and the server is started again.
	broken := io.MultiReader(bytes.NewReader(raw[:1<<20]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := s.Upload(t.Context(), u, broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	stop()
	s, _ = started(t, dir)
	job, err := s.Uploaded(u.SHA256)
	if err != nil || job.State != registry.ImageJobReceiving || job.Progress.Done != 1<<20 || job.Progress.Total != u.Size {
		t.Fatalf("%+v, %v", job, err)
	}
	if _, err := s.Upload(t.Context(), u, bytes.NewReader(raw)); err == nil || !strings.Contains(err.Error(), "offset=1048576") {
		t.Errorf("from the start again: %v", err)
	}
	// A part, and the rest.
	u.Offset = 1 << 20
	if job, err = s.Upload(t.Context(), u, bytes.NewReader(raw[1<<20:5<<20])); err != nil || job.State != registry.ImageJobReceiving {
		t.Fatalf("%+v, %v", job, err)
	}
	u.Offset = 5 << 20
	if job, err = s.Upload(t.Context(), u, bytes.NewReader(raw[5<<20:])); err != nil || job.State.Ended() && job.State != registry.ImageJobSucceeded {
		t.Fatalf("%+v, %v", job, err)
	}
	if job = s.end(t, job.ID); job.State != registry.ImageJobSucceeded {
		t.Fatalf("%+v", job)
	}
	image, err := s.Get(job.Image)
	if err != nil || !bytes.Equal(s.raw(t, image), raw) || image.Title != "disk.raw" || image.Origins[0].URL != "" || image.Origins[0].Checked != "sha256" {
		t.Errorf("%+v, %v", image, err)
	}
	// What is there already is not read again.
	if job, err = s.Upload(t.Context(), u, iotest.ErrReader(errors.New("it was read"))); err != nil || job.Image != image.Name {
		t.Errorf("%+v, %v", job, err)
	}
	if job, err = s.Uploaded(u.SHA256); err != nil || job.State != registry.ImageJobSucceeded || job.Image != image.Name {
		t.Errorf("%+v, %v", job, err)
	}
	if rest := leftovers(t, s); len(rest) > 0 {
		t.Errorf("left over: %v", rest)
	}
}

func TestUploadRefuses(t *testing.T) {
	raw := disk(t)
	s, _ := started(t, t.TempDir())
	good := registry.ImageUpload{SHA256: hexSum(raw), Size: int64(len(raw))}
	for pointer, edit := range map[string]func(*registry.ImageUpload){
		"/sha256": func(u *registry.ImageUpload) { u.SHA256 = "../../x" },
		"/size":   func(u *registry.ImageUpload) { u.Size = 0 },
		"/offset": func(u *registry.ImageUpload) { u.Offset = u.Size + 1 },
		"/format": func(u *registry.ImageUpload) { u.Format = "iso" },
		"/title":  func(u *registry.ImageUpload) { u.Title = "a\x00b" },
	} {
		u := good
		edit(&u)
		_, err := s.Upload(t.Context(), u, bytes.NewReader(raw))
		if invalid, ok := errors.AsType[*registry.InvalidError](err); !ok || invalid.Fields[0].Pointer != pointer {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	endless := good
	if endless.Size = math.MaxInt64; endless.Validate() == nil {
		t.Error("a file without end was accepted")
	}
	s.cfg.Reserve = 1 << 20
	if _, full := errors.AsType[*registry.SpaceError](s.room(math.MaxInt64)); !full {
		t.Error("there is room for everything")
	}
	if rest := leftovers(t, s); len(rest) > 0 {
		t.Errorf("left over: %v", rest)
	}
	long := good
	long.Size = 1 << 20
	if _, err := s.Upload(t.Context(), long, bytes.NewReader(raw)); err == nil || !strings.Contains(err.Error(), "more than the 1048576 bytes") {
		t.Error(err)
	}
	if _, err := s.Upload(t.Context(), good, bytes.NewReader(nil)); err == nil || !strings.Contains(err.Error(), "has 1048576 bytes, as was said before") {
		t.Errorf("another size: %v", err)
	}
}

// What is sent while the last part arrives, and has its turn after it, does not begin
// the work on the file once more.
func TestTheLastPartTwice(t *testing.T) {
	raw := disk(t)
	s, _ := started(t, t.TempDir())
	u := registry.ImageUpload{SHA256: hexSum(raw), Size: int64(len(raw)), Format: "raw"}
	j, err := s.uploadJob(u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.arrive(j, u, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	u.Offset = u.Size // as the other one would be told, by the same job
	if job, err := s.arrive(j, u, strings.NewReader("")); err == nil && job.State == registry.ImageJobReceiving {
		t.Errorf("%+v", job)
	}
	if job := s.end(t, j.id); job.State != registry.ImageJobSucceeded {
		t.Errorf("%+v", job)
	}
	if n := len(s.queue); n > 0 {
		t.Errorf("%d more are queued", n)
	}
}

// A file that is not the one that was named is refused and not kept.
func TestUploadOfAnotherFile(t *testing.T) {
	raw := disk(t)
	s, _ := started(t, t.TempDir())
	u := registry.ImageUpload{SHA256: hexSum([]byte("another")), Size: int64(len(raw))}
	for range 2 { // the second time as well
		job, err := s.Upload(t.Context(), u, bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if job = s.end(t, job.ID); job.State != registry.ImageJobFailed || !strings.Contains(job.Reason, "not the one that was expected") {
			t.Errorf("%+v", job)
		}
		if files, err := filepath.Glob(filepath.Join(s.cfg.Dir, workDir, "*", fileName)); err != nil || len(files) > 0 {
			t.Errorf("%v, %v", files, err)
		}
	}
}

// One that is cancelled while it arrives leaves nothing.
func TestCancelUpload(t *testing.T) {
	raw := disk(t)
	s, _ := started(t, t.TempDir())
	r, w := io.Pipe()
	result := make(chan error, 1)
	u := registry.ImageUpload{SHA256: hexSum(raw), Size: int64(len(raw))}
	go func() {
		_, err := s.Upload(t.Context(), u, r)
		r.Close()
		result <- err
	}()
	if _, err := w.Write(raw[:1<<20]); err != nil {
		t.Fatal(err)
	}
	job := s.Jobs()[0]
	if _, err := s.Upload(t.Context(), u, bytes.NewReader(raw)); err == nil || !strings.Contains(err.Error(), "being sent already") {
		t.Errorf("two at once: %v", err)
	}
	cancelled := make(chan error, 1)
	go func() { cancelled <- s.Cancel(t.Context(), job.ID) }()
	s.mu.Lock()
	j := s.jobs[job.ID]
	s.mu.Unlock()
	<-j.ctx.Done()
	for range 8 { // until it is seen
		if _, err := w.Write(raw[:1<<20]); err != nil {
			break
		}
	}
	w.Close()
	if err := <-result; err == nil {
		t.Error("it goes on")
	}
	if err := <-cancelled; err != nil {
		t.Error(err)
	}
	if rest := leftovers(t, s); len(rest) > 0 {
		t.Errorf("left over: %v", rest)
	}
	if _, err := os.Stat(filepath.Join(s.cfg.Dir, workDir, job.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
