package ipxe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dragonfly/boot"
	"dragonfly/registry"
)

// Handler serves everything under /boot/:
//
//	/boot/{mac}/auto.ipxe?arch=NAME    the machine's script; with failed=KEY where what it booted once did not start
//	/boot/{mac}/once.ipxe?key=KEY      an operator's own script, for the machine that was given it
//	/boot/{cpu}/vmlinuz                the agent's kernel; cpu is amd64 or arm64
//	/boot/{cpu}/initramfs.zst          the agent's initramfs
//	/boot/{cpu}/tools-{sha256}.tar.zst what that agent fetches when it makes file systems
//	/boot/amd64/memtest.{bin,efi}      memtest86+, for BIOS and UEFI
//	/boot/hook/{name}-{arch}           Tinkerbell's vmlinuz or initramfs; arch is x86_64 or aarch64
//	/boot/nbp/{name}                   a network boot program, for HTTP Boot
//	/boot/nbp/autoexec.ipxe            what iPXE asks for beside the program, see [Autoexec]
type Handler struct {
	Dir    string // holds amd64/, arm64/ and nbp/, and hook/ where that is used
	Lookup func(registry.MAC) (registry.Entry, bool)
	Token  func(registry.MAC) string // a fresh boot token; empty where there can be none
	// Boots has what machines boot once; nil: nothing.
	Boots Boots
	// Tinkerbell is for the machines that it has work for.
	Tinkerbell Tinkerbell
	// Sight is told of every step; it must not block. May be nil.
	Sight func(registry.Sighting)
	Log   *slog.Logger
	Stats *Stats // what is counted; may be nil
}

// toolsName is the name of an archive of tools: it has the archive's hash in it.
var toolsName = regexp.MustCompile(`^tools-[0-9a-f]{64}\.tar\.zst$`)

// Boots is what machines boot once.
type Boots interface {
	// PeekBoot is what a machine, by its ID, would boot.
	PeekBoot(ctx context.Context, machine string) (registry.BootOrder, error)
	// TakeBoot is that, and it is given to nobody again.
	TakeBoot(ctx context.Context, machine string) (registry.BootOrder, error)
	// TakenBoot is what a machine has taken, by its key.
	TakenBoot(ctx context.Context, machine, key string) (registry.BootOrder, error)
	// FailBoot takes its word that this did not start. A key that is good for nothing is
	// no error.
	FailBoot(ctx context.Context, machine, key string) error
}

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
		return
	}
	folder, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/boot/"), "/")
	switch {
	case name == "auto.ipxe":
		h.script(w, r, folder)
	case name == "once.ipxe":
		h.own(w, r, folder)
	case folder == "nbp" && name == "autoexec.ipxe":
		h.autoexec(w, r)
	case folder == "nbp":
		h.program(w, r, name)
	case folder == "hook":
		h.hook(w, r, name)
	case name == "vmlinuz":
		h.image(w, r, image{folder, name, registry.StageKernel})
	case name == "initramfs.zst":
		h.image(w, r, image{folder, name, registry.StageInitrd})
	case toolsName.MatchString(name):
		h.image(w, r, image{folder, name, ""})
	case name == memtestBIOS, name == memtestUEFI: // no kernel: no agent comes after it
		h.image(w, r, image{folder, name, registry.StageProgram})
	default:
		h.refuse(w, http.StatusNotFound, "there is nothing here; see /boot/MAC/auto.ipxe")
	}
}

// script answers with the script for the machine. A machine that is not known is
// not an error: it is why we are here.
func (h *Handler) script(w http.ResponseWriter, r *http.Request, folder string) {
	asked := time.Now() // before what it takes by that: it has not come back from it
	s, err := h.asked(r, folder)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s = h.Complete(r.Context(), s, r.Method == http.MethodGet)
	out, err := s.Render()
	if err != nil {
		h.Log.Error("boot script", "mac", s.MAC, "err", err)
		h.refuse(w, http.StatusInternalServerError, "the script could not be written; the server's log says why")
		return
	}
	level := slog.LevelInfo
	if s.Problem != "" {
		level = slog.LevelWarn
	}
	h.Log.Log(r.Context(), level, "boot script", "mac", s.MAC, "machine", s.Name, "arch", s.Arch, "plan", s.Plan.Do, "try", s.Try, "problem", s.Problem)
	if s.Failed == "" || s.Problem == "" { // else the machine comes again to say that it failed, and is not back before
		h.sight(r, registry.Sighting{At: asked, MAC: s.MAC, Stage: registry.StageScript, Detail: cmp.Or(s.Problem, s.Plan.Rule)})
	}
	writeScript(w, out)
}

// own answers with the script that an operator wrote, to the machine that was given it.
func (h *Handler) own(w http.ResponseWriter, r *http.Request, folder string) {
	mac, err := registry.ParseMAC(folder)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	entry, known := h.Lookup(mac)
	if !known || h.Boots == nil {
		h.refuse(w, http.StatusNotFound, noOwn)
		return
	}
	switch order, err := h.Boots.TakenBoot(r.Context(), entry.ID, r.URL.Query().Get("key")); {
	case err == nil && order.Kind == registry.KindScript:
		writeScript(w, []byte(order.Script))
	case err == nil, errors.Is(err, registry.ErrNotFound):
		h.refuse(w, http.StatusNotFound, noOwn)
	default:
		h.Log.Warn("an operator's own script", "mac", mac, "err", err)
		h.refuse(w, http.StatusServiceUnavailable, "the script cannot be read now")
	}
}

const noOwn = "this machine was given no script of its own by this key, or it is over"

