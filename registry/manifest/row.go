package manifest

import (
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// columnNames is what the fields of a machine may be called in a list, beside their
// own names: in small letters, with blanks for dashes and underscores.
var columnNames = map[string]string{
	"name": "name", "hostname": "name", "host name": "name", "host": "name",
	"macs": "macs", "mac": "macs", "mac address": "macs", "mac addresses": "macs", "hardware address": "macs",
	"serial": "serial", "serial number": "serial", "serial no": "serial", "service tag": "serial",
	"uuid": "uuid", "smbios uuid": "uuid", "system uuid": "uuid",
	"vendor": "vendor", "manufacturer": "vendor", "make": "vendor",
	"model": "model", "product": "model", "product name": "model",
	"owner": "owner",
	"note":  "note", "notes": "note", "comment": "note",
	"tags": "tags", "tag": "tags",
	"labels": "labels", "label": "labels",
	"assigned os": "assigned_os", "os": "assigned_os", "operating system": "assigned_os",
}

// columns are the fields that a sheet may have, in the order in which they are told.
var columns = []string{"name", "mac", "serial", "uuid", "vendor", "model", "owner", "note", "tags", "labels", "label.KEY", "os"}

const labelColumn = "label."

// columnOf is the field that a name means, and the label where it means one; field
// is empty where it means none. Machines have several addresses, so that mac1 and
// "MAC 2" are the same as mac.
func columnOf(name string) (field, label string) {
	name = strings.TrimSpace(name)
	if len(name) > len(labelColumn) && strings.EqualFold(name[:len(labelColumn)], labelColumn) {
		return "set_labels", name[len(labelColumn):]
	}
	word := strings.Join(strings.Fields(strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(name))), " ")
	if field = columnNames[word]; field == "" {
		if bare := columnNames[strings.TrimRight(word, " 0123456789")]; bare == "macs" {
			return bare, ""
		}
	}
	return field, ""
}

// row is the fields of a machine in the form that documents have.
type row struct {
	node   *yaml.Node
	called map[string]string // what a place in it is called, by its pointer
	wrong  []wrongLabel
}

// wrongLabel is a word that is none, and the field it is in.
type wrongLabel struct {
	line        int
	field, word string
}

// rowOf is a row of fields that may be called, and written, as in a sheet.
func rowOf(fields *yaml.Node) *row {
	r := &row{node: &yaml.Node{Kind: yaml.MappingNode, Tag: fields.Tag, Style: fields.Style, Anchor: fields.Anchor, Line: fields.Line}, called: map[string]string{}}
	for i := 0; i+1 < len(fields.Content); i += 2 {
		r.put(fields.Content[i], fields.Content[i+1])
	}
	return r
}

// put puts a field in its place. What is no text of one is left to the decoder.
func (r *row) put(key, value *yaml.Node) {
	field, label := "", ""
	if key.Kind == yaml.ScalarNode {
		field, label = columnOf(key.Value)
	}
	there := child(r.node, field)
	switch {
	case field == "":
		r.node.Content = append(r.node.Content, key, value)
	case label != "" && (there == nil || there.Kind == yaml.MappingNode):
		into := r.within(key, field, yaml.MappingNode)
		into.Content = append(into.Content, text(label, key.Line), value)
		r.called[(*place)(nil).to(field).to(label).String()] = key.Value
	case field == "macs" && isText(value) && (there == nil || there.Kind == yaml.SequenceNode && r.called["/macs"] != key.Value):
		r.list(key, value, field)
	case field == "tags" && isText(value) && there == nil:
		r.list(key, value, field)
	case field == "labels" && isText(value) && there == nil:
		r.labels(key, value)
	default:
		r.node.Content = append(r.node.Content, text(field, key.Line), value)
		r.called["/"+field] = key.Value
	}
}

// within is the list or mapping of that field, a new one where there is none.
func (r *row) within(key *yaml.Node, field string, kind yaml.Kind) *yaml.Node {
	if there := child(r.node, field); there != nil {
		return there
	}
	n := &yaml.Node{Kind: kind, Line: key.Line}
	r.node.Content = append(r.node.Content, text(field, key.Line), n)
	r.called["/"+field] = key.Value
	return n
}

// list puts the words of a text into a list.
func (r *row) list(key, value *yaml.Node, field string) {
	into := r.within(key, field, yaml.SequenceNode)
	for _, word := range words(value.Value) {
		r.called["/"+field+"/"+strconv.Itoa(len(into.Content))] = key.Value
		into.Content = append(into.Content, text(word, value.Line))
	}
}

// labels puts the words KEY=VALUE of a text into a mapping.
func (r *row) labels(key, value *yaml.Node) {
	into := r.within(key, "labels", yaml.MappingNode)
	for _, word := range words(value.Value) {
		label, to, found := strings.Cut(word, "=")
		if !found || label == "" {
			r.wrong = append(r.wrong, wrongLabel{value.Line, key.Value, word})
			continue
		}
		into.Content = append(into.Content, text(label, value.Line), text(to, value.Line))
		r.called[(*place)(nil).to("labels").to(label).String()] = key.Value
	}
}

// words are the values in one text, with blanks, commas or semicolons between them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ';' || unicode.IsSpace(c) })
}

// text is a text on a line.
func text(value string, line int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: line}
}

func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0
}
