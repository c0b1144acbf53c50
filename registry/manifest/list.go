package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// Format is how a list of machines is written.
type Format string

// The formats.
const (
	CSV  Format = "csv"  // a line of column names, and one for each machine; with commas, semicolons or tabs
	JSON Format = "json" // an array of objects, or objects one after the other, as in a line each
	YAML Format = "yaml" // a list of machines, or documents
)

// FormatOf is the format of a file of that name, by what it ends in; empty where
// that says nothing.
func FormatOf(name string) Format {
	end := strings.ToLower(strings.TrimPrefix(filepath.Ext(name), "."))
	for format, ends := range map[Format][]string{CSV: {"csv", "tsv", "tab"}, JSON: {"json", "jsonl", "ndjson"}, YAML: {"yaml", "yml"}} {
		if slices.Contains(ends, end) {
			return format
		}
	}
	return ""
}

// Formats lists the formats.
func Formats() []string { return []string{string(CSV), string(JSON), string(YAML)} }

// maxListProblems is how many things that are wrong with a list are told at once.
const maxListProblems = 100

// ParseList reads a list of at most so many machines, as people keep one. The
// documents are those that [Parse] would read of the same machines. What is empty
// in a sheet is not said. A machine has the fields of a [registry.Listed], which may
// be called as in [columnNames], and several values of one field may be one text,
// as in a cell of a sheet; a field label.KEY sets one label.
//
// The error is an [*InvalidError] with all that is wrong, up to a hundred things.
func ParseList(text []byte, format Format, most int) ([]Document, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if err := readable(text); err != nil {
		wrong, _ := errors.AsType[*InvalidError](err)
		wrong.Problems[0].Message += ": save the list as UTF-8, which spreadsheets call CSV UTF-8"
		return nil, err
	}
	l := &list{decoder: decoder{most: maxListProblems, own: true}, limit: most}
	switch format {
	case CSV:
		l.sheet(text)
	case JSON:
		l.objects(text)
	default:
		l.documents(text)
	}
	if len(l.docs) == 0 && len(l.problems) == 0 {
		l.add(Problem{Line: 1, Message: "there is no machine in it"})
	}
	if len(l.problems) == 0 {
		l.problems = twice(l.docs, "machine")
	}
	return l.docs, l.invalid()
}

// list is a list of machines that is being read.
type list struct {
	decoder
	limit int // of machines
	docs  []Document
}

// full reports whether nothing more is to be read.
func (l *list) full() bool { return len(l.problems) >= l.most }

// documents reads YAML.
func (l *list) documents(text []byte) {
	for part := range parts(text) {
		root := l.parse(part)
		switch {
		case root == nil:
		case root.Kind == yaml.SequenceNode:
			for _, n := range root.Content {
				l.machine(n)
			}
		default:
			l.machine(root)
		}
		if l.full() {
			return
		}
	}
}

// objects reads JSON. Each object is read as YAML, which it is, so that all that is
// wrong has its line.
func (l *list) objects(text []byte) {
	in := json.NewDecoder(bytes.NewReader(text))
	array := bytes.HasPrefix(bytes.TrimSpace(text), []byte("["))
	if array {
		_, _ = in.Token() // it is there
	}
	for lines, at := 0, 0; in.More() && !l.full(); {
		var object json.RawMessage
		if err := in.Decode(&object); err != nil {
			l.noJSON(text, err)
			return
		}
		begin := int(in.InputOffset()) - len(object)
		lines, at = lines+bytes.Count(text[at:begin], []byte("\n")), begin
		if root := l.parse(part{lines: lines, text: withoutPairs(object)}); root != nil {
			l.machine(root)
		}
	}
	if l.full() {
		return
	}
	if array {
		if _, err := in.Token(); err != nil {
			l.noJSON(text, err)
			return
		}
	}
	end := int64(len(text) - len(bytes.TrimLeft(text[in.InputOffset():], " \t\r\n")))
	if end < int64(len(text)) {
		l.add(Problem{Line: lineOf(text, end), Syntax: true, Message: "something is behind the end of the list"})
	}
}

// pair is a character beyond the first 65,536 as JSON may write it, and YAML not.
var pair = regexp.MustCompile(`\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})`)

// withoutPairs is an object with such characters as they are.
func withoutPairs(object []byte) []byte {
	return pair.ReplaceAllFunc(object, func(found []byte) []byte {
		first, _ := strconv.ParseUint(string(found[2:6]), 16, 16)
		second, _ := strconv.ParseUint(string(found[8:12]), 16, 16)
		return []byte(string(utf16.DecodeRune(rune(first), rune(second))))
	})
}

// noJSON notes what the JSON library says.
func (l *list) noJSON(text []byte, err error) {
	at := int64(len(text))
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = wrong.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	l.add(Problem{Line: lineOf(text, at), Syntax: true, Message: "this is no JSON: " + err.Error()})
}

// lineOf is the line of a place in a text.
func lineOf(text []byte, at int64) int {
	return 1 + bytes.Count(text[:min(max(at, 0), int64(len(text)))], []byte("\n"))
}

// machine reads one machine: a document, or fields.
func (l *list) machine(root *yaml.Node) {
	if l.full() {
		return
	}
	doc := Document{Kind: Machine, Line: l.lines + root.Line}
	before := len(l.problems)
	switch {
	case len(l.docs) == l.limit:
		l.problem(root, nil, "more than %d machines, of which this is the next: bring them in several lists", l.limit)
	case root.Kind != yaml.MappingNode:
		l.problem(root, nil, "want the fields of a machine and not %s", kindOf(root))
	case child(root, "apiVersion") == nil:
		doc.Machine = l.flat(root)
	default:
		if l.read(root, &doc); doc.Kind != Machine {
			l.problem(root, nil, "this is about %s, and not a machine: leave it out here, and apply it", doc.about())
		}
	}
	if l.number++; len(l.problems) > before {
		return
	}
	text, err := Marshal(struct {
		head
		registry.Listed
	}{head{Version, Machine}, doc.Machine})
	if err != nil {
		l.problem(root, nil, "%s", err)
	}
	doc.Text = text
	l.docs = append(l.docs, doc)
}

// flat reads a machine from fields that may be called, and written, as in a sheet.
func (l *list) flat(fields *yaml.Node) (m registry.Listed) {
	before := len(l.problems)
	row := rowOf(fields)
	if l.into(row.node, &m) {
		l.check(row.node, m.Validate())
	}
	for i := range l.problems[before:] {
		p := &l.problems[before+i]
		if name, ok := row.called[p.Pointer]; ok {
			p.Pointer = (*place)(nil).to(name).String()
		}
	}
	for _, w := range row.wrong {
		l.problem(text("", w.line), (*place)(nil).to(w.field), "%.40q is no label: want KEY=VALUE; a value with blanks goes into a field label.KEY", w.word)
	}
	return m
}
