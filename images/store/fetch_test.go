package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/registry"
)

// fickle serves a file as badly as it is told to. Each entry of script is for one
// request; after the last one it serves well.
type fickle struct {
	body   []byte
	script []func(w http.ResponseWriter, r *http.Request, f *fickle)
	etag   string

	mu     sync.Mutex
	asked  []string // the ranges
	ranges []string // the If-Ranges
}

func (f *fickle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := len(f.asked)
	f.asked = append(f.asked, r.Header.Get("Range"))
	f.ranges = append(f.ranges, r.Header.Get("If-Range"))
	f.mu.Unlock()
	if n < len(f.script) {
		f.script[n](w, r, f)
		return
	}
	f.well(w, r)
}

func (f *fickle) well(w http.ResponseWriter, r *http.Request) {
	if f.etag != "" {
		w.Header().Set("ETag", f.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// cutAfter breaks the connection after that many bytes of what was asked for.
func cutAfter(n int64) func(http.ResponseWriter, *http.Request, *fickle) {
	return func(w http.ResponseWriter, r *http.Request, f *fickle) {
		f.well(&cutter{w, n}, r)
	}
}

type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(int64(len(p)), c.left)])
	if c.left -= int64(n); c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func status(code int) func(http.ResponseWriter, *http.Request, *fickle) {
	return func(w http.ResponseWriter, _ *http.Request, _ *fickle) { w.WriteHeader(code) }
}

// changeTo has another file from now on.
func changeTo(body []byte, etag string) func(http.ResponseWriter, *http.Request, *fickle) {
	return func(w http.ResponseWriter, r *http.Request, f *fickle) {
		f.body, f.etag = body, etag
		f.well(w, r)
	}
}

func TestFetchGoesOn(t *testing.T) {
	raw := disk(t)
	other := bytes.Clone(raw)
	other[len(other)-5] ^= 1
	type script = []func(http.ResponseWriter, *http.Request, *fickle)
	for _, c := range []struct {
		name   string
		script script
		etag   string
		want   []byte
		sum    bool // is it told to the import?
		asked  string
	}{
		{"cut three times", script{cutAfter(1 << 20), cutAfter(1 << 20), cutAfter(3 << 20)}, `"v1"`, raw, false,
			"[ bytes=1048576- bytes=2097152- bytes=5242880-]"},
		{"trouble of the server", script{status(503), cutAfter(2 << 20), status(500), status(429)}, `"v1"`, raw, false,
			"[  bytes=2097152- bytes=2097152- bytes=2097152-]"},
		{"another version", script{cutAfter(1 << 20), changeTo(other, `"v2"`)}, `"v1"`, other, false, "[ bytes=1048576-]"},
		{"no way to tell versions", script{cutAfter(1 << 20)}, "", raw, false, "[ ]"},
		{"a weak way to tell versions", script{cutAfter(1 << 20)}, `W/"v1"`, raw, false, "[ ]"},
		{"no way to tell versions, but a sum", script{cutAfter(1 << 20)}, "", raw, true, "[ bytes=1048576-]"},
		{"another file under way, found by its sum", script{cutAfter(1 << 20), changeTo(other, ""), changeTo(raw, "")}, "", raw, true,
			"[ bytes=1048576- ]"},
		{"ranges are ignored", script{cutAfter(1 << 20), func(w http.ResponseWriter, r *http.Request, f *fickle) {
			r.Header.Del("Range")
			f.well(w, r)
		}}, `"v1"`, raw, false, "[ bytes=1048576-]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fickle{body: raw, script: c.script, etag: c.etag}
			server := httptest.NewServer(f)
			defer server.Close()
			s, _ := started(t, t.TempDir())
			src := registry.ImageSource{URL: server.URL + "/x"}
			if c.sum {
				src.SHA256 = hexSum(c.want)
			}
			image := s.imported(t, src)
			if !bytes.Equal(s.raw(t, image), c.want) {
				t.Error("another disk is in the image")
			}
			if asked := fmt.Sprint(f.asked); asked != c.asked {
				t.Errorf("asked for %s, want %s", asked, c.asked)
			}
		})
	}
}

