package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// Error is a problem+json answer (RFC 9457), and what [Client] returns for one.
type Error struct {
	Status int          `json:"status" doc:"the HTTP status" example:"422"`
	Title  string       `json:"title" doc:"the kind of problem" example:"Unprocessable Entity"`
	Detail string       `json:"detail,omitempty" doc:"what is wrong, and what to do" example:"some fields are not acceptable"`
	Errors []FieldError `json:"errors,omitempty" doc:"what is wrong with single fields; at most 10"`
}

// FieldError is one wrong field of a request.
type FieldError struct {
	In      string `json:"in" enum:"body,query,path,header" doc:"the part of the request"`
	Pointer string `json:"pointer" doc:"where in that part, as a JSON pointer (RFC 6901); empty for all of it" example:"/hardware/disks/3/bytes"`
	Line    int    `json:"line,omitempty" doc:"of a body that is YAML, whose pointers begin with the number of a document, from 0"`
	Message string `json:"message" doc:"what is wrong with it" example:"number is out of range"`
}

func (e *Error) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	for _, field := range e.Errors {
		where := strings.TrimPrefix(field.Pointer, "/")
		if where == "" {
			where = field.In
		}
		if field.Line > 0 {
			where = fmt.Sprintf("line %d, %s", field.Line, where)
		}
		text = registry.Clauses(text, where+": "+field.Message)
	}
	return fmt.Sprintf("%d: %s", e.Status, text)
}

// GetStatus is the HTTP status.
func (e *Error) GetStatus() int { return e.Status }

// ContentType is that of a problem document.
func (*Error) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// Status is the HTTP status of an [*Error] in err's chain; 0 where there is none.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// maxErrors is how many wrong fields are told at once.
const maxErrors = 10

// problemOf brings the problems that huma finds with a request into our form: it is
// a [huma.Transformer]. What the client sent is not sent back: it is long, or a
// password.
func problemOf(api *huma.OpenAPI) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		model, ok := v.(*huma.ErrorModel)
		if !ok {
			return v, nil
		}
		e := &Error{Status: model.Status, Title: model.Title, Detail: model.Detail}
		if e.Title == "" {
			e.Title = statusText(model.Status)
		}
		body := bodySchema(api, ctx.Operation())
		for _, d := range model.Errors[:min(len(model.Errors), maxErrors)] {
			f := fieldError(d, body)
			if d.Message == "unknown query parameter" {
				f.Message = noParameter(strings.TrimPrefix(d.Location, "query."), ctx.Operation())
			}
			if strings.HasPrefix(f.Message, huma.ErrUnknownContentType.Error()) {
				f.Message += "; want " + strings.Join(typesOf(ctx.Operation()), " or ")
			}
			e.Errors = append(e.Errors, f)
		}
		return e, nil
	}
}

// noParameter says that op takes no parameter of that name, and what was meant.
func noParameter(name string, op *huma.Operation) string {
	var names []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	text := fmt.Sprintf("there is no parameter %.80q", name)
	if near := registry.Nearest(name, names); near != "" {
		return text + "; did you mean " + near + "?"
	}
	if len(names) == 0 {
		return text + "; none is taken here"
	}
	return text + "; want " + strings.Join(names, ", ")
}

// typesOf are the types of a body that op takes.
func typesOf(op *huma.Operation) []string {
	if op.RequestBody == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(op.RequestBody.Content))
}

// statusText is [http.StatusText], and one for the status of nginx for a client
// that went away.
func statusText(status int) string {
	if status == statusGone {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// fieldError is d in our form. huma writes "body.hardware.disks[3].bytes".
func fieldError(d *huma.ErrorDetail, body schema) FieldError {
	in, path, _ := strings.Cut(d.Location, ".")
	f := FieldError{In: in, Message: d.Message}
	steps := strings.FieldsFunc(strings.ReplaceAll(path, "[", "."), func(r rune) bool { return r == '.' || r == ']' })
	if in != "body" {
		steps = slices.DeleteFunc([]string{path}, func(s string) bool { return s == "" })
	}
	switch missing, _ := strings.CutPrefix(d.Message, "expected required property "); {
	case missing != d.Message:
		name, _, _ := strings.Cut(missing, " ")
		steps, f.Message = append(steps, name), "it is missing"
	case d.Message == "unexpected property":
		above, name := unexpected(path, d.Value)
		steps = append(above, name)
		f.Message = fmt.Sprintf("there is no member %.80q", name)
		if near := registry.Nearest(name, body.at(above).names()); near != "" {
			f.Message += "; did you mean " + near + "?"
		}
	}
	f.Pointer = pointer(steps...)
	return f
}

// unexpected splits the path of a member that is not known. Its name may have dots,
// so it is looked for in the object it is a member of.
func unexpected(path string, object any) (above []string, name string) {
	members, _ := object.(map[string]any)
	for key := range members {
		if len(key) > len(name) && (path == key || strings.HasSuffix(path, "."+key)) {
			name = key
		}
	}
	rest := strings.TrimSuffix(strings.TrimSuffix(path, name), ".")
	return strings.FieldsFunc(rest, func(r rune) bool { return r == '.' || r == '[' || r == ']' }), name
}

// pointer is a JSON pointer of these steps.
func pointer(steps ...string) string {
	var b strings.Builder
	for _, step := range steps {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return b.String()
}

// schema is a part of the OpenAPI document; the zero value is one that is not there.
type schema struct {
	of  *huma.Schema
	api *huma.OpenAPI
}

func bodySchema(api *huma.OpenAPI, op *huma.Operation) schema {
	if op == nil || op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return schema{}
	}
	return schema{op.RequestBody.Content["application/json"].Schema, api}
}

// at is the schema further down.
func (s schema) at(steps []string) schema {
	s = s.resolve()
	for _, step := range steps {
		if s.of == nil {
			break
		}
		if s.of.Items != nil {
			s.of = s.of.Items
		} else {
			s.of = s.of.Properties[step]
		}
		s = s.resolve()
	}
	return s
}

func (s schema) resolve() schema {
	if s.of != nil && s.of.Ref != "" {
		s.of = s.api.Components.Schemas.SchemaFromRef(s.of.Ref)
	}
	return s
}

// names are those of the members.
func (s schema) names() []string {
	if s.of == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.of.Properties))
}
