package metadata

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"dragonfly/boot/seed"
)

// Report is what a system says of itself when it is up. Any of it may be empty.
type Report struct {
	Remote     netip.Addr // where it came from
	InstanceID string
	Hostname   string
	FQDN       string
	HostKeys   []string // public SSH keys of the host
}

// absent is what cloud-init posts for what it has not.
const absent = "N/A"

// phoneHome takes a report: a form, as cloud-init posts it, or nothing at all.
func (h *Handler) phoneHome(w http.ResponseWriter, r *http.Request, token string) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return &refusal{http.StatusMethodNotAllowed, "POST a report here when the installed system is up"}
	}
	report, err := reportOf(w, r)
	if err != nil {
		return err
	}
	if err := h.source.PhoneHome(r.Context(), token, report); err != nil {
		return err
	}
	h.Stats.PhoneHomes.Add(1)
	h.log.Info("phoned home", "hostname", report.Hostname, "deployment", report.InstanceID, "from", report.Remote)
	w.Header().Set("Content-Type", plain)
	fmt.Fprintln(w, "noted")
	return nil
}

// reportOf reads the form. A host key that is none is passed over: that the system is
// up matters more.
func reportOf(w http.ResponseWriter, r *http.Request) (report Report, err error) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	report.Remote = from.Addr().Unmap()
	if err := parseForm(w, r); err != nil {
		return report, err
	}
	for name, to := range map[string]*string{"instance_id": &report.InstanceID, "hostname": &report.Hostname, "fqdn": &report.FQDN} {
		if *to = r.PostForm.Get(name); *to == absent {
			*to = ""
		}
		if !isLine(*to) {
			return report, &refusal{http.StatusBadRequest, name + ": want a line of text, at most 253 bytes"}
		}
	}
	for _, name := range []string{"pub_key_ed25519", "pub_key_ecdsa", "pub_key_rsa"} {
		if key, err := seed.ParseKey(r.PostForm.Get(name)); err == nil {
			report.HostKeys = append(report.HostKeys, key.Line)
		}
	}
	return report, nil
}

// parseForm reads a form, or no body at all.
func parseForm(w http.ResponseWriter, r *http.Request) error {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		if media, _, err := mime.ParseMediaType(kind); err != nil || media != "application/x-www-form-urlencoded" {
			return &refusal{http.StatusUnsupportedMediaType, "want a form, application/x-www-form-urlencoded, or no body"}
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxReport)
	err := r.ParseForm()
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the report is larger than %d bytes", maxReport)}
	}
	if err != nil {
		return &refusal{http.StatusBadRequest, "the form is damaged"}
	}
	return nil
}

func isLine(s string) bool {
	return len(s) <= 253 && utf8.ValidString(s) && !strings.ContainsAny(s, "<>") && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}
