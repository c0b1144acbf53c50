package store

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"dragonfly/registry"
)

// ask asks the handler for an image.
func ask(s *Store, method, name string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, Path+name+imageExt, nil)
	r.Header = header
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return rec
}

func TestServe(t *testing.T) {
	url, _ := serve(t, disk(t))
	s, _ := started(t, t.TempDir())
	image := s.imported(t, registry.ImageSource{URL: url})
	file, err := os.ReadFile(s.cfg.Dir + "/" + image.Name + imageExt)
	if err != nil {
		t.Fatal(err)
	}
	whole := ask(s, http.MethodGet, image.Name, nil)
	if whole.Code != http.StatusOK || !bytes.Equal(whole.Body.Bytes(), file) {
		t.Errorf("%d, %d bytes", whole.Code, whole.Body.Len())
	}
	for name, want := range map[string]string{"Content-Type": "application/zstd", "ETag": `"` + image.Name + `"`, "Accept-Ranges": "bytes",
		"Cache-Control": "public, max-age=31536000, immutable"} {
		if got := whole.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	tail := ask(s, http.MethodGet, image.Name, http.Header{"Range": {"bytes=-16"}})
	if tail.Code != http.StatusPartialContent || !bytes.Equal(tail.Body.Bytes(), file[len(file)-16:]) {
		t.Errorf("%d, %q", tail.Code, tail.Body)
	}
	if rec := ask(s, http.MethodHead, image.Name, nil); rec.Code != http.StatusOK || rec.Body.Len() > 0 {
		t.Errorf("HEAD: %d", rec.Code)
	}
	if rec := ask(s, http.MethodGet, image.Name, http.Header{"If-None-Match": {`"` + image.Name + `"`}}); rec.Code != http.StatusNotModified {
		t.Errorf("If-None-Match: %d", rec.Code)
	}
	if rec := ask(s, http.MethodPut, image.Name, nil); rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", rec.Code)
	}
	for _, name := range []string{"", strings.Repeat("0", 64), "../" + image.Name, "work/x", strings.ToUpper(image.Name), image.Name[:12]} {
		if rec := ask(s, http.MethodGet, name, nil); rec.Code != http.StatusNotFound {
			t.Errorf("%q: %d", name, rec.Code)
		}
	}
	if bytes, active := s.Sent(); bytes != int64(len(file)+16) || active != 0 {
		t.Errorf("%d bytes were counted of %d, %d go out", bytes, len(file)+16, active)
	}
	if rec := ask(s, http.MethodGet, image.Name, http.Header{"Range": {"bytes=99999999999-"}}); rec.Code != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: %d", rec.Code)
	}
}

// sendfile is a listener whose connections take note of the files that they are
// given whole.
type sendfile struct {
	net.Listener
	files atomic.Int64 // bytes
}

func (s *sendfile) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &noting{c.(*net.TCPConn), s}, nil
}

type noting struct {
	*net.TCPConn
	to *sendfile
}

func (n *noting) ReadFrom(r io.Reader) (int64, error) {
	sent, err := n.TCPConn.ReadFrom(r)
	if limited, ok := r.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			n.to.files.Add(sent)
		}
	}
	return sent, err
}

// The kernel sends the file: the connection is given the file itself.
func TestSendfile(t *testing.T) {
	url, _ := serve(t, disk(t))
	s, _ := started(t, t.TempDir())
	image := s.imported(t, registry.ImageSource{URL: url})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	through := &sendfile{Listener: l}
	server := &http.Server{Handler: s}
	go server.Serve(through)
	defer server.Close()
	resp, err := http.Get("http://" + l.Addr().String() + Path + image.Name + imageExt)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := server.Shutdown(t.Context()); err != nil { // it has counted then
		t.Error(err)
	}
	// net/http writes the first 512 bytes by itself, to look what they are.
	if err != nil || n != image.Packed || through.files.Load() != n-512 {
		t.Errorf("%d bytes, %d of them by the kernel, %v", n, through.files.Load(), err)
	}
}
