package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/images/store"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

// rawDisk is a disk of 5 MiB with a hole in it.
func rawDisk() []byte {
	raw := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{3}).Read(raw[:100<<10])
	copy(raw[len(raw)-512:], "the last sector")
	return raw
}

func sumText(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// A file on a USB stick becomes an image that machines fetch, is verified, kept as
// long as an operating system is installed from it, and deleted, all by the command
// line; and the audit log says who did it.
func TestImagesByCommandLine(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	raw := rawDisk()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := r.cli(t, "", "image", "import", path)
	name := strings.TrimSpace(out)
	if code != 0 || len(name) != 64 {
		t.Fatalf("import: %d %q %q", code, out, errs)
	}
	if code, again, errs := r.cli(t, "", "image", "import", path); code != 0 || again != out {
		t.Errorf("import again: %d %q %q", code, again, errs)
	}
	status, packed := r.get(t, store.Path+name+".img.zst")
	decoder, err := zstd.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	if got, err := io.ReadAll(decoder); status != http.StatusOK || err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d, %d bytes, %v", status, len(got), err)
	}
	var metrics string
	err = waitFor(t.Context(), func() bool { // what was sent is counted when the kernel has all of it
		_, metrics = r.get(t, "/metrics")
		return strings.Contains(metrics, fmt.Sprintf("dragonfly_image_bytes_sent_total %v", float64(len(packed))))
	})
	if err != nil || !strings.Contains(metrics, "dragonfly_images 1\n") || !strings.Contains(metrics, `dragonfly_image_jobs{state="succeeded"} 1`) {
		t.Errorf("metrics: %s", metrics)
	}
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"image", "list"}, 0, "disk.raw  5 MiB"},
		{[]string{"image", "list", "-o", "wide"}, 0, "good"},
		{[]string{"image", "list", "-o", "name"}, 0, name + "\n"},
		{[]string{"image", "jobs"}, 0, "upload  succeeded  disk.raw"},
		{[]string{"image", "verify", name[:8]}, 0, name},
		{[]string{"image", "list"}, 0, "good, verified"},
		{[]string{"image", "verify", "000000"}, exitNotFound, "dragonfly image list"},
		{[]string{"image", "add", "ftp://example.org/x"}, exitError, "want a URL that begins with http"},
		{[]string{"image", "add", "http://127.0.0.1:1/x", "--key", path}, exitError, "too large for a key"},
		{[]string{"image", "import", filepath.Dir(path)}, exitError, "it is not a file"},
		{[]string{"image", "delete", name}, exitUsage, "--yes"},
		{[]string{"image", "gc", "--dry-run"}, 0, "disk.raw"},
		{[]string{"image", "gc", "--yes"}, 0, "were freed"},
		{[]string{"image", "list", "-o", "name"}, 0, ""},
		{[]string{"audit"}, 0, "image.gc"},
		{[]string{"audit"}, 0, "image.upload"},
	} {
		code, out, errs := r.cli(t, "", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.words) {
			t.Errorf("%v: %d %s %s, want %d %q", c.args, code, out, errs, c.code, c.words)
		}
	}
	if status, _ := r.get(t, store.Path+name+".img.zst"); status != http.StatusNotFound {
		t.Errorf("a deleted image is served: %d", status)
	}
}

