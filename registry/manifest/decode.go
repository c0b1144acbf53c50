package manifest

import (
	"encoding"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// decoder reads YAML nodes into Go values, and gathers what is wrong.
type decoder struct {
	lines    int  // of the text before the document
	number   int  // of the document, from 0
	most     int  // problems that are told at once
	own      bool // the text is one's own: its documents may be of any size
	problems []Problem
}

// into reads a document into what to points to. It reports whether nothing is wrong.
func (d *decoder) into(root *yaml.Node, to any) bool {
	before := len(d.problems)
	d.value(root, reflect.ValueOf(to).Elem(), nil)
	return len(d.problems) == before
}

// value reads a node of the document, which is at a place of it, into a value.
func (d *decoder) value(n *yaml.Node, to reflect.Value, at *place) {
	if !d.plain(n, at) {
		return
	}
	if text, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
			d.problem(n, at, "want text and not %s", kindOf(n))
		} else if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			d.problem(n, at, "%s", wrongText(to, err))
		}
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		d.value(n, to.Elem(), at)
	case reflect.String:
		d.text(n, to, at)
	case reflect.Bool, reflect.Int, reflect.Int64:
		if n.Kind != yaml.ScalarNode || n.Decode(to.Addr().Interface()) != nil || n.ShortTag() == "!!null" {
			d.problem(n, at, "want %s and not %s", goKind(to.Type()), kindOf(n))
		}
	case reflect.Slice:
		d.list(n, to, at)
	case reflect.Map:
		d.mapping(n, to, at)
	case reflect.Struct:
		d.fields(n, to, at)
	default:
		panic("manifest: no text is a " + to.Type().String()) // ours to mend: TestEveryField
	}
}

// plain reports whether a node is what it is without the rest of the text, or says
// that it is not.
func (d *decoder) plain(n *yaml.Node, at *place) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.problem(n, at, "anchors (&) and aliases (*) are not read here: write it out")
	case n.Style&yaml.TaggedStyle != 0:
		d.problem(n, at, "tags such as %.40q are not read here: leave it out", n.Tag)
	default:
		return true
	}
	return false
}

// wrongText is why a text is none that to takes.
func wrongText(to reflect.Value, err error) string {
	if to.Type().PkgPath() == "time" {
		return "want a time such as 2026-11-23T12:00:00Z"
	}
	return err.Error()
}

func (d *decoder) text(n *yaml.Node, to reflect.Value, at *place) {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
		to.SetString(n.Value)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		d.problem(n, at, `want text and not nothing; "" is no text`)
	case n.Kind == yaml.ScalarNode:
		d.problem(n, at, "want text and not %s: put it in quotes, %.60q", kindOf(n), n.Value)
	default:
		d.problem(n, at, "want text and not %s", kindOf(n))
	}
}

func (d *decoder) list(n *yaml.Node, to reflect.Value, at *place) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, at, "want a list and not %s", kindOf(n))
		return
	}
	to.Set(reflect.MakeSlice(to.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		d.value(entry, to.Index(i), at.to(strconv.Itoa(i)))
	}
}

// mapping reads keys and values that may be any text. A value of a pointer may be
// null, which is nil.
func (d *decoder) mapping(n *yaml.Node, to reflect.Value, at *place) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, at, "want keys with values and not %s", kindOf(n))
		return
	}
	to.Set(reflect.MakeMapWithSize(to.Type(), len(n.Content)/2))
	d.members(n, at, func(key, value *yaml.Node) {
		name, entry := reflect.New(to.Type().Key()).Elem(), reflect.New(to.Type().Elem()).Elem()
		at := at.to(key.Value)
		d.text(key, name, at)
		if null := value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null"; !null || entry.Kind() != reflect.Pointer {
			d.value(value, entry, at)
		}
		to.SetMapIndex(name, entry)
	})
}

func (d *decoder) fields(n *yaml.Node, to reflect.Value, at *place) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, at, "want fields and not %s", kindOf(n))
		return
	}
	known := map[string]reflect.Value{}
	for f := range fieldsOf(to) {
		known[f.name] = f.value
	}
	d.members(n, at, func(key, value *yaml.Node) {
		field, ok := known[key.Value]
		if !ok {
			names := slices.Sorted(maps.Keys(known))
			message := "there is no such field; there are " + strings.Join(names, ", ")
			if near := registry.Nearest(key.Value, names); near != "" {
				message = "there is no such field; did you mean " + near + "?"
			}
			d.problem(key, at.to(key.Value), "%s", message)
			return
		}
		d.value(value, field, at.to(key.Value))
	})
}

// members calls read with each key of a mapping and its value. A key that comes
// twice is a problem.
func (d *decoder) members(n *yaml.Node, at *place, read func(key, value *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content) && len(d.problems) < d.most; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := at.to(key.Value)
		switch line, again := first[key.Value]; {
		case !d.plain(key, at):
		case key.Kind != yaml.ScalarNode:
			d.problem(key, at, "want text as a key and not %s", kindOf(key))
		case again:
			d.problem(key, at, "it is there already; leave one")
			d.problems[len(d.problems)-1].First = line
		default:
			first[key.Value] = d.lines + key.Line
			read(key, value)
		}
	}
}

// short is the beginning of a text, for a message.
func short(text string) string {
	if len(text) <= 60 {
		return text
	}
	return strings.ToValidUTF8(text[:60], "") + "..."
}

func goKind(t reflect.Type) string {
	if t.Kind() == reflect.Bool {
		return "true or false"
	}
	return "a whole number"
}
