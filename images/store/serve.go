package store

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dragonfly/images/frame"
)

// Path is where [Store.ServeHTTP] expects to be.
const Path = "/boot/images/"

// PathOf is where the image of a name is served.
func PathOf(name string) string { return Path + name + imageExt }

// counters count what machines fetch.
type counters struct {
	bytes  atomic.Int64
	active atomic.Int64
}

// Sent is how many bytes of images went out since the start, and to how many
// requests some go out now.
func (s *Store) Sent() (bytes, active int64) { return s.sent.bytes.Load(), s.sent.active.Load() }

// ServeHTTP serves the files of images, whole or by range: GET and HEAD of
// /boot/images/NAME.img.zst. What a name stands for never changes, so it may be kept
// for ever.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
		return
	}
	text, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, Path), imageExt)
	name, err := frame.ParseName(text)
	if !ok || err != nil {
		http.Error(w, "there is nothing here; want "+Path+"NAME"+imageExt+", with the 64 hexadecimal digits of the name of an image", http.StatusNotFound)
		return
	}
	s.mu.Lock()
	image, known := s.images[name]
	s.mu.Unlock()
	switch {
	case !known:
		http.Error(w, "there is no image of that name on this server", http.StatusNotFound)
		return
	case image.Damage != "":
		http.Error(w, "this image is damaged on the server, and has to be imported again", http.StatusGone)
		return
	}
	file, err := os.Open(s.path(name))
	if err != nil {
		s.cfg.Log.Error("serve an image", "image", text, "err", err)
		http.Error(w, "the image cannot be read; the server's log says why", http.StatusInternalServerError)
		return
	}
	defer file.Close()
	s.serve(w, r, name, file)
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request, name frame.Name, file *os.File) {
	s.sent.active.Add(1)
	defer s.sent.active.Add(-1)
	head := w.Header()
	head.Set("Content-Type", "application/zstd") // RFC 8878 section 7.1
	head.Set("ETag", strconv.Quote(name.String()))
	head.Set("Cache-Control", "public, max-age=31536000, immutable")
	out, began := &meter{ResponseWriter: w, all: &s.sent.bytes}, time.Now()
	http.ServeContent(out, r, "", time.Time{}, file)
	s.cfg.Log.Debug("image sent", "image", name, "peer", r.RemoteAddr, "range", r.Header.Get("Range"), "bytes", out.sent, "took", time.Since(began))
}

// meter counts what goes out while it does. It hands a file on as a file, so that the
// kernel sends it from the page cache (sendfile): a writer without ReadFrom costs a
// third of the throughput.
type meter struct {
	http.ResponseWriter
	all  *atomic.Int64
	sent int64
}

// countEvery is how many bytes go out before they are counted.
const countEvery = 16 << 20

// ReadFrom is what [io.Copy] uses.
func (m *meter) ReadFrom(src io.Reader) (int64, error) {
	to, ok := m.ResponseWriter.(io.ReaderFrom)
	limited, whole := src.(*io.LimitedReader)
	if !ok || !whole {
		return io.Copy(struct{ io.Writer }{m}, src)
	}
	for before := m.sent; ; {
		piece := &io.LimitedReader{R: limited.R, N: min(limited.N, countEvery)}
		n, err := to.ReadFrom(piece)
		limited.N -= n
		m.count(n)
		if err != nil || n == 0 || limited.N == 0 {
			return m.sent - before, err
		}
	}
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.count(int64(n))
	return n, err
}

func (m *meter) count(n int64) {
	m.sent += n
	m.all.Add(n)
}

// Unwrap is for [http.ResponseController].
func (m *meter) Unwrap() http.ResponseWriter { return m.ResponseWriter }
