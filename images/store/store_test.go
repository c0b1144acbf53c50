package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/images/frame"
	"dragonfly/registry"
)

// disk is a raw disk of three chunks and a bit, with a hole in it. Most of it is
// quickly packed.
func disk(t testing.TB) []byte {
	t.Helper()
	raw := make([]byte, 3*frame.ChunkSize+frame.SectorSize)
	rand.NewChaCha8([32]byte{7}).Read(raw[:256<<10])
	copy(raw[2*frame.ChunkSize:], "a chunk")
	copy(raw[3*frame.ChunkSize:], "the last sector")
	return raw
}

// small is the beginning of such a disk.
func small(t testing.TB) []byte { return disk(t)[:1<<20] }

func hexSum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// started is the store of a directory, which runs until stop is called.
func started(t *testing.T, dir string, edit ...func(*Store)) (s *Store, stop func()) {
	t.Helper()
	s, err := Open(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.patience = patience{tries: 3, wait: func(int) time.Duration { return time.Millisecond }, stall: time.Minute, sync: 1 << 20}
	for _, e := range edit {
		e(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// end waits for a job to end.
func (s *Store) end(t *testing.T, id string) registry.ImageJob {
	t.Helper()
	s.mu.Lock()
	j := s.jobs[id]
	s.mu.Unlock()
	if j == nil {
		t.Fatalf("there is no job %s", id)
	}
	select {
	case <-j.ended:
	case <-time.After(5 * time.Minute):
		t.Fatalf("job %s goes on: %+v", id, j.snapshot())
	}
	return j.snapshot()
}

// imported imports src, and has to succeed.
func (s *Store) imported(t *testing.T, src registry.ImageSource) registry.Image {
	t.Helper()
	job, err := s.Import(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if job = s.end(t, job.ID); job.State != registry.ImageJobSucceeded {
		t.Fatalf("%s: %s", job.State, job.Reason)
	}
	image, err := s.Get(job.Image)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// refused imports src, which has to fail with words in the reason.
func (s *Store) refused(t *testing.T, src registry.ImageSource, words ...string) {
	t.Helper()
	job, err := s.Import(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	job = s.end(t, job.ID)
	for _, want := range words {
		if job.State != registry.ImageJobFailed || !strings.Contains(job.Reason, want) {
			t.Errorf("%s: %s %q, want %q", src.URL, job.State, job.Reason, want)
		}
	}
	if list := s.List(); len(list) > 0 {
		t.Errorf("%s: there is an image: %+v", src.URL, list)
	}
}

// raw is the raw disk that is in an image.
func (s *Store) raw(t *testing.T, image registry.Image) []byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join(s.cfg.Dir, image.Name+imageExt))
	if err != nil {
		t.Fatal(err)
	}
	r, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sent counts the bytes of all bodies. An answer counts when it is over, which may be
// after its client has it.
type sent struct {
	answering sync.RWMutex
	bytes     atomic.Int64
}

func (s *sent) Load() int64 {
	s.answering.Lock()
	defer s.answering.Unlock()
	return s.bytes.Load()
}

// serve serves one file, with an ETag, and counts the bytes of all bodies.
func serve(t *testing.T, body []byte) (url string, out *sent) {
	t.Helper()
	out = &sent{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out.answering.RLock()
		defer out.answering.RUnlock()
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(&meter{ResponseWriter: w, all: &out.bytes}, r, "", time.Time{}, bytes.NewReader(body))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/disk.raw", out
}

// leftovers are the files of a store that are not those of an image.
func leftovers(t *testing.T, s *Store) (names []string) {
	t.Helper()
	err := filepath.WalkDir(s.cfg.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, imageExt) && filepath.Ext(path) != metaExt {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	work, err := os.ReadDir(filepath.Join(s.cfg.Dir, workDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range work {
		names = append(names, d.Name())
	}
	return names
}

func TestImport(t *testing.T) {
	raw := disk(t)
	url, _ := serve(t, raw)
	dir := t.TempDir()
	s, stop := started(t, dir)
	image := s.imported(t, registry.ImageSource{URL: url, SHA256: hexSum(raw), Format: "raw"})
	if got := s.raw(t, image); !bytes.Equal(got, raw) {
		t.Error("another disk is in the image")
	}
	if image.Title != "disk.raw" || image.Format != "raw" || image.Size != int64(len(raw)) || image.SHA256 != hexSum(raw) ||
		image.Data != 2*frame.ChunkSize+frame.SectorSize || image.Packed <= 256<<10 || image.Packed >= image.Size {
		t.Errorf("%+v", image)
	}
	if o := image.Origins[0]; len(image.Origins) != 1 || o.URL != url || o.SHA256 != hexSum(raw) || o.Checked != "sha256" {
		t.Errorf("%+v", image.Origins)
	}
	if rest := leftovers(t, s); len(rest) > 0 {
		t.Errorf("left over: %v", rest)
	}
	stop()
	again, _ := started(t, dir)
	if list := again.List(); len(list) != 1 || !reflect.DeepEqual(list[0], image) {
		t.Errorf("after a restart: %+v, want %+v", list, image)
	}
}

// The same content is one image, whatever it is called.
func TestSameImage(t *testing.T) {
	raw := disk(t)
	first, sent := serve(t, raw)
	second, _ := serve(t, raw)
	s, _ := started(t, t.TempDir())
	a := s.imported(t, registry.ImageSource{URL: first})
	b := s.imported(t, registry.ImageSource{URL: second, Title: "another name"})
	if a.Name != b.Name || len(s.List()) != 1 || len(b.Origins) != 2 || b.Title != a.Title {
		t.Errorf("%+v and %+v", a, b)
	}
	// What has a sum that is known is not fetched.
	before := sent.Load()
	c := s.imported(t, registry.ImageSource{URL: first, SHA256: hexSum(raw)})
	if c.Name != a.Name || sent.Load() != before || c.Origins[len(c.Origins)-1].Checked != "sha256" {
		t.Errorf("%+v, %d bytes were fetched", c, sent.Load()-before)
	}
	for _, src := range []registry.ImageSource{{URL: first}, {URL: second}, {SHA256: strings.ToUpper(hexSum(raw))}} {
		if found, ok := s.Find(src); !ok || found.Name != a.Name {
			t.Errorf("%+v is not found", src)
		}
	}
	for _, src := range []registry.ImageSource{{}, {URL: first + "x"}, {URL: first, SHA256: strings.Repeat("0", 64)}} {
		if found, ok := s.Find(src); ok {
			t.Errorf("%+v is %+v", src, found)
		}
	}
}

// The same disk, packed, is another file: each origin has the sum of its own.
func TestOriginsHaveTheirSums(t *testing.T) {
	raw := disk(t)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	first, _ := serve(t, packed.Bytes())
	second, _ := serve(t, raw)
	s, _ := started(t, t.TempDir())
	s.imported(t, registry.ImageSource{URL: first})
	s.imported(t, registry.ImageSource{URL: second})
	i := s.imported(t, registry.ImageSource{URL: first + "?mirror", SHA256: hexSum(packed.Bytes())})
	if last := i.Origins[len(i.Origins)-1]; len(i.Origins) != 3 || last.SHA256 != hexSum(packed.Bytes()) {
		t.Errorf("%+v", i.Origins)
	}
}

// One URL that many ask for at once is fetched once.
func TestTogether(t *testing.T) {
	raw := disk(t)
	url, sent := serve(t, raw)
	s, _ := started(t, t.TempDir())
	ids := map[string]bool{}
	for range 20 {
		job, err := s.Import(t.Context(), registry.ImageSource{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		ids[job.ID] = true
	}
	for id := range ids {
		s.end(t, id)
	}
	if len(ids) != 1 || sent.Load() != int64(len(raw)) {
		t.Errorf("%d jobs, %d bytes fetched of %d", len(ids), sent.Load(), len(raw))
	}
}

func TestBadSources(t *testing.T) {
	s, _ := started(t, t.TempDir())
	for pointer, src := range map[string]registry.ImageSource{
		"/url":       {URL: "ftp://a/b"},
		"/format":    {URL: "http://a/b", Format: "vmdk"},
		"/sha256":    {URL: "http://a/b", SHA256: "12"},
		"/sums":      {URL: "http://a/b", Sums: "b"},
		"/key":       {URL: "http://a/b", Sums: "http://a/c", Signature: "http://a/d"},
		"/signature": {URL: "http://a/b", Sums: "http://a/c", Key: "k", Signature: "file:///etc/passwd"},
		"/title":     {URL: "http://a/b", Title: "<b>"},
	} {
		_, err := s.Import(t.Context(), src)
		invalid, ok := errors.AsType[*registry.InvalidError](err)
		if !ok || len(invalid.Fields) != 1 || invalid.Fields[0].Pointer != pointer {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	if _, err := s.Import(t.Context(), registry.ImageSource{URL: "http://ana:secret@a/b"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password in the URL: %v", err)
	}
	if jobs := s.Jobs(); len(jobs) > 0 {
		t.Errorf("%+v", jobs)
	}
}

func TestVerifyAndDamage(t *testing.T) {
	raw := disk(t)
	url, _ := serve(t, raw)
	s, _ := started(t, t.TempDir())
	image := s.imported(t, registry.ImageSource{URL: url})
	verify := func() registry.ImageJob {
		t.Helper()
		job, err := s.Verify(t.Context(), image.Name[:minPrefix])
		if err != nil {
			t.Fatal(err)
		}
		return s.end(t, job.ID)
	}
	if job := verify(); job.State != registry.ImageJobSucceeded || job.Progress.Done != image.Size {
		t.Errorf("%+v", job)
	}
	if got, err := s.Get(image.Name); err != nil || got.VerifiedAt.IsZero() || got.Damage != "" {
		t.Errorf("%+v, %v", got, err)
	}
	file, err := os.OpenFile(filepath.Join(s.cfg.Dir, image.Name+imageExt), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("!"), 1000); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if job := verify(); job.State != registry.ImageJobFailed || !strings.Contains(job.Reason, "SHA-256") {
		t.Errorf("%+v", job)
	}
	if got, err := s.Get(image.Name); err != nil || got.Damage == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if rec := ask(s, http.MethodGet, image.Name, nil); rec.Code != http.StatusGone {
		t.Errorf("a damaged image is served: %d", rec.Code)
	}
	if _, ok := s.Find(registry.ImageSource{URL: url}); ok {
		t.Error("a damaged image is found")
	}
	// Importing it again mends it.
	mended := s.imported(t, registry.ImageSource{URL: url, SHA256: hexSum(raw)})
	if mended.Name != image.Name || mended.Damage != "" || !bytes.Equal(s.raw(t, mended), raw) {
		t.Errorf("%+v", mended)
	}
}

func TestDeleteAndGC(t *testing.T) {
	dir := t.TempDir()
	var users []string
	var trouble error
	s, _ := started(t, dir, func(s *Store) {
		s.cfg.Users = func(context.Context, registry.Image) ([]string, error) { return users, trouble }
	})
	url, _ := serve(t, disk(t))
	image := s.imported(t, registry.ImageSource{URL: url})
	users = []string{"operating system debian-12"}
	if _, err := s.Delete(t.Context(), image.Name, false); err == nil || !strings.Contains(err.Error(), users[0]) {
		t.Errorf("one that is needed: %v", err)
	}
	if gone, err := s.GC(t.Context(), false); err != nil || len(gone.Images) != 0 || gone.Bytes != 0 {
		t.Errorf("%+v, %v", gone, err)
	}
	trouble = errors.New("the database is away")
	if gone, err := s.GC(t.Context(), false); !errors.Is(err, trouble) || len(gone.Images) != 0 {
		t.Errorf("in doubt: %+v, %v", gone, err)
	}
	users, trouble = nil, nil
	orphan := filepath.Join(dir, strings.Repeat("ab", 32)+imageExt)
	if err := os.WriteFile(orphan, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	bad, _ := serve(t, []byte("no disk"))
	job, err := s.Import(t.Context(), registry.ImageSource{URL: bad})
	if err != nil {
		t.Fatal(err)
	}
	s.end(t, job.ID)
	gone, err := s.GC(t.Context(), true)
	if err != nil || len(gone.Images) != 1 || gone.Bytes < image.Packed+1000 || len(s.List()) != 1 {
		t.Errorf("dry run: %+v, %v", gone, err)
	}
	if gone, err = s.GC(t.Context(), false); err != nil || len(gone.Images) != 1 || len(s.List()) != 0 || len(s.Jobs()) != 1 {
		t.Errorf("%+v, %v, %+v", gone, err, s.Jobs())
	}
	rest, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if work := leftovers(t, s); err != nil || len(rest) > 0 || len(work) > 0 {
		t.Errorf("left over: %v %v", rest, work)
	}
	if _, err := s.Delete(t.Context(), image.Name, true); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
}

func TestGet(t *testing.T) {
	s, _ := started(t, t.TempDir())
	a, b := strings.Repeat("a", 64), strings.Repeat("a", 63)+"b"
	for _, text := range []string{a, b} {
		name, err := frame.ParseName(text)
		if err != nil {
			t.Fatal(err)
		}
		s.images[name] = registry.Image{Name: text}
	}
	if got, err := s.Get(b); err != nil || got.Name != b {
		t.Error(got, err)
	}
	if _, err := s.Get("aaaaaaa"); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Error(err)
	}
	for _, name := range []string{"", "aaa", "bbbbbbb", "../../etc"} {
		if _, err := s.Get(name); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Files that are no good do not keep the others from being served.
func TestOpenBesideRubbish(t *testing.T) {
	dir := t.TempDir()
	s, stop := started(t, dir)
	url, _ := serve(t, disk(t))
	image := s.imported(t, registry.ImageSource{URL: url})
	stop()
	for name, body := range map[string]string{"notes.json": "{}", strings.Repeat("0", 64) + ".json": "{", strings.Repeat("1", 64) + ".json": `{"name":"x"}`, "lost+found": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, workDir, "i-0"), 0o700); err != nil {
		t.Fatal(err)
	}
	again, stop := started(t, dir)
	if list := again.List(); len(list) != 1 || list[0].Name != image.Name {
		t.Errorf("%+v", list)
	}
	stop()
	if err := os.Truncate(filepath.Join(dir, image.Name+imageExt), 100); err != nil {
		t.Fatal(err)
	}
	cut, _ := started(t, dir)
	if list := cut.List(); len(list) != 1 || list[0].Damage == "" {
		t.Errorf("%+v", list)
	}
}
