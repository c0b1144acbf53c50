package tinkerbell

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fields says how each member of an object is read, by its key.
type fields map[string]func(*yaml.Node)

// object reads a mapping. Where two members have one key the first is read; null
// is as good as nothing.
func (r *reader) object(n *yaml.Node, what string, known fields) {
	if n = resolved(n); isNull(n) {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n, "%s is %s; want a mapping with %s", what, kindOf(n), keysOf(known))
		return
	}
	for _, m := range r.membersOf(n) {
		read, ok := known[m.key.Value]
		switch {
		case !ok || m.key.Kind != yaml.ScalarNode:
			r.problem(m.key, "%s is no member of %s%s", short(m.key.Value), what, orSuggest(m.key.Value, slices.Sorted(maps.Keys(known))))
		case !isNull(m.value):
			r.member = m.key.Value
			read(m.value)
		}
	}
}

func keysOf(known fields) string {
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

// member is a key and its value, aliases resolved.
type member struct{ key, value *yaml.Node }

// membersOf lists the members of a mapping, its own before those that << merges
// into it; what is there already is not merged.
func (r *reader) membersOf(n *yaml.Node) (all []member) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolved(n.Content[i])
		if before, twice := first[key.Value]; twice {
			r.problem(key, "%s is there a second time; leave one", short(key.Value))
			r.problems[len(r.problems)-1].First = r.line(before)
			continue
		}
		first[key.Value] = key
		if !isMerge(key) {
			all = append(all, member{key, resolved(n.Content[i+1])})
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			all = r.merge(all, first, n.Content[i+1], 0)
		}
	}
	if r.members += len(all) + 1; r.members > maxMembers {
		r.over(n, "there is too much of it; aliases multiply")
		return nil
	}
	return all
}

// merge adds what << names: a mapping or a list of them, of which the first wins.
func (r *reader) merge(all []member, seen map[string]*yaml.Node, from *yaml.Node, depth int) []member {
	from = resolved(from)
	if r.members++; r.members > maxMembers || depth > maxDepth {
		r.over(from, "<< merges too much")
		return nil
	}
	switch from.Kind {
	case yaml.SequenceNode:
		for _, one := range from.Content {
			all = r.merge(all, seen, one, depth+1)
		}
		return all
	case yaml.MappingNode:
	default:
		r.problem(from, "<< is %s; want a mapping, by an alias such as <<: *common", kindOf(from))
		return all
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		key := resolved(from.Content[i])
		if isMerge(key) {
			all = r.merge(all, seen, from.Content[i+1], depth+1)
		} else if _, there := seen[key.Value]; !there {
			seen[key.Value] = key
			all = append(all, member{key, resolved(from.Content[i+1])})
			r.members++
		}
	}
	return all
}

func (r *reader) line(n *yaml.Node) int {
	line, _ := r.origin(n.Line, n.Column)
	return line
}

// each reads a list, one entry after the other.
func (r *reader) each(read func(*yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.problem(n, "%s is %s; want a list", r.member, kindOf(n))
			return
		}
		for _, entry := range n.Content {
			if r.members++; r.members > maxMembers {
				r.over(n, "there is too much of it; aliases multiply")
			}
			if r.tooMany {
				return
			}
			read(resolved(entry))
		}
	}
}

// text reads a scalar as it is written: 0644 and true are texts of four letters.
func (r *reader) text(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			r.problem(n, "%s is %s; want a text", r.member, kindOf(n))
			return
		}
		if err := n.Decode(to); err != nil {
			r.problem(n, "%s cannot be read as a text: %s", short(n.Value), lastOf(err))
		}
	}
}

// number reads a whole number. One in quotes is refused, as by Tinkerbell.
func (r *reader) number(to *int64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var value float64
		switch {
		case n.Kind != yaml.ScalarNode:
			r.problem(n, "%s is %s; want a number of seconds", r.member, kindOf(n))
		case n.ShortTag() == "!!int" && n.Decode(to) == nil:
		case n.ShortTag() == "!!float" && n.Decode(&value) == nil && value == math.Trunc(value) && math.Abs(value) < 1<<53:
			*to = int64(value)
		default:
			r.problem(n, "%s is %s; want a whole number of seconds, without quotes", r.member, short(n.Value))
		}
	}
}

// texts reads a list of scalars.
func (r *reader) texts(to *[]string) func(*yaml.Node) {
	return r.each(func(n *yaml.Node) {
		var entry string
		if n.Kind != yaml.ScalarNode {
			r.problem(n, "an entry of %s is %s; want a text", r.member, kindOf(n))
		} else {
			r.text(&entry)(n)
		}
		*to = append(*to, entry)
	})
}

// variables reads a mapping of names to scalars. One without a value is empty.
func (r *reader) variables(to *map[string]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			r.problem(n, "environment is %s; want a mapping of names to values", kindOf(n))
			return
		}
		*to = map[string]string{}
		for _, m := range r.membersOf(n) {
			var name, value string
			if m.value.Kind != yaml.ScalarNode {
				r.problem(m.value, "%s is %s; the value of a variable is a text: put it in quotes, or below a |", short(m.key.Value), kindOf(m.value))
				continue
			}
			r.text(&name)(m.key)
			r.text(&value)(m.value)
			(*to)[name] = value
		}
	}
}

// resolved is what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// lacks reports whether a mapping has nothing for a key: what it has and cannot be
// read is another problem, and so is what is no mapping.
func lacks(n *yaml.Node, key string) bool {
	if n = resolved(n); isNull(n) {
		return true
	}
	value := resolved(memberOf(n, key))
	return n.Kind == yaml.MappingNode && (value == n || value.Kind == yaml.ScalarNode || len(value.Content) == 0)
}

// isMerge reports whether the key merges: << without quotes.
func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && n.ShortTag() == "!!merge"
}

// memberOf is the value of a member, for its place; the mapping where it has none.
func memberOf(n *yaml.Node, key string) *yaml.Node {
	n = resolved(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return n
}

// nameOf is what a task or an action is called in messages, before it is read:
// its name, or its number from 1.
func nameOf(n *yaml.Node, index int) string {
	if name := resolved(memberOf(n, "name")); name.Kind == yaml.ScalarNode && name.Value != "" && !isNull(name) {
		return strings.Trim(short(name.Value), `"`)
	}
	return fmt.Sprintf("number %d", index+1)
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "the text " + short(n.Value)
	}
	return "an alias of itself"
}

// lastOf is the last line of an error of the YAML library, without its place.
func lastOf(err error) string {
	lines := strings.Split(err.Error(), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	return strings.TrimPrefix(last, yamlLine.FindString(last))
}
