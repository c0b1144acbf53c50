package manifest

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// Writer writes a manifest, document by document.
type Writer struct {
	w     io.Writer
	begun bool
}

// NewWriter returns a writer to w, which gets each document in a few parts.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Machine writes what is kept of a machine.
func (w *Writer) Machine(m registry.Machine) error {
	return w.write(struct {
		head
		registry.Listed
	}{head{Version, Machine}, m.Listed()})
}

// Rules writes the rules.
func (w *Writer) Rules(rules []registry.Rule) error {
	return w.write(struct {
		head
		Rules []registry.Rule `json:"rules"`
	}{head{Version, Rules}, rules})
}

// Defaults writes what every deployment begins from.
func (w *Writer) Defaults(seed registry.Seed) error {
	return w.write(struct {
		head
		registry.Seed
	}{head{Version, Defaults}, seed})
}

// OS writes an operating system of the catalogue.
func (w *Writer) OS(o registry.OS) error {
	return w.write(struct {
		head
		registry.OS
	}{head{Version, OperatingSystem}, o})
}

// write writes a document, with an encoder of its own: one keeps what it has written
// to its end.
func (w *Writer) write(document any) error {
	var err error
	if w.begun {
		_, err = io.WriteString(w.w, "---\n")
	}
	w.begun = true
	out := yaml.NewEncoder(w.w)
	out.SetIndent(2)
	out.CompactSeqIndent()
	if err := errors.Join(err, out.Encode(encode(reflect.ValueOf(document))), out.Close()); err != nil {
		return fmt.Errorf("write a manifest: %w", err)
	}
	return nil
}

// Marshal is a struct or a slice as YAML, as a [Writer] writes it: what [Unmarshal]
// reads.
func Marshal(value any) ([]byte, error) {
	var text bytes.Buffer
	err := NewWriter(&text).write(value)
	return text.Bytes(), err
}

// encode is a value as a YAML node: a struct by its json tags, a map by its keys.
func encode(v reflect.Value) *yaml.Node {
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		bytes, err := text.MarshalText()
		if err != nil {
			panic(err) // no address and no time that is stored
		}
		return scalar(string(bytes))
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
		}
		return encode(v.Elem())
	case reflect.String:
		return scalar(v.String())
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case reflect.Int, reflect.Int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}
	case reflect.Slice:
		n.Kind = yaml.SequenceNode
		for i := range v.Len() {
			n.Content = append(n.Content, encode(v.Index(i)))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			n.Content = append(n.Content, scalar(key.String()), encode(v.MapIndex(key)))
		}
	case reflect.Struct:
		for f := range fieldsOf(v) {
			if !f.omitted() {
				n.Content = append(n.Content, scalar(f.name), encode(f.value))
			}
		}
	default:
		panic("manifest: no text is a " + v.Type().String()) // ours to mend: TestEveryField
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle // [] and {}
	}
	return n
}

// scalar is a text. What is not surely a text to every reader of YAML is in quotes: to
// one of version 1.1, 52:54:00:12:34:56 is a number to the base of 60.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case strings.Contains(text, "\n"):
		n.Style = yaml.LiteralStyle
	case !isPlain(text):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// isPlain reports whether a text needs no quotes.
func isPlain(text string) bool {
	if text == "" || !isLetter(text[0]) || text[len(text)-1] == ' ' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte(" ._/+*()-,;", c) < 0 {
			return false
		}
	}
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// field is a member of a struct as its json tag names it.
type field struct {
	name, options string
	value         reflect.Value
}

// omitted reports whether a field is left out as it is, as in JSON.
func (f field) omitted() bool {
	switch {
	case strings.Contains(f.options, "omitzero"):
		return f.value.IsZero()
	case strings.Contains(f.options, "omitempty"):
		return f.value.IsZero() || f.value.Kind() == reflect.Slice && f.value.Len() == 0 || f.value.Kind() == reflect.Map && f.value.Len() == 0
	}
	return false
}

// fieldsOf are the members of a struct, with those of structs embedded in it.
func fieldsOf(v reflect.Value) iter.Seq[field] {
	return func(yield func(field) bool) {
		for f, value := range v.Fields() {
			if f.Anonymous {
				for inner := range fieldsOf(value) {
					if !yield(inner) {
						return
					}
				}
				continue
			}
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			if !yield(field{name, options, value}) {
				return
			}
		}
	}
}
