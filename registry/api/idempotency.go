package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"dragonfly/registry"
)

// Requests remembers requests that came with an idempotency key, and the answers
// they got. Whichever server of a database gets the request again gives the same
// answer.
type Requests interface {
	// Claim gives the right to carry out a request to whoever asks first.
	Claim(ctx context.Context, c registry.Claim) (registry.Claimed, error)
	// Answer keeps the answer; an empty one lets the next claim carry it out.
	Answer(ctx context.Context, id, owner, answer string) error
}

// Sealer keeps answers from whoever reads the database: one has an API token in it.
type Sealer interface {
	Seal(name, secret string) string
	Open(name, sealed string) (string, error)
}

const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotent-Replayed" // "true" on an answer that was given before
	maxKey         = 255                   // characters
	maxKeyedBody   = 10 << 20              // bytes of a request with a key
	maxAnswer      = 1 << 20               // bytes of an answer that is kept, compressed

	// carriedOutIn bounds a request with a key; a server that has it for longer,
	// and some for clocks that differ, is taken for dead.
	carriedOutIn = 45 * time.Second
	deadAfter    = 60 * time.Second
	keepWithin   = 5 * time.Second // for writing the answer down
)

// once carries out a POST of an operator with an Idempotency-Key at most once, and
// answers its repetitions with the first answer; see DESIGN.md.
func (s *Server) once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor := registry.ActorOf(r.Context()).Name
		if r.Method != http.MethodPost || r.Header.Get(keyHeader) == "" || actor == "" {
			next.ServeHTTP(w, r)
			return
		}
		answer, err := s.onceFor(actor, w, r, next)
		if err != nil {
			s.writeProblem(w, err)
			return
		}
		answer.write(w)
	})
}

// onceFor is the answer to a request with a key: the one it got before, or that of
// next.
func (s *Server) onceFor(actor string, w http.ResponseWriter, r *http.Request, next http.Handler) (*answer, error) {
	key, err := parseKey(r.Header.Get(keyHeader))
	if err != nil {
		return nil, &Error{Status: http.StatusUnprocessableEntity, Detail: "the " + keyHeader + " cannot be used",
			Errors: []FieldError{{In: "header", Pointer: "/" + keyHeader, Message: err.Error()}}}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxKeyedBody))
	if err != nil {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the request cannot be read whole: %v", err)}
	}
	claim := registry.Claim{ID: digest(actor, chi.RouteContext(r.Context()).RoutePattern(), key),
		Request: digest(r.URL.Path, r.URL.RawQuery, r.Header.Get("If-Match"), string(body)),
		Op:      rand.Text(), Owner: rand.Text(), At: s.now(), Until: s.now().Add(deadAfter)}
	claimed, err := s.requests.Claim(r.Context(), claim)
	switch {
	case err != nil:
		return nil, s.problem(err)
	case claimed.Request != claim.Request:
		return nil, &Error{Status: http.StatusUnprocessableEntity, Detail: "this " + keyHeader +
			" was used for another request; use a new key for a new request",
			Errors: []FieldError{{In: "header", Pointer: "/" + keyHeader, Message: "it belongs to another request"}}}
	case claimed.Answer != "":
		return s.replay(claim.ID, claimed.Answer)
	case claimed.Owner != claim.Owner:
		return nil, huma.ErrorWithHeaders(&Error{Status: http.StatusConflict, Detail: "a request with this " + keyHeader +
			" is being carried out; ask again in a second for its answer"}, http.Header{"Retry-After": {"1"}})
	}
	ctx, cancel := context.WithTimeout(registry.WithOnce(r.Context(), claimed), carriedOutIn)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	got := &answer{Status: http.StatusOK, Head: http.Header{}}
	next.ServeHTTP(got, r)
	s.keep(r.Context(), claim, got)
	return got, nil
}

// keep writes down the answer, unless it is one that asking again may change. It
// does so also when the client went away meanwhile: that is when it is needed.
func (s *Server) keep(ctx context.Context, claim registry.Claim, got *answer) {
	sealed := ""
	if got.lasts() {
		if text := got.encode(); len(text) <= maxAnswer {
			sealed = s.sealer.Seal(claim.ID, text)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	if err := s.requests.Answer(ctx, claim.ID, claim.Owner, sealed); err != nil {
		s.log.Warn("keep the answer to a request with an idempotency key", "err", err)
	}
}

func (s *Server) replay(id, sealed string) (*answer, error) {
	text, err := s.sealer.Open(id, sealed)
	if err != nil {
		return nil, s.problem(err)
	}
	a, err := decodeAnswer(text)
	if err != nil {
		return nil, s.problem(err)
	}
	a.Head.Set(replayedHeader, "true")
	return a, nil
}

// parseKey reads a key: a quoted string (RFC 8941 section 3.3.3), as the draft of
// the header has it, or the bare text that most clients send.
func parseKey(text string) (string, error) {
	key := text
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		key = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(text[1 : len(text)-1])
	}
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("want 1 to %d printable ASCII characters, such as a random UUID", maxKey)
	}
	return key, nil
}

// digest is the SHA-256 of texts, of which none can pass for a part of another.
func digest(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// answer is an answer that is kept. It is the [http.ResponseWriter] that it is
// written to first.
type answer struct {
	Status int         `json:"status"`
	Head   http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// Header is [http.ResponseWriter.Header].
func (a *answer) Header() http.Header { return a.Head }

// WriteHeader is [http.ResponseWriter.WriteHeader].
func (a *answer) WriteHeader(status int) { a.Status = status }

func (a *answer) Write(p []byte) (int, error) {
	a.Body = append(a.Body, p...)
	return len(p), nil
}

// lasts reports whether the answer stays what it is when the same is asked again.
// What was our fault, or a matter of time, is tried again.
func (a *answer) lasts() bool {
	switch a.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, statusGone:
		return false
	}
	return a.Status < http.StatusInternalServerError
}

func (a *answer) write(w http.ResponseWriter) {
	for name, values := range a.Head {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the client has gone; it may ask again
}

// encode is a as text to be sealed, compressed.
func (a *answer) encode() string {
	text, _ := json.Marshal(a) // text and numbers only: cannot fail
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	return packed.String()
}

func decodeAnswer(text string) (*answer, error) {
	r, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the answer that was kept: %w", err)
	}
	a := &answer{}
	if err := json.NewDecoder(r).Decode(a); err != nil {
		return nil, fmt.Errorf("read the answer that was kept: %w", err)
	}
	return a, nil
}

// writeProblem answers with the problem that err is.
func (s *Server) writeProblem(w http.ResponseWriter, err error) {
	if h, ok := errors.AsType[huma.HeadersError](err); ok {
		for name, values := range h.GetHeaders() {
			w.Header()[name] = values
		}
	}
	e := errorOf(err)
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(e.Status)
	e.Title = statusText(e.Status)
	_ = json.NewEncoder(w).Encode(e)
}
