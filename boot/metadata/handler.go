package metadata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/httprate"

	"dragonfly/boot/seed"
	"dragonfly/registry"
)

// Path is what the handler's paths begin with.
const Path = "/boot/metadata/"

// URL is where the seed of a token is, to be put into the seed itself. base is our
// URL as machines reach us, such as http://10.0.0.2:3000.
func URL(base, token string) string { return strings.TrimSuffix(base, "/") + Path + token }

// Source knows the seeds.
type Source interface {
	// Seed is what a token is good for; [ErrUnknown], a [*GoneError] or
	// [registry.ErrUnavailable] where it is good for nothing.
	Seed(ctx context.Context, token string) (Seed, error)
	// PhoneHome takes a system's word that it is up, with the errors of Seed. From
	// then on Seed has a [*GoneError]. Once more is no error: an answer can be lost.
	PhoneHome(ctx context.Context, token string, report Report) error
	// Installer takes what an installer says of itself, with the errors of Seed. What
	// was taken before may come again.
	Installer(ctx context.Context, token string, event registry.InstallerEvent, detail string) error
}

// Seed is what one installed system is given.
type Seed struct {
	Machine string       // its name, for the log
	MAC     registry.MAC // that its timeline goes by
	seed.Documents
}

// ErrUnknown is returned for a token that never was good.
var ErrUnknown = errors.New("no machine is being set up with this token; was it copied whole, and from this server?")

// GoneError is returned for a token that was good.
type GoneError struct{ Reason string }

func (e *GoneError) Error() string { return e.Reason }

// The bounds on requests. EC2's tree takes a dozen of them, and a client that starts
// over does so for minutes; nobody has reason to try ten wrong tokens a second.
const (
	requestsPerToken = 300 // a minute
	failuresPerPeer  = 600 // a minute
	maxToken         = 512 // characters
	maxReport        = 64 << 10
)

// Stats counts requests by what became of them.
type Stats struct {
	Served     atomic.Uint64 // documents
	PhoneHomes atomic.Uint64
	Installers atomic.Uint64 // reports of installers
	Unknown    atomic.Uint64 // 404: there is no such token, or document
	Gone       atomic.Uint64 // 410
	Limited    atomic.Uint64 // 429
	Refused    atomic.Uint64 // other faults of the client
	Failed     atomic.Uint64 // 500 and 503
}

// Handler serves everything under [Path]. Use [New].
type Handler struct {
	Stats  Stats
	source Source
	sight  func(registry.Sighting)
	log    *slog.Logger

	requests *httprate.RateLimiter // by token
	failures *httprate.RateLimiter // by peer
}

// New is a handler of what source knows. Every read is told to sight, which must not
// block.
func New(source Source, sight func(registry.Sighting), log *slog.Logger) *Handler {
	silent := httprate.WithResponseHeaders(httprate.ResponseHeaders{})
	return &Handler{source: source, sight: sight, log: log,
		requests: httprate.NewRateLimiter(requestsPerToken, time.Minute, silent),
		failures: httprate.NewRateLimiter(failuresPerPeer, time.Minute, silent)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := h.serve(w, r); err != nil {
		h.refuse(w, r, err)
	}
}

// refusal is an error with its status.
type refusal struct {
	status int
	why    string
}

func (e *refusal) Error() string { return e.why }

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	token, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/")
	if _, rate, _ := h.failures.Status(peer(r)); rate >= failuresPerPeer {
		return &refusal{http.StatusTooManyRequests, "too many requests from this address failed; wait a minute"}
	}
	if !isToken(token) {
		return ErrUnknown
	}
	if h.requests.OnLimit(w, r, token) {
		return &refusal{http.StatusTooManyRequests, "too many requests with this token; wait a minute"}
	}
	if name == "phone-home" {
		return h.phoneHome(w, r, token)
	}
	if name == "installer" {
		return h.installer(w, r, token)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return &refusal{http.StatusMethodNotAllowed, "only GET and HEAD are answered here"}
	}
	return h.read(w, r, token, name)
}

// isToken reports whether a text could be a token, before somebody is asked.
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
}

// read serves one document.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, token, name string) error {
	s, err := h.source.Seed(r.Context(), token)
	if err != nil {
		return err
	}
	d, ok := find(s.Documents, name)
	if !ok {
		return &refusal{http.StatusNotFound, fmt.Sprintf("there is no %.60q; there are %s", name, strings.Join(strings.Fields(index(s.Documents)), ", "))}
	}
	h.told(r, s, name, d)
	h.Stats.Served.Add(1)
	w.Header().Set("Content-Type", d.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(d.text)))
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(d.text)) // one that has left has left
	}
	return nil
}

// told puts a read on the timeline, and into the log: of documents, not of every leaf
// of a tree.
func (h *Handler) told(r *http.Request, s Seed, name string, d document) {
	if !d.tell || r.Method != http.MethodGet {
		return
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	h.log.Info("seed read", "machine", s.Machine, "mac", s.MAC, "deployment", s.InstanceID, "document", name, "from", from.Addr().Unmap())
	detail := fmt.Sprintf("%s was read by %s", name, from.Addr().Unmap())
	if agent := agentOf(r); agent != "" {
		detail += " (" + agent + ")"
	}
	h.sight(registry.Sighting{At: time.Now(), MAC: s.MAC, Remote: from.Addr().Unmap(), Stage: registry.StageSeed, Detail: detail})
}

// agentOf is what a client calls itself, as far as that can be shown.
func agentOf(r *http.Request) string {
	agent, _, _ := strings.Cut(r.UserAgent(), " ")
	if len(agent) > 40 || strings.Trim(agent, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-+") != "" {
		return ""
	}
	return agent
}

// peer is the address a request came from, for counting.
func peer(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return httprate.CanonicalizeIP(from.Addr().Unmap().String())
}

// refuse answers with one line of plain text.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, why, count := http.StatusInternalServerError, "the seed could not be read; the server's log says why", &h.Stats.Failed
	gone, isGone := errors.AsType[*GoneError](err)
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case errors.Is(err, ErrUnknown):
		status, why, count = http.StatusNotFound, ErrUnknown.Error(), &h.Stats.Unknown
	case isGone:
		status, why, count = http.StatusGone, gone.Reason, &h.Stats.Gone
	case errors.Is(err, registry.ErrUnavailable):
		status, why = http.StatusServiceUnavailable, registry.ErrUnavailable.Error()
		w.Header().Set("Retry-After", "5")
	case isRefused:
		status, why, count = refused.status, refused.why, h.countOf(refused.status)
	default:
		h.log.Error("seed", "err", err)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "60")
	} else if status < http.StatusInternalServerError {
		h.failures.OnLimit(w, r, peer(r))
	}
	count.Add(1)
	http.Error(w, why, status)
}

func (h *Handler) countOf(status int) *atomic.Uint64 {
	switch status {
	case http.StatusNotFound:
		return &h.Stats.Unknown
	case http.StatusTooManyRequests:
		return &h.Stats.Limited
	}
	return &h.Stats.Refused
}