func TestFetchGivesUp(t *testing.T) {
	raw := disk(t)
	hanging := func(w http.ResponseWriter, r *http.Request, f *fickle) {
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	type script = []func(http.ResponseWriter, *http.Request, *fickle)
	for _, c := range []struct {
		name   string
		script script
		src    registry.ImageSource
		words  string
		asked  int
	}{
		{"not there", script{status(404)}, registry.ImageSource{}, "404 Not Found", 1},
		{"not allowed", script{status(403)}, registry.ImageSource{}, "403 Forbidden", 1},
		{"never well", script{status(500), status(500), status(500)}, registry.ImageSource{}, "500 Internal Server Error; tried 3 times", 3},
		{"hangs", script{hanging, hanging, hanging}, registry.ImageSource{}, "nothing came for", 3},
		{"another file", nil, registry.ImageSource{SHA256: strings.Repeat("1", 64)}, "the file is not the one that was expected", 1},
		{"the same, in pieces", script{cutAfter(1 << 20)}, registry.ImageSource{SHA256: strings.Repeat("1", 64)}, "the file is not the one that was expected", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fickle{body: raw, script: c.script, etag: `"v1"`}
			server := httptest.NewServer(f)
			defer server.Close()
			s, _ := started(t, t.TempDir(), func(s *Store) {
				if c.name == "hangs" {
					s.patience.stall = 50 * time.Millisecond
				}
			})
			c.src.URL = server.URL + "/x"
			s.refused(t, c.src, c.words)
			if len(f.asked) != c.asked {
				t.Errorf("asked %d times, want %d", len(f.asked), c.asked)
			}
		})
	}
}

// Servers that do not answer hold up nobody else, however many of them there are.
func TestFetchLeavesItsPlace(t *testing.T) {
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer away.Close()
	s, _ := started(t, t.TempDir(), func(s *Store) { s.patience.wait = func(int) time.Duration { return time.Hour } })
	for n := range 2 * maxFetches {
		if _, err := s.Import(t.Context(), registry.ImageSource{URL: fmt.Sprintf("%s/%d", away.URL, n)}); err != nil {
			t.Fatal(err)
		}
	}
	for {
		stuck := slices.DeleteFunc(s.Jobs(), func(j registry.ImageJob) bool { return !strings.Contains(j.Reason, "503") })
		if len(stuck) == 2*maxFetches {
			break
		}
		time.Sleep(time.Millisecond)
	}
	url, _ := serve(t, disk(t))
	s.imported(t, registry.ImageSource{URL: url})
	for _, j := range s.Jobs() {
		if j.State == registry.ImageJobRunning && !strings.Contains(j.Reason, "503") {
			t.Errorf("%s: %s, %q", j.URL, j.State, j.Reason)
		}
	}
}

