package ui

import (
	"context"
	"io"
	"regexp"

	"github.com/a-h/templ"
)

// hyphened is a word that a browser would break at a hyphen in it: a name, a flag of the
// command line. What follows it without a space stays with it.
var hyphened = regexp.MustCompile(`\S*-\S*`)

// whole is text in which such a word is broken only where it is wider than the line.
func whole(text string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var html []byte
		at := 0
		for _, word := range hyphened.FindAllStringIndex(text, -1) {
			html = append(html, templ.EscapeString(text[at:word[0]])...)
			at = word[1]
			html = append(html, `<span class="whole">`...)
			html = append(html, templ.EscapeString(text[word[0]:at])...)
			html = append(html, "</span>"...)
		}
		_, err := w.Write(append(html, templ.EscapeString(text[at:])...))
		return err
	})
}
