package tinkerbell

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is a template that was found in a file.
type Document struct {
	Name string // of the Kubernetes object; empty for a file that is a template itself
	Text []byte
	// Lines and Columns are how many of the file are before the text: what has to be
	// added to a place of the text to have that of the file.
	Lines, Columns int
}

// isObject is what a file with Kubernetes objects has, and no template.
var isObject = regexp.MustCompile(`(?m)^["']?apiVersion["']?\s*:`)

// Documents finds the templates of a file: those of the Kubernetes objects of kind
// Template in it, whose spec.data they are, or else the file itself.
func Documents(file []byte) ([]Document, error) {
	if !isObject.Match(file) {
		return []Document{{Text: file}}, nil
	}
	var all []Document
	for decoder := yaml.NewDecoder(bytes.NewReader(file)); ; {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r := &reader{origin: asItIs}
			r.syntax(err)
			return nil, invalid(r.problems)
		}
		if data := dataIn(doc.Content[0]); data != nil {
			all = append(all, documentOf(file, memberOf(memberOf(doc.Content[0], "metadata"), "name").Value, data))
		}
	}
	if len(all) == 0 {
		return nil, refuse("there are Kubernetes objects and none is a Template with spec.data as a text")
	}
	return all, nil
}

func asItIs(line, column int) (int, int) { return line, column }

// dataIn is the text of a Template; nil where the object is none.
func dataIn(object *yaml.Node) *yaml.Node {
	if memberOf(object, "kind").Value != "Template" {
		return nil
	}
	data := resolved(memberOf(memberOf(object, "spec"), "data"))
	if data.Kind != yaml.ScalarNode {
		return nil
	}
	return data
}

func documentOf(file []byte, name string, data *yaml.Node) Document {
	d := Document{Name: name, Text: []byte(data.Value), Lines: data.Line - 1}
	if data.Style&yaml.LiteralStyle == 0 {
		return d // its lines are not those of the file; the first one is
	}
	d.Lines = data.Line // the text begins on the line after the |
	_, below, _ := strings.Cut(string(file[offsetOf(file, data.Line, 1):]), "\n")
	d.Columns = max(0, indentOf(firstLine(below))-indentOf(firstLine(data.Value)))
	return d
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// InFile is a problem of the text with its place in the file.
func (d Document) InFile(p Problem) Problem {
	for _, line := range []*int{&p.Line, &p.First} {
		if *line > 0 {
			*line += d.Lines
		}
	}
	if p.Column > 0 {
		p.Column += d.Columns
	}
	return p
}