// An import whose process is killed goes on in the next one, from what is on the
// disk. One that was never begun counts for nothing.
func TestImportOutlivesTheProcess(t *testing.T) {
	raw := disk(t)
	reached, hold := make(chan bool), make(chan bool)
	f := &fickle{body: raw, etag: `"v1"`, script: []func(http.ResponseWriter, *http.Request, *fickle){
		func(w http.ResponseWriter, r *http.Request, f *fickle) {
			w.Header().Set("ETag", f.etag)
			w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
			_, _ = w.Write(raw[:5<<20])
			_ = http.NewResponseController(w).Flush()
			close(reached)
			<-hold
		}}}
	server := httptest.NewServer(f)
	defer server.Close()
	defer close(hold)
	dir := t.TempDir()
	first, _ := started(t, dir)
	job, err := first.Import(t.Context(), registry.ImageSource{URL: server.URL + "/x", Title: "a disk"})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	// All that came is read, and what of it is to be noted is.
	for at := (fetched{}); at.Synced <= 4<<20 || first.Jobs()[0].Progress.Done < 5<<20; time.Sleep(time.Millisecond) {
		if err := readJSON(filepath.Join(dir, workDir, job.ID, fetchedName), &at); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	// What a process that is killed leaves is what is in the directory now.
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if images, err := filepath.Glob(filepath.Join(left, "*")); err != nil || len(images) != 1 {
		t.Errorf("%v, %v", images, err)
	}
	second, _ := started(t, left)
	if done := second.end(t, job.ID); done.State != registry.ImageJobSucceeded || done.Title != "a disk" {
		t.Fatalf("%+v", done)
	}
	image := second.List()[0]
	if !bytes.Equal(second.raw(t, image), raw) {
		t.Error("another disk is in the image")
	}
	if rest := leftovers(t, second); len(rest) > 0 {
		t.Errorf("left over: %v", rest)
	}
	from := int64(0) // behind what was synced: less than 1 MiB before the last read, which is of 1 MiB at most
	if _, err := fmt.Sscanf(f.asked[1], "bytes=%d-", &from); err != nil || from < 3<<20 || from > 5<<20 {
		t.Errorf("the second process asks for %q, %v", f.asked[1], err)
	}
}

// A conversion that is killed leaves nothing that counts, and is done anew from the
// file that was fetched.
func TestConversionOutlivesTheProcess(t *testing.T) {
	raw := disk(t)
	url, sent := serve(t, raw)
	dir := t.TempDir()
	first, stop := started(t, dir, func(s *Store) { s.converting <- struct{}{} }) // somebody else converts
	job, err := first.Import(t.Context(), registry.ImageSource{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	for now := first.Jobs()[0]; now.Progress.Stage != "checking" || now.State != registry.ImageJobWaiting; now = first.Jobs()[0] {
		time.Sleep(time.Millisecond)
	}
	stop()
	// As if it had been killed in the middle of writing.
	half := filepath.Join(dir, workDir, job.ID, imageName)
	if err := os.WriteFile(half, raw[:100000], 0o600); err != nil {
		t.Fatal(err)
	}
	second, _ := started(t, dir)
	if done := second.end(t, job.ID); done.State != registry.ImageJobSucceeded {
		t.Fatalf("%+v", done)
	}
	if !bytes.Equal(second.raw(t, second.List()[0]), raw) || sent.Load() != int64(len(raw)) {
		t.Errorf("%d bytes were fetched of %d", sent.Load(), len(raw))
	}
}

// A failed import says why after a restart too, and can be tried again.
func TestFailureOutlivesTheProcess(t *testing.T) {
	f := &fickle{body: disk(t), script: []func(http.ResponseWriter, *http.Request, *fickle){status(404)}}
	server := httptest.NewServer(f)
	defer server.Close()
	dir := t.TempDir()
	s, stop := started(t, dir)
	src := registry.ImageSource{URL: server.URL + "/x"}
	s.refused(t, src, "404")
	stop()
	s, _ = started(t, dir)
	jobs := s.Jobs()
	if len(jobs) != 1 || jobs[0].State != registry.ImageJobFailed || !strings.Contains(jobs[0].Reason, "404") {
		t.Fatalf("%+v", jobs)
	}
	s.imported(t, src)
}

func TestCancel(t *testing.T) {
	began, hold := make(chan bool, 1), make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10000000")
		_, _ = w.Write(make([]byte, 1<<20))
		_ = http.NewResponseController(w).Flush()
		began <- true
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hold)
	s, _ := started(t, t.TempDir())
	job, err := s.Import(t.Context(), registry.ImageSource{URL: server.URL + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	if err := s.Cancel(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if rest := leftovers(t, s); len(rest) > 0 || len(s.Jobs()) > 0 {
		t.Errorf("left over: %v, %v", rest, s.Jobs())
	}
	if err := s.Cancel(t.Context(), job.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
}

// A file system that is too full is seen before anything is written, and again
// while it is.
func TestFullDisk(t *testing.T) {
	url, _ := serve(t, disk(t))
	s, _ := started(t, t.TempDir(), func(s *Store) { s.cfg.Reserve = 1 << 60 })
	s.refused(t, registry.ImageSource{URL: url}, "make room", "dragonfly image gc")
	if rest, err := filepath.Glob(filepath.Join(s.cfg.Dir, workDir, "*", fileName)); err != nil || len(rest) != 1 {
		t.Errorf("%v, %v", rest, err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	to := &careful{store: s, file: file}
	n, err := io.Copy(struct{ io.Writer }{to}, bytes.NewReader(make([]byte, 2*checkEvery)))
	if _, full := errors.AsType[*registry.SpaceError](err); !full || n >= 2*checkEvery {
		t.Errorf("%d bytes, %v", n, err)
	}
	// Room again: it goes on.
	s.cfg.Reserve = 0
	s.imported(t, registry.ImageSource{URL: url})
}

func TestRedirects(t *testing.T) {
	raw := disk(t)
	plain, _ := serve(t, raw)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain, http.StatusFound)
	}))
	defer secure.Close()
	s, _ := started(t, t.TempDir(), func(s *Store) { s.client = secure.Client() })
	s.refused(t, registry.ImageSource{URL: secure.URL}, "redirects from https to http")
	s.refused(t, registry.ImageSource{URL: plain, Sums: secure.URL + "/sums"}, "redirects from https to http")
	s.imported(t, registry.ImageSource{URL: secure.URL, SHA256: hexSum(raw)})
}

// Where it must not go is not asked for again and again.
func TestForbidden(t *testing.T) {
	elsewhere, dials := httptest.NewServer(http.RedirectHandler("file:///etc/passwd", http.StatusFound)), 0
	defer elsewhere.Close()
	s, _ := started(t, t.TempDir(), func(s *Store) { s.patience = patient })
	s.refused(t, registry.ImageSource{URL: elsewhere.URL}, "redirects to file:///etc/passwd, which is not fetched from")
	s.client = newClient(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, registry.ErrForbidden
	}})
	s.refused(t, registry.ImageSource{URL: "http://169.254.169.254/latest"}, registry.ErrForbidden.Error())
	if dials != 1 {
		t.Errorf("dialled %d times", dials)
	}
}

func TestParseContentRange(t *testing.T) {
	for text, want := range map[string][3]int64{"bytes 5-9/10": {5, 10, 1}, "bytes 0-0/1": {0, 1, 1}, "bytes 5-9/*": {5, 0, 1},
		"": {}, "bytes": {}, "bytes */10": {}, "bytes 5-9": {}, "items 5-9/10": {}, "bytes 9-5/4": {}, "bytes x-9/10": {}} {
		start, total, ok := parseContentRange(text)
		if ok != (want[2] == 1) || ok && (start != want[0] || total != want[1]) {
			t.Errorf("%q: %d %d %v", text, start, total, ok)
		}
	}
}

// What was imported for deployments alone ends with them; what somebody has asked for
// beside that goes on, over a restart too.
func TestUnwanted(t *testing.T) {
	hold := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hold)
	dir := t.TempDir()
	s, stop := started(t, dir)
	lent, kept := registry.ImageSource{URL: server.URL + "/lent"}, registry.ImageSource{URL: server.URL + "/kept"}
	for _, src := range []registry.ImageSource{lent, kept} {
		if _, err := s.ImportFor(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Import(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ImportFor(t.Context(), kept); err != nil { // by another deployment
		t.Fatal(err)
	}
	stop()
	s, _ = started(t, dir)
	for _, src := range []registry.ImageSource{lent, kept, {URL: server.URL + "/none"}} {
		if err := s.Unwanted(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	if jobs := s.Jobs(); len(jobs) != 1 || jobs[0].URL != kept.URL || jobs[0].State.Ended() {
		t.Errorf("what goes on is %+v; want %s", jobs, kept.URL)
	}
}
