package metadata

import (
	"fmt"
	"net/http"
	"slices"

	"dragonfly/registry"
)

// installer takes what an installer says of itself: a form with event, which is one of
// [registry.InstallerEvents], and detail, a line of text.
func (h *Handler) installer(w http.ResponseWriter, r *http.Request, token string) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return &refusal{http.StatusMethodNotAllowed, "POST here what the installer does"}
	}
	if err := parseForm(w, r); err != nil {
		return err
	}
	event, detail := registry.InstallerEvent(r.PostForm.Get("event")), r.PostForm.Get("detail")
	if !slices.Contains(registry.InstallerEvents(), event) {
		return &refusal{http.StatusBadRequest, fmt.Sprintf("event: want one of %v", registry.InstallerEvents())}
	}
	if err := h.source.Installer(r.Context(), token, event, detail); err != nil {
		return err
	}
	h.Stats.Installers.Add(1)
	h.log.Info("installer", "event", event, "from", peer(r))
	w.Header().Set("Content-Type", plain)
	fmt.Fprintln(w, "noted")
	return nil
}
