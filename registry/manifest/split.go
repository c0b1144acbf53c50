package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// part is one document of a text, before it is parsed.
type part struct {
	lines int // of the text before it
	text  []byte
}

// parts cuts a text into its documents, with the line "---" that begins one. No YAML
// text has such a line within a document (YAML 1.2.2 section 9.1.2). Each is parsed
// on its own, so that what is held of a large text is one document.
func parts(text []byte) iter.Seq[part] {
	return func(yield func(part) bool) {
		begin, from, line := 0, 0, 0
		for at := 0; at < len(text); line++ {
			end := len(text)
			if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
				end = at + i + 1
			}
			if at > begin && isMark(text[at:end]) {
				if !yield(part{lines: from, text: text[begin:at]}) {
					return
				}
				begin, from = at, line
			}
			at = end
		}
		if begin < len(text) {
			yield(part{lines: from, text: text[begin:]})
		}
	}
}

// isMark reports whether a line begins a document.
func isMark(line []byte) bool {
	rest, found := bytes.CutPrefix(line, []byte("---"))
	return found && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// readable errs where a text has what no text has: bytes that are not UTF-8, or
// control characters.
func readable(text []byte) error {
	line := 1
	for at := 0; at < len(text); {
		c, size := rune(text[at]), 1
		if c >= utf8.RuneSelf {
			if c, size = utf8.DecodeRune(text[at:]); c == utf8.RuneError && size == 1 {
				return refused(Problem{Line: line, Syntax: true, Message: fmt.Sprintf("byte %d of the text is not UTF-8", at)})
			}
		}
		switch {
		case c == '\n':
			line++
		case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
			return refused(Problem{Line: line, Syntax: true, Message: fmt.Sprintf("byte %d of the text is the control character %U", at, c)})
		}
		at += size
	}
	return nil
}

// parse is the root of a document; nil where it is empty or cannot be parsed.
func (d *decoder) parse(p part) *yaml.Node {
	d.lines = p.lines
	first := &yaml.Node{Line: 1}
	if len(p.text) > maxDocument && !d.own {
		d.problem(first, nil, "the document has %d bytes; at most %d", len(p.text), maxDocument)
		return nil
	}
	if len(bytes.TrimSpace(bytes.TrimPrefix(p.text, []byte("---")))) == 0 {
		return nil // as between two marks
	}
	// Every node but the first has one of these before it or behind it.
	if !d.own && countAny(p.text, ",:-[{?") > maxParts {
		d.problem(first, nil, "the document has too many parts; at most %d", maxParts)
		return nil
	}
	var doc, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(p.text))
	err := decoder.Decode(&doc)
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			d.problem(&second, nil, "a second document begins here: put --- before it")
			return nil
		}
	}
	switch {
	case errors.Is(err, io.EOF) && len(doc.Content) == 0:
		return nil
	case !errors.Is(err, io.EOF):
		d.syntax(err)
		return nil
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" && root.Value == "" && root.Anchor == "" {
		return nil // two marks with nothing between them
	}
	return root
}

func countAny(text []byte, of string) (n int) {
	for i := range len(of) {
		n += bytes.Count(text, []byte{of[i]})
	}
	return n
}

// yamlLine is how the YAML library says where: "yaml: line 7: did not find ...".
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntax notes what the YAML library says.
func (d *decoder) syntax(err error) {
	text := err.Error()
	found := yamlLine.FindStringSubmatch(text)
	line, numberErr := strconv.Atoi(found[1])
	if numberErr != nil {
		line = 1
	}
	d.add(Problem{Line: d.lines + line, Syntax: true, Message: "this is no YAML: " + strings.TrimPrefix(text, found[0])})
}
