package ui

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:static/dist
var dist embed.FS

// assets are the built files, by the names the browser asks for.
type assets struct {
	files  map[string][]byte
	names  map[string]string // plain name to hashed name
	sprite string            // the icons, as symbols that a page carries
}

var errNotBuilt = errors.New("the web assets are not built: run npm ci && npm run build in ui/, or make build")

func loadAssets() (assets, error) {
	root, err := fs.Sub(dist, "static/dist")
	if err != nil {
		return assets{}, err
	}
	return readAssets(root)
}

func readAssets(root fs.FS) (assets, error) {
	a := assets{files: map[string][]byte{}}
	manifest, err := fs.ReadFile(root, "manifest.json")
	if err != nil {
		return a, errNotBuilt
	}
	if err := json.Unmarshal(manifest, &a.names); err != nil {
		return a, fmt.Errorf("read the list of web assets: %w", err)
	}
	for name, hashed := range a.names {
		for _, file := range []string{hashed, hashed + ".gz"} {
			if a.files[file], err = fs.ReadFile(root, file); err != nil {
				return a, fmt.Errorf("read web asset %s: %w; %w", name, err, errNotBuilt)
			}
		}
	}
	a.sprite = string(a.files[a.names["icons.svg"]])
	return a, nil
}

// url is where the browser finds an asset.
func (a assets) url(name string) string { return "/static/" + a.names[name] }

// ServeHTTP serves an asset by its hashed name, which never changes its content,
// so a browser asks once.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	data, ok := a.files[name]
	if !ok || strings.HasSuffix(name, ".gz") {
		http.Error(w, "no such asset; reload the page", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		data = a.files[name+".gz"]
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the reader has gone; there is nobody to tell
}

// acceptsGzip reports whether the client takes gzip (RFC 9110 section 12.5.3).
// One that names it only to refuse it (q=0) does not exist outside of tests of
// servers, but is obeyed.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name == "gzip" {
			return strings.TrimSpace(quality) != "q=0"
		}
	}
	return false
}