// The server fetches an image; a failure has the reason, and the exit code of one.
func TestImageAdd(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	raw := rawDisk()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/disk.raw":
			http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(raw))
		case "/SHA256SUMS":
			fmt.Fprintf(w, "%s *disk.raw\n", sumText(raw))
		default:
			http.NotFound(w, q)
		}
	}))
	defer mirror.Close()
	code, out, errs := r.cli(t, "", "image", "add", mirror.URL+"/disk.raw", "--sums", mirror.URL+"/SHA256SUMS", "--format", "raw")
	if code != 0 || len(strings.TrimSpace(out)) != 64 {
		t.Fatalf("%d %q %q", code, out, errs)
	}
	for words, args := range map[string][]string{
		"404 Not Found":                         {mirror.URL + "/other.raw"},
		"is not the one that was expected":      {mirror.URL + "/disk.raw", "--sha256", strings.Repeat("0", 64)},
		"it is raw, and not qcow2":              {mirror.URL + "/disk.raw", "--format", "qcow2"},
		"it is raw, and not raw.xz as it is sa": {mirror.URL + "/disk.raw", "--format", "raw.xz"},
	} {
		if code, out, errs := r.cli(t, "", append([]string{"image", "add"}, args...)...); code != exitError || !strings.Contains(errs, words) {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
	code, out, _ = r.cli(t, "", "image", "jobs", "-o", "json")
	var jobs []registry.ImageJob
	if err := json.Unmarshal([]byte(out), &jobs); err != nil || code != 0 || len(jobs) != 5 {
		t.Fatalf("%d, %v, %s", code, err, out)
	}
	for _, job := range jobs {
		if code, _, errs := r.cli(t, "", "image", "cancel", job.ID); code != 0 {
			t.Errorf("forget %s: %d %s", job.ID, code, errs)
		}
	}
	if list, err := r.client().Images(t.Context()); err != nil || len(list.Jobs) != 0 || len(list.Images) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// client speaks to the appliance from this host.
func (r *rig) client() *api.Client { return &api.Client{Base: r.url} }

// needing is what images are needed for.
type needing struct {
	systems     []registry.OS
	deployments []registry.Deployment
}

func (n needing) OSes(context.Context) ([]registry.OS, error) { return n.systems, nil }

func (n needing) Deployments(_ context.Context, q registry.DeploymentQuery) (found []registry.Deployment, err error) {
	for _, d := range n.deployments {
		if slices.Contains(q.States, d.State) {
			found = append(found, d)
		}
	}
	return found, nil
}

// An image that an operating system of the catalogue is installed from stays, and one
// that a machine has yet to fetch, or the rest of.
func TestImageInUse(t *testing.T) {
	image := registry.Image{Name: "abc", Origins: []registry.ImageOrigin{{URL: "http://a/old", SHA256: "11"}, {URL: "http://a/x", SHA256: "aa"}}}
	system := func(file registry.OSImage) needing {
		return needing{systems: []registry.OS{{ID: "debian-12", Images: map[string]registry.OSImage{"amd64": file}}}}
	}
	deployment := func(state registry.DeploymentState, path string, awaited registry.ImageSource) needing {
		return needing{deployments: []registry.Deployment{{ID: "d-1", State: state, Stored: path, Image: awaited}}}
	}
	const system12, d1 = "operating system debian-12 (amd64)", "deployment d-1"
	for _, c := range []struct {
		by   needing
		want string
	}{
		{system(registry.OSImage{URL: "http://a/x"}), system12},
		{system(registry.OSImage{URL: "http://b/x", SHA256: "AA"}), system12},
		{system(registry.OSImage{URL: "http://a/x", SHA256: "bb"}), ""}, // there is another version now
		{system(registry.OSImage{URL: "http://a/y"}), ""},
		{system(registry.OSImage{Kernel: "http://a/x"}), ""},
		{deployment(registry.DeploymentRunning, "/boot/images/abc.img.zst", registry.ImageSource{}), d1},
		{deployment(registry.DeploymentWaiting, "/boot/images/abc.img.zst", registry.ImageSource{}), d1},
		{deployment(registry.DeploymentPending, "", registry.ImageSource{URL: "http://a/x"}), d1},
		{deployment(registry.DeploymentRunning, "/boot/images/def.img.zst", registry.ImageSource{}), ""},
		{deployment(registry.DeploymentRunning, "", registry.ImageSource{}), ""},
		{deployment(registry.DeploymentVerifying, "/boot/images/abc.img.zst", registry.ImageSource{}), ""}, // it is on the disk
	} {
		if users, err := usersOf(t.Context(), image, c.by); strings.Join(users, ", ") != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c.by, users, err)
		}
	}
}

