package api

import (
	"bytes"
	"net/http"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/segmentio/encoding/json"

	"dragonfly/registry"
)

// registerBody is the body of a registration. A data centre that comes back sends
// thousands of them a second, so it is read in one pass where nothing is wrong
// with it. Whatever is in doubt is read again as huma reads every other body, in
// three passes, and that has the last word.
type registerBody struct {
	RegisterRequest
	doubtful []byte // the text, where the quick pass did not accept it
}

// Schema is that of a [RegisterRequest].
func (*registerBody) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[RegisterRequest](), true, "")
}

const (
	quick = json.DisallowUnknownFields | json.DontMatchCaseInsensitiveStructFields

	// A rack server has 150 strings in 5 kB: they point into its text. A longer text
	// must not stay in memory for the few words of it that are kept.
	maxPointedInto = 64 << 10
)

// read takes in the text, and leaves what is wrong with it to Resolve.
func (b *registerBody) read(text []byte) {
	text = bytes.Clone(text) // the caller's goes to the next request
	flags := quick
	if len(text) <= maxPointedInto {
		flags |= json.ZeroCopy
	}
	behind, err := json.Parse(text, &b.RegisterRequest, flags)
	if err != nil || len(behind) > 0 || lenient(text) || !b.complete() {
		b.RegisterRequest, b.doubtful = RegisterRequest{}, text
	}
}

// lenient reports whether text may have something that the decoder takes for what it is
// not: null and "" are the zero value to it, and what is not UTF-8 is text.
func lenient(text []byte) bool {
	return bytes.Contains(text, []byte("null")) || bytes.Contains(text, []byte(`""`)) || !utf8.Valid(text)
}

// complete reports whether everything that the schema wants is surely there and
// within its bounds.
func (b *registerBody) complete() bool {
	h := b.Hardware
	return b.MAC != registry.MAC{} && len(b.MACs) <= 256 && len(b.Hostname) <= 253 && h.System != registry.System{} &&
		!slices.ContainsFunc(h.Disks, func(d registry.Disk) bool { return d.Name == "" }) &&
		!slices.ContainsFunc(h.OSFound, func(o registry.OSFound) bool { return o.Disk == "" || o.Name == "" })
}

// Resolve reads what was in doubt, and returns what is wrong with it.
func (b *registerBody) Resolve(huma.Context, *huma.PathBuffer) []error {
	if b.doubtful == nil {
		return nil
	}
	var parsed any
	if err := readJSON(b.doubtful, &parsed); err != nil {
		return []error{notJSON{err}}
	}
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	result := &huma.ValidateResult{}
	huma.Validate(schemas, b.Schema(schemas), huma.NewPathBuffer([]byte("body"), 4), huma.ModeWriteToServer, parsed, result)
	if len(result.Errors) > 0 {
		return result.Errors
	}
	if err := readJSON(b.doubtful, &b.RegisterRequest); err != nil {
		return []error{&huma.ErrorDetail{Location: "body", Message: err.Error()}}
	}
	return nil
}

// notJSON is what is wrong with a body that cannot be read at all.
type notJSON struct{ err error }

func (n notJSON) Error() string { return n.err.Error() }

// ErrorDetail is what huma makes a problem of.
func (n notJSON) ErrorDetail() *huma.ErrorDetail {
	return &huma.ErrorDetail{Location: "body", Message: n.Error()}
}

// GetStatus is the HTTP status.
func (notJSON) GetStatus() int { return http.StatusBadRequest }
