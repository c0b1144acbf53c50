package tinkerbell

import (
	"fmt"
	"strings"
	"text/template"
)

// templateName is what text/template calls the template in its errors.
const templateName = "template"

// Rendered is the text that a template gave, and where each part was written.
type Rendered struct {
	Text   []byte
	source *sourceMap
}

// Parse is [Parse]; lines and columns are those of the template.
func (r Rendered) Parse() (Template, error) {
	return read(r.Text, r.source.origin)
}

// Render puts data into a template, as Tinkerbell does: a value that is not there
// is an error. The error is an [*InvalidError] with the line and what data there
// is. It ends after 5 s, and gives at most [MaxRendered] bytes.
func Render(text []byte, data Data) (r Rendered, err error) {
	if len(text) > MaxText {
		return r, refuse("the template has %d bytes; want at most %d", len(text), MaxText)
	}
	defer func() { // no template is known that gets here; one that does must not stop the server
		if cause := recover(); cause != nil {
			r, err = Rendered{}, refuse("the template cannot be rendered: %v", cause)
		}
	}()
	guard := newGuard()
	t, err := template.New(templateName).Option("missingkey=error").Funcs(guard.functions()).Parse(string(text))
	if err != nil {
		return r, explain(err, data)
	}
	guard.instrument(t)
	out := newSourceMap(string(text), t)
	if err := t.Execute(out, map[string]any(data)); err != nil {
		return r, explain(err, data)
	}
	return Rendered{out.text, out}, nil
}

func refuse(format string, args ...any) error {
	return &InvalidError{[]Problem{{Message: fmt.Sprintf(format, args...)}}}
}

// Check renders a template with the data of a machine, and says all that is wrong
// with it: the result is what would be carried out.
func Check(text []byte, data Data) (t Template, err error) {
	rendered, err := Render(text, data)
	if err == nil {
		t, err = rendered.Parse()
	}
	if err == nil {
		err = t.Validate()
	}
	return t, err
}

// firstLine is the text up to its end of line.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
