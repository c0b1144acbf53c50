package action

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// artifact are the files of a repository that keeps an image: its manifest, and the
// image as the only layer.
func artifact(layer []byte) (manifest []byte, digest string) {
	digest = "sha256:" + sumOf(layer)
	manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:" + sumOf([]byte("{}")), "size": 2},
		"layers": []map[string]any{{"mediaType": "application/octet-stream", "digest": digest, "size": len(layer), "annotations": map[string]string{"org.opencontainers.image.title": "disk.img"}}},
	})
	return manifest, digest
}

// registryFiles is a repository as a registry serves it.
func registryFiles(name, tag string, layer []byte) map[string][]byte {
	m, digest := artifact(layer)
	return map[string][]byte{
		"/v2/" + name + "/manifests/" + tag:                    m,
		"/v2/" + name + "/manifests/sha256:" + sumOf(m):        m,
		"/v2/" + name + "/blobs/" + digest:                     layer,
		"/v2/" + name + "/blobs/sha256:" + sumOf([]byte("{}")): []byte("{}"),
	}
}

func TestOCI2Disk(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 6*mib)
	layer := zstded(t, image)
	disk := newLoop(t, 8*mib, 512)
	var tokens atomic.Int32
	s := newServer(t, registryFiles("images/debian", "12", layer))
	token := ""
	basic := func(r *http.Request) bool {
		user, password, ok := r.BasicAuth()
		return ok && user == "ana" && password == "secret"
	}
	auths := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !basic(r) {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if r.URL.Query().Get("scope") != "repository:images/debian:pull" || r.URL.Query().Get("service") != "lab" {
			http.Error(w, r.URL.RawQuery, http.StatusBadRequest)
			return
		}
		token = fmt.Sprintf("t%d", tokens.Add(1))
		fmt.Fprintf(w, `{"token": %q}`, token)
	}))
	defer auths.Close()
	manifest, _ := artifact(layer)
	host := strings.TrimPrefix(s.URL, "http://")
	open := func(http.ResponseWriter, *http.Request) bool { return false }
	withBasic := func(w http.ResponseWriter, r *http.Request) bool {
		if !basic(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		return !basic(r)
	}
	var answers atomic.Int32
	withToken := func(w http.ResponseWriter, r *http.Request) bool {
		if answers.Add(1)%4 == 0 {
			token = "expired"
		}
		if r.Header.Get("Authorization") != "Bearer "+token || token == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+auths.URL+`/token",service="lab",scope="repository:images/debian:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	for name, test := range map[string]struct {
		reference string
		tamper    func(http.ResponseWriter, *http.Request) bool
		password  string
		want      string // of the error
	}{
		"open":               {host + "/images/debian:12", open, "", ""},
		"with a scheme":      {s.URL + "/images/debian:12", open, "", ""},
		"by digest":          {host + "/images/debian@sha256:" + sumOf(manifest), open, "", ""},
		"with a password":    {host + "/images/debian:12", withBasic, "secret", ""},
		"with a token":       {host + "/images/debian:12", withToken, "secret", ""},
		"a wrong password":   {host + "/images/debian:12", withBasic, "wrong", "401 Unauthorized"},
		"no password":        {host + "/images/debian:12", withBasic, "", "set REGISTRY_USERNAME and REGISTRY_PASSWORD"},
		"no token":           {host + "/images/debian:12", withToken, "wrong", "get a token from"},
		"another tag":        {host + "/images/debian:13", open, "", "404 Not Found"},
		"another repository": {host + "/images/fedora", open, "", "404 Not Found"},
		"no reference":       {"http://HOST!/x", open, "", "which is no reference such as"},
		"another digest":     {host + "/images/debian@sha256:" + strings.Repeat("0", 64), open, "", "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			disk.fill(t)
			token = ""
			s.tamper = test.tamper
			env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": test.reference, "COMPRESSED": "true", "REGISTRY_PASSWORD": test.password})
			if test.password != "" {
				env.Vars["REGISTRY_USERNAME"] = "ana"
			}
			err := run(t.Context(), env, "oci2disk")
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				disk.holds(t, onDisk(t, image, disk.size))
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant ...%s...", err, test.want)
			}
			if len(said.asked) > 0 {
				t.Error("it asked to write")
			}
			disk.untouched(t)
		})
	}
}

// What the manifest says is what is written, or nothing is.
func TestOCIManifests(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 6*mib)
	disk := newLoop(t, 8*mib, 512)
	files := registryFiles("disk", "good", image)
	good := files["/v2/disk/manifests/good"]
	index := func(platforms ...string) []byte {
		var list []map[string]any
		for _, p := range platforms {
			list = append(list, map[string]any{"digest": "sha256:" + sumOf(good), "platform": map[string]string{"os": "linux", "architecture": p}})
		}
		b, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": list})
		return b
	}
	layers := bytes.Replace(good, []byte(`"layers":[{`), []byte(`"layers":[{"mediaType":"text/plain"},{`), 1)
	for tag, m := range map[string][]byte{
		"index": index("riscv64", runtime.GOARCH), "one": index("none"), "foreign": index("riscv64", "s390x"), "two": layers,
		"weak": bytes.ReplaceAll(good, []byte("sha256:"), []byte("md5:")), "text": []byte("hello"),
		"huge": make([]byte, maxManifest+1), "none": []byte("{}"), "wrong": bytes.Replace(index("x"), []byte("sha256:"+sumOf(good)), []byte("sha256:"+sumOf(image)), 1),
	} {
		files["/v2/disk/manifests/"+tag] = m
	}
	files["/v2/disk/manifests/sha256:"+sumOf(image)] = good
	s := newServer(t, files)
	for tag, want := range map[string]string{
		"good": "", "index": "", "one": "", "foreign": "none of its 2 manifests is for " + runtime.GOARCH, "two": "has 2 layers (text/plain, disk.img); want one",
		"weak": `cannot be checked`, "text": "invalid character", "huge": "is larger than", "none": "has 0 layers", "wrong": "has the SHA-256 " + sumOf(good),
	} {
		disk.fill(t)
		env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/disk:" + tag})
		err := run(t.Context(), env, "oci2disk")
		switch {
		case want == "" && err == nil:
			disk.holds(t, onDisk(t, image, disk.size))
		case err == nil || !strings.Contains(err.Error(), want) || want == "":
			t.Errorf("%s: got %v, want %q", tag, err, want)
		default:
			disk.untouched(t)
		}
	}
}

// A layer that is not what its digest says does not boot.
func TestOCIWrongLayer(t *testing.T) {
	image := diskImage(t, 6*mib)
	disk := newLoop(t, 8*mib, 512)
	s := newServer(t, registryFiles("disk", "latest", image))
	s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
		if strings.Contains(r.URL.Path, "/blobs/") {
			return flip(w, r, 5*mib)
		}
		return w
	}
	env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/disk"})
	err := run(t.Context(), env, "oci2disk")
	if err == nil || !strings.Contains(err.Error(), "and should be "+sumOf(image)) {
		t.Error(err)
	}
	disk.unbootable(t)
}

// A password is not shown to who listens.
func TestOCIPasswordStaysSecret(t *testing.T) {
	a := &authorization{client: http.DefaultClient, user: "ana", password: "secret"}
	_, err := a.answer(t.Context(), `Bearer realm="http://auth.lab/token",service="lab"`)
	if err == nil || !strings.Contains(err.Error(), "would show the password") {
		t.Error(err)
	}
}

// The registry of the distribution project takes an image in and gives it out.
func TestOCI2DiskFromARealRegistry(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("SKIPPED: docker-registry (Debian package of that name) is not here")
	}
	listener, err := net.Listen("tcp", "127.0.0.5:0") // where nobody else looks for a free port
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	_ = listener.Close()
	dir := t.TempDir()
	// htpasswd -nbB ana secret
	const users = "ana:$2a$05$Y6gM5hjlbFRS.s9J5UJT6uv/Xwio/qzcBTuStZj1zmrqs774JErIS\n"
	config := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\nauth: {htpasswd: {realm: lab, path: %s/users}}\n", dir, host, dir)
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := exec.CommandContext(t.Context(), program, "serve", filepath.Join(dir, "config.yml"))
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = registry.Process.Kill()
		_ = registry.Wait()
	})
	image := diskImage(t, 6*mib)
	layer := gzipped(t, image)
	p := &pusher{t: t, base: "http://" + host + "/v2/images/debian"}
	p.waitFor()
	m, _ := artifact(layer)
	p.blob(layer)
	p.blob([]byte("{}"))
	p.send(http.MethodPut, p.base+"/manifests/12", "application/vnd.oci.image.manifest.v1+json", m)

	disk := newLoop(t, 8*mib, 512)
	env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": host + "/images/debian:12", "COMPRESSED": "true", "REGISTRY_USERNAME": "ana", "REGISTRY_PASSWORD": "secret"})
	if err := run(t.Context(), env, "oci2disk"); err != nil {
		t.Fatal(err)
	}
	disk.holds(t, onDisk(t, image, disk.size))
}

// pusher uploads to a registry.
type pusher struct {
	t    testing.TB
	base string
}

func (p *pusher) waitFor() {
	p.t.Helper()
	for range 600 {
		if resp, err := http.Get(p.base + "/tags/list"); err == nil {
			_ = resp.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatal("the registry does not start")
}

func (p *pusher) blob(b []byte) {
	p.t.Helper()
	location := p.send(http.MethodPost, p.base+"/blobs/uploads/", "", nil).Get("Location")
	p.send(http.MethodPut, location+"&digest=sha256:"+sumOf(b), "application/octet-stream", b)
}

func (p *pusher) send(method, url, contentType string, body []byte) http.Header {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("ana", "secret")
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp.Header
}
