package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// Problem is one thing that is wrong with a text.
type Problem struct {
	Line     int    // from 1; 0: not known
	Document int    // how many documents are before it
	Pointer  string // where in the document, as a JSON pointer; empty for all of it
	Message  string
	First    int  // line of the first of two, where Line has the second; 0: there are no two
	Syntax   bool // the text is no YAML
}

// String is the problem in a line: "line 14: rules[0].mach: there is no such
// field; did you mean match?".
func (p Problem) String() string {
	text := p.Text()
	if where := p.Field(); where != "" {
		text = where + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("line %d: %s", p.Line, text)
	}
	return text
}

// Text is the message with the other line it is about, without the place.
func (p Problem) Text() string {
	if p.First == 0 {
		return p.Message
	}
	return fmt.Sprintf("%s (the first is on line %d)", p.Message, p.First)
}

// Field is the pointer as people write it, such as "rules[0].match".
func (p Problem) Field() string {
	var b strings.Builder
	for _, step := range steps(p.Pointer) {
		if _, err := strconv.Atoi(step); err == nil && b.Len() > 0 {
			b.WriteString("[" + step + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}

// InvalidError is a text that cannot be used, and what is wrong with it, in the order
// of its lines.
type InvalidError struct {
	Problems []Problem
}

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Syntax reports whether the text is no YAML at all.
func (e *InvalidError) Syntax() bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Syntax })
}

func refused(p Problem) error { return &InvalidError{[]Problem{p}} }

// invalid is the error of the problems; nil where there are none.
func (d *decoder) invalid() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &InvalidError{d.problems[:min(len(d.problems), d.most)]}
}

func (d *decoder) add(p Problem) {
	p.Document = d.number
	d.problems = append(d.problems, p)
}

// problem notes what is wrong at a node of the document that is read.
func (d *decoder) problem(n *yaml.Node, at *place, format string, args ...any) {
	if len(d.problems) < d.most {
		d.add(Problem{Line: d.lines + n.Line, Pointer: at.String(), Message: fmt.Sprintf(format, args...)})
	}
}

// check notes what the registry says of what was read.
func (d *decoder) check(root *yaml.Node, err error) {
	wrong, ok := errors.AsType[*registry.InvalidError](err)
	if !ok {
		return
	}
	for _, f := range wrong.Fields {
		n, at := root, (*place)(nil)
		for _, step := range steps(f.Pointer) {
			at = at.to(step)
			if below := child(n, step); below != nil {
				n = below
			}
		}
		d.problem(n, at, "%s", f.Message)
	}
}

// steps are the parts of a JSON pointer.
func steps(pointer string) []string {
	if pointer == "" {
		return nil
	}
	all := strings.Split(pointer[1:], "/")
	for i := range all {
		all[i] = strings.ReplaceAll(strings.ReplaceAll(all[i], "~1", "/"), "~0", "~")
	}
	return all
}

// place is where in a document a value is; nil is all of it. It is written down only
// where something is wrong.
type place struct {
	above *place
	step  string
}

func (p *place) to(step string) *place { return &place{p, step} }

// String is the place as a JSON pointer.
func (p *place) String() string {
	if p == nil {
		return ""
	}
	return p.above.String() + "/" + strings.ReplaceAll(strings.ReplaceAll(short(p.step), "~", "~0"), "/", "~1")
}

// child is the value of a mapping for a key, or the entry of a list at an index; nil
// where there is none.
func child(n *yaml.Node, step string) *yaml.Node {
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// kindOf is what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "text"
}

// orList is "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
