package seed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The YAML of several authors is merged as a tree of nodes, so that a value stays
// as it was written: cloud-init reads YAML 1.1, in which yes is true and 0644 is
// octal, and we need not know.

// mistake is what is wrong with a text, and where.
type mistake struct {
	line    int // from 1; 0: not known
	message string
}

func (m *mistake) Error() string {
	if m.line == 0 {
		return m.message
	}
	return fmt.Sprintf("line %d: %s", m.line, m.message)
}

func mistakeAt(n *yaml.Node, format string, args ...any) error {
	return &mistake{n.Line, fmt.Sprintf(format, args...)}
}

// parseYAML reads the documents of a text. In what it returns nothing is an alias,
// keys are scalars and unique, and there are no comments, anchors or tags of
// somebody's own. What it has of values is taken from budget.
func parseYAML(text string, budget *int) (docs []*yaml.Node, err error) {
	reader := &lineReader{rest: text}
	decoder := yaml.NewDecoder(reader)
	for {
		var doc yaml.Node
		if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, syntaxError(err, reader.lines)
		}
		flat, err := (&flattener{budget: budget}).flatten(doc.Content[0], 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, flat)
	}
}

// lineReader hands out a line at a time, and so knows how far somebody has read.
type lineReader struct {
	rest  string
	lines int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := strings.IndexByte(r.rest, '\n') + 1
	if n == 0 {
		n = len(r.rest)
	}
	if n = copy(p, r.rest[:n]); r.rest[n-1] == '\n' || n == len(r.rest) {
		r.lines++
	}
	r.rest = r.rest[n:]
	return n, nil
}

var (
	yamlLine = regexp.MustCompile(`^line (\d+): `)
	// yamlParser are the messages that come with the line on which the whole of what is
	// broken begins, counted from 0 (the library's decode.go, parser.fail, which adds 1
	// for its scanner alone).
	yamlParser = regexp.MustCompile(`^did not find expected (<|node content|',' or|key|'-' indicator)`)
)

// syntaxError is what the parser says, in one line and with the line of the text;
// read is how many it has read.
func syntaxError(err error, read int) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	at := yamlLine.FindStringSubmatch(message)
	if at == nil {
		return &mistake{read, "not YAML: " + message}
	}
	line, _ := strconv.Atoi(at[1])
	message = strings.TrimPrefix(message, at[0])
	if !yamlParser.MatchString(message) {
		return &mistake{line, "not YAML: " + message}
	}
	return &mistake{line + 1, fmt.Sprintf("what begins here is not YAML on or before line %d: %s", max(read, line+1), message)}
}

// flattener copies nodes without aliases. What aliases multiply counts as often as
// it would be written.
type flattener struct{ budget *int }

func (f *flattener) flatten(n *yaml.Node, depth int) (*yaml.Node, error) {
	line := n.Line
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if *f.budget--; *f.budget < 0 {
		return nil, &mistake{line, fmt.Sprintf("there are more than %d values in all; aliases multiply", maxNodes)}
	}
	if depth > maxDepth {
		return nil, &mistake{line, fmt.Sprintf("it is nested more than %d deep, or an alias is within what it stands for", maxDepth)}
	}
	if !isCoreTag(n) {
		return nil, mistakeAt(n, "the tag %s is unknown to those who read this", n.Tag)
	}
	flat := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: line}
	switch n.Kind {
	case yaml.MappingNode:
		return flat, f.members(flat, n, depth)
	case yaml.SequenceNode:
		for _, entry := range n.Content {
			entry, err := f.flatten(entry, depth+1)
			if err != nil {
				return nil, err
			}
			flat.Content = append(flat.Content, entry)
		}
	}
	return flat, nil
}

// isCoreTag reports whether a node is of a type of YAML's own.
func isCoreTag(n *yaml.Node) bool {
	return n.Tag == "" || slices.Contains([]string{"!!map", "!!seq", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!binary", "!!timestamp", "!!merge"}, n.ShortTag())
}

// members copies the members of a mapping, its own before those that << merges into
// it; what is there already is not merged.
func (f *flattener) members(flat, n *yaml.Node, depth int) error {
	lines := map[string]int{} // of the keys so far
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		first, twice := lines[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			return mistakeAt(n.Content[i], "a key is a text or a number")
		case isMerge(key):
			continue
		case twice:
			return mistakeAt(n.Content[i], "%s is there a second time; the first is on line %d", short(key.Value), first)
		}
		lines[key.Value] = n.Content[i].Line
		if err := f.member(flat, key, n.Content[i+1], depth); err != nil {
			return err
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			if err := f.merge(flat, n.Content[i+1], depth+1, lines); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *flattener) member(flat, key, value *yaml.Node, depth int) error {
	k, err := f.flatten(key, depth+1)
	if err != nil {
		return err
	}
	v, err := f.flatten(value, depth+1)
	flat.Content = append(flat.Content, k, v)
	return err
}

// merge adds what << names: a mapping, or a list of them, of which the first wins.
func (f *flattener) merge(flat, from *yaml.Node, depth int, have map[string]int) error {
	line := from.Line
	from, err := f.flatten(from, depth)
	if err != nil {
		return err
	}
	all := []*yaml.Node{from}
	if from.Kind == yaml.SequenceNode {
		all = from.Content
	}
	for _, one := range all {
		if one.Kind != yaml.MappingNode {
			return &mistake{line, "<< takes a mapping, by an alias such as <<: *common"}
		}
		for i := 0; i+1 < len(one.Content); i += 2 {
			if _, there := have[one.Content[i].Value]; !there {
				have[one.Content[i].Value] = line
				flat.Content = append(flat.Content, one.Content[i], one.Content[i+1])
			}
		}
	}
	return nil
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.ShortTag() == "!!merge"
}

// valueOf is the value of a key; nil where the mapping has none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	}
	return "a single value"
}

// encode writes a document as YAML. It cannot fail: what comes in was parsed, or is
// made of texts and numbers.
func encode(doc any) string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(doc); err != nil {
		panic(err)
	}
	return out.String()
}

// node is a value as a tree.
func node(value any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(value); err != nil {
		panic(err)
	}
	return n
}
