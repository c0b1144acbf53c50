package manifest

import (
	"fmt"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// Version is the apiVersion of every document.
const Version = "dragonfly/v1"

// Kind is what a document is about.
type Kind string

// The kinds.
const (
	Machine  Kind = "Machine"  // one machine
	Rules    Kind = "Rules"    // the rules on registration, all of them
	Defaults Kind = "Defaults" // what every deployment begins from, all of it

	OperatingSystem Kind = "OperatingSystem" // one operating system of the catalogue
)

// Kinds lists the kinds in the order in which they are written.
func Kinds() []Kind { return []Kind{Defaults, Rules, OperatingSystem, Machine} }

// The limits, far above what a document needs.
const (
	MaxText      = 10 << 20                // bytes of a text
	MaxDocuments = registry.MaxImport + 10 // of a text
	maxDocument  = 1 << 20                 // bytes of a document
	maxParts     = 200_000                 // what a YAML reader may make a node of, in a document
	maxProblems  = 10                      // told at once
)

// Document is one document of a manifest.
type Document struct {
	Kind     Kind
	Line     int    // where it begins, from 1
	Text     []byte // as it is written
	Machine  registry.Listed
	Rules    []registry.Rule
	Defaults registry.Seed
	OS       registry.OS
}

// Parse reads a manifest. The error is an [*InvalidError] with all that is wrong,
// also with single values, and with documents about the same.
func Parse(text []byte) ([]Document, error) {
	if len(text) > MaxText {
		return nil, refused(Problem{Message: fmt.Sprintf("the text has %d bytes; at most %d", len(text), MaxText)})
	}
	return parse(text, MaxDocuments)
}

// ParseAll is [Parse] without bounds on the text and the number of its documents,
// for a text of one's own.
func ParseAll(text []byte) ([]Document, error) { return parse(text, math.MaxInt) }

func parse(text []byte, limit int) ([]Document, error) {
	if err := readable(text); err != nil {
		return nil, err
	}
	var docs []Document
	d, read := &decoder{most: maxProblems}, 0
	for part := range parts(text) {
		if read++; read > limit {
			d.add(Problem{Line: part.lines + 1, Message: fmt.Sprintf("more than %d documents, of which this is the next: bring them in several texts", limit)})
			break
		}
		before := len(d.problems)
		doc := d.document(part)
		if wrong := len(d.problems) > before; doc != nil || wrong {
			d.number++
			if !wrong {
				docs = append(docs, *doc)
			}
		}
		if len(d.problems) >= d.most {
			break
		}
	}
	if len(docs) == 0 && len(d.problems) == 0 {
		d.add(Problem{Line: 1, Message: "there is no document; want apiVersion: " + Version + " and a kind"})
	}
	if len(d.problems) == 0 {
		d.problems = twice(docs, "document")
	}
	return docs, d.invalid()
}

// about is what there is one of that a document has, which is no machine.
func (doc Document) about() string {
	if doc.Kind == OperatingSystem {
		return "the operating system " + doc.OS.ID
	}
	return strings.ToLower(string(doc.Kind))
}

// twice are the documents that are about the same as one before them, which is
// called a document or whatever it is in the text.
func twice(docs []Document, called string) (problems []Problem) {
	var machines []registry.Listed
	var at []int                 // their documents
	settings := map[string]int{} // line
	for i, doc := range docs {
		switch {
		case doc.Kind == Machine:
			machines, at = append(machines, doc.Machine), append(at, i)
		case settings[doc.about()] > 0:
			problems = append(problems, Problem{Line: doc.Line, Document: i, First: settings[doc.about()],
				Message: "another document has " + doc.about() + " too: make one of them"})
		default:
			settings[doc.about()] = doc.Line
		}
	}
	for _, t := range registry.FindTwice(machines) {
		first, second := at[t.First], at[t.Second]
		problems = append(problems, Problem{Line: docs[second].Line, Document: second, First: docs[first].Line,
			Message: t.What + " is that of another " + called + " too"})
	}
	return problems
}

// Unmarshal reads one document of YAML or JSON into the struct or slice that into
// points to, by its json tags, as strictly as [Parse].
func Unmarshal(text []byte, into any) error {
	if err := readable(text); err != nil {
		return err
	}
	d := &decoder{most: maxProblems}
	if root := d.parse(part{text: text}); root != nil {
		d.into(root, into)
	}
	return d.invalid()
}

// document reads one; nil where it is empty or cannot be parsed.
func (d *decoder) document(p part) *Document {
	root := d.parse(p)
	if root == nil {
		return nil
	}
	doc := &Document{Line: p.lines + root.Line, Text: p.text}
	d.read(root, doc)
	return doc
}

// head is what every document begins with.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       Kind   `json:"kind"`
}

// read reads a document of whatever kind it is.
func (d *decoder) read(root *yaml.Node, doc *Document) {
	if root.Kind != yaml.MappingNode {
		d.problem(root, nil, "want fields, of which apiVersion: %s and kind are two, and not %s", Version, kindOf(root))
		return
	}
	if !d.oneOf(root, "apiVersion", []string{Version}) {
		return
	}
	known := make([]string, 0, len(Kinds()))
	for _, kind := range Kinds() {
		known = append(known, string(kind))
	}
	if !d.oneOf(root, "kind", known) {
		return
	}
	switch doc.Kind = Kind(child(root, "kind").Value); doc.Kind {
	case Machine:
		var m struct {
			head
			registry.Listed
		}
		if d.into(root, &m) {
			doc.Machine = m.Listed
			d.check(root, m.Validate())
		}
	case Defaults:
		var seed struct {
			head
			registry.Seed
		}
		if d.into(root, &seed) {
			doc.Defaults = seed.Seed
		}
	case OperatingSystem:
		var system struct {
			head
			registry.OS
		}
		if d.into(root, &system) {
			doc.OS = system.OS
			d.check(root, system.Validate())
		}
	case Rules:
		var set struct {
			head
			Rules []registry.Rule `json:"rules"`
		}
		switch {
		case !d.into(root, &set):
		case set.Rules == nil:
			d.problem(root, (*place)(nil).to("rules"), "it is missing; want a list, [] for no rules")
		default:
			doc.Rules = set.Rules
			d.check(root, registry.RuleSet{Rules: set.Rules}.Validate())
		}
	}
}

// oneOf reports whether a member of root is one of the words, or says what it is.
func (d *decoder) oneOf(root *yaml.Node, key string, words []string) bool {
	n := child(root, key)
	switch {
	case n == nil:
		d.problem(root, (*place)(nil).to(key), "it is missing; want %s", orList(words))
		return false
	case n.Kind != yaml.ScalarNode:
		d.problem(n, (*place)(nil).to(key), "want %s and not %s", orList(words), kindOf(n))
		return false
	}
	for _, word := range words {
		if n.Value == word {
			return true
		}
	}
	message := fmt.Sprintf("%.40q is not known here; want %s", n.Value, orList(words))
	if near := registry.Nearest(n.Value, words); near != "" && len(words) > 1 {
		message = fmt.Sprintf("%.40q is not known here; did you mean %s?", n.Value, near)
	}
	d.problem(n, (*place)(nil).to(key), "%s", message)
	return false
}