func (h *Handler) autoexec(w http.ResponseWriter, r *http.Request) {
	base, err := baseURL(r)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	out, err := Autoexec(base)
	if err != nil {
		h.Log.Error("autoexec script", "err", err)
		h.refuse(w, http.StatusInternalServerError, "the script could not be written; the server's log says why")
		return
	}
	writeScript(w, out)
}

func writeScript(w http.ResponseWriter, script []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(script)))
	w.Header().Set("Cache-Control", "no-store") // it may carry a token
	w.Write(script)
}

// asked is what a request says of the script: MAC, Arch, Base, Try and Failed. Its error
// says what is wrong with the request.
func (h *Handler) asked(r *http.Request, mac string) (s Script, err error) {
	if s.MAC, err = registry.ParseMAC(mac); err != nil {
		return s, err
	}
	if s.Base, err = baseURL(r); err != nil {
		return s, err
	}
	query := r.URL.Query()
	if name := query.Get("arch"); name != "" { // an iPXE that somebody chained by hand is most likely amd64
		if s.Arch, err = boot.ParseArch(name); err != nil {
			return s, err
		}
	}
	s.Try, _ = strconv.Atoi(query.Get("try")) // nonsense counts as the first try
	if s.Failed = query.Get("failed"); s.Failed != "" {
		_, err = only(s.Failed, alphanumeric)
	}
	return s, err
}

// Complete adds to MAC, Arch, Base, Try and Failed what we know of the machine and what
// follows from it. It changes nothing but for the token that it asks for, and, with
// take, that what the machine boots once is given to it, or has failed.
func (h *Handler) Complete(ctx context.Context, s Script, take bool) Script {
	entry, known := h.Lookup(s.MAC)
	if known {
		s.Name = entry.Name
	}
	s.Tinkerbell, s.Worker = h.Tinkerbell, entry.Boots
	s.Plan = boot.PlanFor(entry, known, h.Tinkerbell.OSIE)
	if s.Failed != "" && known && take && h.Boots != nil {
		if err := h.Boots.FailBoot(ctx, entry.ID, s.Failed); err != nil {
			h.Log.Warn("what the machine booted once has failed", "machine", entry.ID, "err", err)
			s.Problem = "the server cannot write down now that this boot failed"
			return s
		}
	}
	switch s.Plan.Do {
	case boot.Disk:
	case boot.Once:
		if s.Try < Tries {
			s.Order, s.Problem = h.order(ctx, entry.ID, s.Arch, take)
		}
	case boot.Smee:
		s.Problem = h.Tinkerbell.problem(boot.Smee)
	case boot.Hook:
		s.Problem = cmp.Or(h.Tinkerbell.problem(boot.Hook), h.hookProblem(s))
	case boot.Worker:
		s.Problem = cmp.Or(h.Tinkerbell.problem(boot.Worker), h.problem(&s))
	default:
		s.Problem = h.problem(&s)
	}
	return s
}

// shownKey stands in a script that is not given to its machine.
const shownKey = "AKEYOFTHISBOOT"

// order is what the machine boots once, or what keeps it from that.
func (h *Handler) order(ctx context.Context, machine string, arch boot.Arch, take bool) (order registry.BootOrder, problem string) {
	if h.Boots == nil {
		return order, "this server has nothing that is booted once"
	}
	order, err := h.Boots.PeekBoot(ctx, machine)
	if err == nil && order.Kind == registry.KindMemtest {
		problem = h.noMemtest(arch)
	}
	order.Key = shownKey
	if err == nil && problem == "" && take {
		order, err = h.Boots.TakeBoot(ctx, machine)
	}
	if locked, ok := errors.AsType[*registry.LockedError](err); ok {
		problem = locked.Error()
	} else if err != nil {
		h.Log.Warn("what the machine boots once", "machine", machine, "err", err)
		problem = "the server cannot look up now what is to be booted"
	}
	return order, problem
}

// noMemtest is why a machine cannot be given memtest86+; empty where it can.
func (h *Handler) noMemtest(arch boot.Arch) string {
	if arch.CPU() != "amd64" {
		return "memtest86+ is for amd64 alone"
	}
	if _, err := os.Stat(filepath.Join(h.Dir, arch.CPU(), memtestFor(arch))); err != nil {
		return "the server has no memtest86+ (" + memtestFor(arch) + " is missing); build its images again"
	}
	return ""
}

// problem says what keeps the agent from being started, and else sets the token.
func (h *Handler) problem(s *Script) string {
	if missing := h.missing(s.Arch.CPU(), "vmlinuz", "initramfs.zst"); missing != "" {
		return fmt.Sprintf("the server has no agent image for %s (%s is missing)", s.Arch.CPU(), missing)
	}
	if s.Token = h.Token(s.MAC); s.Token == "" {
		return "the server can give out no boot token now"
	}
	return ""
}

// missing is the first of the files that a folder has not; empty where it has all.
func (h *Handler) missing(folder string, names ...string) string {
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(h.Dir, folder, name)); err != nil {
			return name
		}
	}
	return ""
}

func (h *Handler) sight(r *http.Request, s registry.Sighting) {
	if r.Method != http.MethodGet {
		return
	}
	h.count(s.Stage)
	if h.Sight == nil || s.Stage == "" {
		return
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	s.Remote = remote.Addr().Unmap()
	h.Sight(s)
}

// refuse answers with one line of plain text, which is what iPXE's user and
// curl's can read.
func (h *Handler) refuse(w http.ResponseWriter, status int, why string) {
	if h.Stats != nil {
		h.Stats.Refused.Add(1)
	}
	http.Error(w, why, status)
}
