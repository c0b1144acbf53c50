package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// mirror serves a disk, by halves: what is behind the middle comes once it is let go.
type mirror struct {
	*httptest.Server
	raw     []byte
	release chan struct{}
	resumed atomic.Bool // a request has asked for what is behind the middle
}

func newMirror(t *testing.T) *mirror {
	m := &mirror{raw: rawDisk(), release: make(chan struct{})}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case q.URL.Path == "/SHA256SUMS":
			fmt.Fprintf(w, "%s  disk.raw\n", sumText(m.raw))
			return
		case q.URL.Path != "/disk.raw":
			http.NotFound(w, q)
			return
		}
		half := int64(len(m.raw) / 2)
		body := &gated{ReadSeeker: bytes.NewReader(m.raw), until: half, release: m.release, gone: q.Context().Done()}
		if q.Header.Get("Range") != "" {
			m.resumed.Store(true)
		}
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, q, "", time.Time{}, body)
	}))
	t.Cleanup(m.Close)
	return m
}

// gated is a file whose second half waits.
type gated struct {
	io.ReadSeeker
	until         int64
	release, gone <-chan struct{}
}

func (g *gated) Read(p []byte) (int, error) {
	at, err := g.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if at < g.until {
		return g.ReadSeeker.Read(p[:min(int64(len(p)), g.until-at)])
	}
	select {
	case <-g.release:
	case <-g.gone:
		return 0, io.ErrUnexpectedEOF
	}
	return g.ReadSeeker.Read(p)
}

// system is an operating system with the image of a mirror.
func (m *mirror) system(id, file string) registry.OS {
	return registry.OS{ID: id, Name: "Far " + id, Template: "plain-image", FirstBoot: registry.FirstBootNone, Images: map[string]registry.OSImage{
		"amd64": {URL: m.URL + file, Sums: m.URL + "/SHA256SUMS", Format: "raw"}}}
}

// becomes asks for a deployment until it is as wanted.
func becomes(t *testing.T, client *api.Client, id string, want func(api.Deployment) bool) api.Deployment {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, err := client.Deployment(t.Context(), id)
		if err == nil && want(d) {
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("deployment %+v, %v", d, err)
		}
	}
}

// A deployment whose image is missing has it fetched: that is told, goes on over a
// restart of the server, and then the machine's turn comes.
func TestDeployFetchesItsImage(t *testing.T) {
	mirror := newMirror(t)
	r := start(t, testConfig(t))
	defer func() { r.end(t) }()
	_, m := r.rack(t, 1, 100e9)
	if _, err := r.client().PutOS(t.Context(), mirror.system("far", "/disk.raw")); err != nil {
		t.Fatal(err)
	}
	if out := r.run(t, "", "os", "list"); !strings.Contains(out, "amd64 missing") {
		t.Errorf("the catalogue says %q", out)
	}
	out := r.run(t, "", "deploy", m.Name, "--os", "far", "--yes")
	id, _, _ := strings.Cut(out, " ")
	if !strings.Contains(out, " "+m.Name+" pending: waiting for its image") {
		t.Errorf("deploy says %q", out)
	}
	halfway := func(d api.Deployment) bool {
		return d.Image != nil && strings.HasPrefix(d.Image.Line, "fetching, 50 %")
	}
	d := becomes(t, r.client(), id, halfway)
	if d.State != registry.DeploymentPending || d.Image.URL != mirror.URL+"/disk.raw" || d.Image.Job.Progress.Done != 5<<19 {
		t.Errorf("halfway: %+v", d)
	}
	if out := r.run(t, "", "deployment", "show", id); !strings.Contains(out, "waiting for its image: fetching, 50 %") {
		t.Errorf("show says %s", out)
	}
	if _, page := r.get(t, "/deployments/"+id); !strings.Contains(page, "waiting for its image") || !strings.Contains(page, "fetching, 50 %") {
		t.Errorf("the page says %s", page)
	}
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "dragonfly_deployments_awaiting_images 1\n") {
		t.Error("the metrics do not have it")
	}
	r.end(t)
	r = start(t, r.cfg)
	becomes(t, r.client(), id, halfway)
	close(mirror.release)
	d = becomes(t, r.client(), id, func(d api.Deployment) bool { return d.State == registry.DeploymentWaiting })
	if !mirror.resumed.Load() || d.Image != nil {
		t.Errorf("it began anew: %+v", d)
	}
	list, err := r.client().Images(t.Context())
	if err != nil || len(list.Images) != 1 {
		t.Fatalf("images %+v, %v", list, err)
	}
	_, text := r.get(t, "/api/v1/deployments/"+id+"/template")
	if want := r.url + "/boot/images/" + list.Images[0].Name + ".img.zst"; !strings.Contains(text, want) {
		t.Errorf("the template has no %s: %s", want, text)
	}
	if out := r.run(t, "", "os", "list"); !strings.Contains(out, "amd64 local") {
		t.Errorf("the catalogue says %q", out)
	}
}

// A deployment whose image does not come fails with the reason, and its machine stays
// what it was.
func TestDeployWithoutItsImage(t *testing.T) {
	mirror := newMirror(t)
	defer close(mirror.release)
	r := start(t, testConfig(t))
	defer r.end(t)
	_, m := r.rack(t, 1, 100e9)
	for file, c := range map[string]struct {
		meanwhile func(d api.Deployment)
		want      string
	}{
		"/nothing.raw": {func(api.Deployment) {}, `/SHA256SUMS: it has no SHA-256 or SHA-512 sum of "nothing.raw"`},
		"/disk.raw": {func(d api.Deployment) {
			if err := r.client().CancelImageJob(t.Context(), d.Image.Job.ID); err != nil {
				t.Error(err)
			}
		}, "it was cancelled"},
	} {
		if _, err := r.client().PutOS(t.Context(), mirror.system("far", file)); err != nil {
			t.Fatal(err)
		}
		reply, err := r.client().Deploy(t.Context(), m.ID, registry.DeployRequest{OS: "far"}, false)
		if err != nil {
			t.Fatal(err)
		}
		c.meanwhile(becomes(t, r.client(), reply.Deployment.ID, func(d api.Deployment) bool { return d.Image != nil && d.Image.Job != nil || d.State.Ended() }))
		d := becomes(t, r.client(), reply.Deployment.ID, func(d api.Deployment) bool { return d.State.Ended() })
		if d.State != registry.DeploymentFailed || !strings.Contains(d.Reason, c.want) || !strings.HasSuffix(d.Reason, "; nothing was begun") {
			t.Errorf("%s: %s, %q; want %q", file, d.State, d.Reason, c.want)
		}
		if now, err := r.client().Machine(t.Context(), m.ID); err != nil || now.State != registry.Ready {
			t.Errorf("%s: the machine is %s, %v", file, now.State, err)
		}
	}
}