// An upload may take longer than other requests, as long as something comes.
func TestSlowUpload(t *testing.T) {
	a := unserved(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.images.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	server := httptest.NewServer(hurried(100*time.Millisecond, a.router(http.NotFoundHandler(), denyPlainly)))
	defer server.Close()
	raw := rawDisk()
	r, w := io.Pipe()
	go func() {
		w.Write(raw[:1000])
		time.Sleep(300 * time.Millisecond)
		w.Write(raw[1000:])
		w.Close()
	}()
	u := registry.ImageUpload{SHA256: sumText(raw), Size: int64(len(raw))}
	job, err := (&api.Client{Base: server.URL}).UploadImage(t.Context(), u, r)
	if err != nil || job.State == registry.ImageJobReceiving {
		t.Errorf("%+v, %v", job, err)
	}
}

// Uploads that are no good are refused with the reason, and what is good of them is
// kept.
func TestBadUploads(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	raw := rawDisk()
	put := func(query string, body io.Reader) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.url+"/api/v1/images/uploads/"+sumText(raw)+query, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for query, want := range map[string]string{"?offset=-1": "/offset", "?offset=x": "/offset", "?size=5&offset=6": "/offset", "?format=iso": "/format", "?title=%3Cb%3E": "/title"} {
		if code, text := put(query, bytes.NewReader(raw)); code != http.StatusUnprocessableEntity || !strings.Contains(text, `"in":"query","pointer":"`+want) {
			t.Errorf("%s: %d %s", query, code, text)
		}
	}
	if code, text := put(fmt.Sprintf("?size=%d", len(raw)), bytes.NewReader(raw[:1000])); code != http.StatusAccepted || !strings.Contains(text, `"state":"receiving"`) {
		t.Errorf("a part: %d %s", code, text)
	}
	if code, text := put("", bytes.NewReader(raw)); code != http.StatusConflict || !strings.Contains(text, "offset=1000") {
		t.Errorf("from the start again: %d %s", code, text)
	}
	if code, text := put("?offset=1000&size=1e9", bytes.NewReader(raw[1000:])); code != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", code, text)
	}
	if code, text := put("?offset=1000", bytes.NewReader(raw[1000:])); code != http.StatusAccepted || strings.Contains(text, `"state":"receiving"`) {
		t.Errorf("the rest: %d %s", code, text)
	}
}

// passedFiles is a listener whose connections take note of the files that they are
// given whole, for the kernel to send.
type passedFiles struct {
	net.Listener
	bytes atomic.Int64
}

func (p *passedFiles) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &passedConn{c.(*net.TCPConn), p}, nil
}

type passedConn struct {
	*net.TCPConn
	to *passedFiles
}

func (p *passedConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := p.TCPConn.ReadFrom(r)
	if limited, ok := r.(*io.LimitedReader); ok {
		if _, file := limited.R.(*os.File); file {
			p.to.bytes.Add(n)
		}
	}
	return n, err
}

// Through all that is in front of it, an image and the agent's kernel get to the
// connection as files, for the kernel to send. Only the first 512 bytes do not: net/http
// looks at them.
func TestFilesLeaveBySendfile(t *testing.T) {
	a := unserved(t)
	a.ports = &ports{}
	raw := rawDisk()
	if err := os.WriteFile(filepath.Join(a.cfg.ImageDir, "amd64", "vmlinuz"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.images.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if _, err := a.images.Upload(ctx, registry.ImageUpload{SHA256: sumText(raw), Size: int64(len(raw))}, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(ctx, func() bool { return len(a.images.List()) == 1 }); err != nil {
		t.Fatal(err, a.images.Jobs())
	}
	handler, err := a.routes()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	passed := &passedFiles{Listener: l}
	server := &http.Server{Handler: handler}
	go server.Serve(passed)
	defer server.Close()
	for _, path := range []string{store.Path + a.images.List()[0].Name + ".img.zst", "/boot/amd64/vmlinuz"} {
		passed.bytes.Store(0)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body) // to the end of the connection: it has counted then
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || n < 100<<10 {
			t.Fatalf("%s: %d, %d bytes, %v", path, resp.StatusCode, n, err)
		}
		if err := waitFor(t.Context(), func() bool { return passed.bytes.Load() == n-512 }); err != nil {
			t.Errorf("%s: %d of %d bytes were sent by the kernel", path, passed.bytes.Load(), n)
		}
	}
}

// waitFor waits until something is so.
func waitFor(ctx context.Context, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
