package ipxe

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dragonfly/boot"
	"dragonfly/registry"
)

// image is a file of the agent image.
type image struct {
	cpu, name string
	stage     registry.Stage
}

func (h *Handler) image(w http.ResponseWriter, r *http.Request, i image) {
	if !slices.ContainsFunc(boot.Arches(), func(a boot.Arch) bool { return a.CPU() == i.cpu }) {
		h.refuse(w, http.StatusNotFound, "no such processor; want amd64 or arm64")
		return
	}
	h.file(w, r, file{filepath.Join(i.cpu, i.name), "application/octet-stream", i.stage})
}

func (h *Handler) program(w http.ResponseWriter, r *http.Request, name string) {
	if !slices.Contains(Programs(), name) {
		h.refuse(w, http.StatusNotFound, "no such boot program; want one of "+strings.Join(Programs(), ", "))
		return
	}
	// UEFI 2.10 section 24.7.3.1: the type of a network boot program.
	h.file(w, r, file{filepath.Join("nbp", name), "application/efi", registry.StageProgram})
}

// file is a file below the Handler's Dir. Its path is made of names from our own
// lists, never of a client's.
type file struct {
	path, contentType string
	stage             registry.Stage
}

// file serves f. The file goes to [http.ServeContent] as it is, and w is not
// wrapped: only so do the bytes go from the page cache to the network without
// passing through us (sendfile).
func (h *Handler) file(w http.ResponseWriter, r *http.Request, f file) {
	content, err := os.Open(filepath.Join(h.Dir, f.path))
	if err != nil {
		h.Log.Error("boot file", "path", f.path, "err", err)
		h.refuse(w, http.StatusNotFound, f.path+" is not installed on the server")
		return
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil || !info.Mode().IsRegular() {
		h.Log.Error("boot file", "path", f.path, "err", err)
		h.refuse(w, http.StatusNotFound, f.path+" is not a file on the server")
		return
	}
	mac, _ := registry.ParseMAC(r.URL.Query().Get("mac")) // our scripts say who asks, for the timeline
	h.sight(r, registry.Sighting{At: time.Now(), MAC: mac, Stage: f.stage, Detail: f.path + " by HTTP"})
	w.Header().Set("Content-Type", f.contentType)
	http.ServeContent(w, r, "", info.ModTime(), content)
}
