package seed

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// merger merges YAML of several authors: mappings deep, lists one behind the other
// without what is there already, of single values the later one. Null takes away
// what was there (as in RFC 7396), a member or a whole list.
type merger struct {
	from   map[*yaml.Node]string // who wrote a node, for messages
	keyed  map[string]string     // lists of mappings that are told apart by a member, and by which
	budget int                   // how many values there may still be: the work grows with their square
}

func newMerger(keyed map[string]string) *merger {
	return &merger{from: map[*yaml.Node]string{}, keyed: keyed, budget: maxNodes}
}

// claim notes that source wrote n and all below it.
func (m *merger) claim(n *yaml.Node, source string) {
	m.from[n] = source
	for _, below := range n.Content {
		m.claim(below, source)
	}
}

// where is the place of a node, such as "in tag gpu, line 7".
func (m *merger) where(n *yaml.Node) string {
	if n.Line == 0 {
		return "in the settings of " + m.from[n]
	}
	return fmt.Sprintf("in the user data of %s, line %d", m.from[n], n.Line)
}

// merge is under with over on it. path is where both are, such as "apt.sources".
// Neither is used any more.
func (m *merger) merge(path string, under, over *yaml.Node) (*yaml.Node, error) {
	switch {
	case isNull(under) || isNull(over):
		return over, nil
	case under.Kind != over.Kind:
		return nil, mistakeAt(over, "%s is %s, and %s %s; write both in one way", path, kindOf(over), kindOf(under), m.where(under))
	case under.Kind == yaml.MappingNode:
		return under, m.members(path, under, over)
	case under.Kind == yaml.SequenceNode:
		return under, m.entries(path, under, over)
	}
	return over, nil
}

func (m *merger) members(path string, under, over *yaml.Node) error {
	at := map[string]int{} // where a value stands
	for i := 0; i+1 < len(under.Content); i += 2 {
		at[under.Content[i].Value] = i + 1
	}
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], over.Content[i+1]
		known, there := at[key.Value]
		if !there {
			under.Content = append(under.Content, key, value)
			continue
		}
		merged, err := m.merge(join(path, key.Value), under.Content[known], value)
		if err != nil {
			return err
		}
		under.Content[known] = merged
	}
	under.Content = withoutNull(under.Content)
	return nil
}

// withoutNull is members without those that are null.
func withoutNull(members []*yaml.Node) (rest []*yaml.Node) {
	for i := 0; i+1 < len(members); i += 2 {
		if !isNull(members[i+1]) {
			rest = append(rest, members[i], members[i+1])
		}
	}
	return rest
}

func (m *merger) entries(path string, under, over *yaml.Node) error {
	at := map[string]int{}
	for i, entry := range under.Content {
		at[m.identity(path, entry)] = i
	}
	for _, entry := range over.Content {
		known, there := at[m.identity(path, entry)]
		if !there {
			under.Content = append(under.Content, entry)
			continue
		}
		merged, err := m.merge(path, under.Content[known], entry)
		if err != nil {
			return err
		}
		under.Content[known] = merged
	}
	return nil
}

// identity tells the entries of a list apart: by the member that does, or by all.
func (m *merger) identity(path string, n *yaml.Node) string {
	if key, ok := m.keyed[path]; ok && n.Kind == yaml.MappingNode {
		if id := valueOf(n, key); id != nil {
			return "by " + key + " " + canonical(id)
		}
	}
	return canonical(n)
}

// canonical is the same text for the same value, in whatever style and order of
// members it was written.
func canonical(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return fmt.Sprintf("%s %q", n.ShortTag(), n.Value)
	}
	var parts []string
	for i := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			parts = append(parts, canonical(n.Content[i]))
		case i%2 == 0:
			parts = append(parts, canonical(n.Content[i])+": "+canonical(n.Content[i+1]))
		}
	}
	if n.Kind == yaml.SequenceNode {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ", ") + "}"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
