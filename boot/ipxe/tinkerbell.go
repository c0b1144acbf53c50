package ipxe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"dragonfly/boot"
	"dragonfly/registry"
)

// Tinkerbell is where a machine finds the Tinkerbell that has work for it, and how it
// gets there.
type Tinkerbell struct {
	OSIE        registry.OSIE
	Server      string // host:port of Tink server's gRPC, such as 10.0.0.3:42113
	TLS         bool   // it speaks TLS
	InsecureTLS bool   // whoever it says it is
	Smee        string // URL of Smee, such as http://10.0.0.3:7080
	// HookURL is the URL of a folder with vmlinuz-ARCH and initramfs-ARCH, where ARCH is
	// x86_64 or aarch64; empty: they are in the folder hook of [Handler.Dir].
	HookURL   string
	Arguments []string // further ones of that kernel
	Syslog    string   // host that it sends its log to; empty: that of Server
}

// Check reports what machines could not be booted with.
func (t Tinkerbell) Check() error {
	var errs []error
	if t.Server != "" && (!validHostPort(t.Server) || !hasPort(t.Server)) {
		errs = append(errs, fmt.Errorf("server of Tink %.80q: want host:port, as in 10.0.0.3:42113", t.Server))
	}
	if t.Syslog != "" && !validHost(t.Syslog) {
		errs = append(errs, fmt.Errorf("syslog host %.80q: want an address or a host name, without a port", t.Syslog))
	}
	for what, given := range map[string]string{"Smee": t.Smee, "installation environment": t.HookURL} {
		if given != "" {
			errs = append(errs, checkURL(what, given))
		}
	}
	for _, a := range t.Arguments {
		if _, err := argument(a); err != nil {
			errs = append(errs, fmt.Errorf("kernel argument %.80q: %w", a, err))
		}
	}
	if why := t.problem(boot.Enter(t.OSIE).Do); why != "" {
		errs = append(errs, errors.New(why))
	}
	return errors.Join(errs...)
}

func checkURL(what, given string) error {
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !validHostPort(u.Host) || u.RawQuery+u.Fragment != "" || u.User != nil {
		return fmt.Errorf("URL of %s %.80q: want http://host:port/path", what, given)
	}
	if _, err := word(given); err != nil {
		return fmt.Errorf("URL of %s: %w", what, err)
	}
	return nil
}

func hasPort(s string) bool {
	_, _, err := net.SplitHostPort(s)
	return err == nil
}

// problem says what is not known and would have to be.
func (t Tinkerbell) problem(do boot.Do) string {
	switch {
	case do == boot.Smee && t.Smee == "":
		return "nobody said where Smee is"
	case do != boot.Smee && t.Server == "":
		return "nobody said where Tink server is"
	}
	return ""
}

// SyslogHost is the host that the log is sent to.
func (t Tinkerbell) SyslogHost() string {
	if t.Syslog != "" {
		return t.Syslog
	}
	host, _, _ := net.SplitHostPort(t.Server)
	return host
}

// cpus are the processors by Tinkerbell's names.
var cpus = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// HookKernel and HookInitrd are the names of the files.
func (s Script) HookKernel() string { return "vmlinuz-" + cpus[s.Arch.CPU()] }

// HookInitrd is [Script.HookKernel] for the initramfs.
func (s Script) HookInitrd() string { return "initramfs-" + cpus[s.Arch.CPU()] }

// HookURL is the folder they are in.
func (s Script) HookURL() string {
	if s.Tinkerbell.HookURL != "" {
		return strings.TrimSuffix(s.Tinkerbell.HookURL, "/")
	}
	return s.Base + "/boot/hook"
}

// HookQuery says who asks, for the timeline, where the files are ours.
func (s Script) HookQuery() string {
	if s.Tinkerbell.HookURL != "" {
		return ""
	}
	return "?mac=" + dashed(s.MAC)
}

// hookName is what is in the folder hook.
var hookName = regexp.MustCompile(`^(vmlinuz|initramfs)-(x86_64|aarch64)$`)

func (h *Handler) hook(w http.ResponseWriter, r *http.Request, name string) {
	if !hookName.MatchString(name) {
		h.refuse(w, http.StatusNotFound, "no such file; want vmlinuz or initramfs, and -x86_64 or -aarch64")
		return
	}
	stage := registry.StageKernel
	if strings.HasPrefix(name, "initramfs") {
		stage = registry.StageInitrd
	}
	h.file(w, r, file{filepath.Join("hook", name), "application/octet-stream", stage})
}

// hookProblem says what keeps the installation environment from being started.
func (h *Handler) hookProblem(s Script) string {
	if h.Tinkerbell.HookURL != "" {
		return ""
	}
	if missing := h.missing("hook", s.HookKernel(), s.HookInitrd()); missing != "" {
		return fmt.Sprintf("the server has no installation environment of Tinkerbell (hook/%s is missing)", missing)
	}
	return ""
}

// argument lets one argument of a kernel's command line pass.
func argument(v any) (string, error) { return only(v, alphanumeric+"-._~:/[]=+,@%") }
