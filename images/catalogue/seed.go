package catalogue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// seed is a [registry.Seed] as it is written: in YAML, with the names it has in JSON.
type seed registry.Seed

// IsZero reports whether the seed says nothing.
func (s seed) IsZero() bool { return registry.Seed(s).Empty() }

// UnmarshalYAML reads a seed strictly.
func (s *seed) UnmarshalYAML(n *yaml.Node) error {
	var tree any
	if err := n.Decode(&tree); err != nil {
		return err
	}
	text, err := json.Marshal(tree)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		err = decoder.Decode((*registry.Seed)(s))
	}
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: this is no seed: %s", n.Line, strings.TrimPrefix(err.Error(), "json: "))}}
	}
	return nil
}

// MarshalYAML writes a seed with its members in their order.
func (s seed) MarshalYAML() (any, error) {
	text, err := json.Marshal(registry.Seed(s))
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML
		return nil, err
	}
	root := doc.Content[0]
	plain(root)
	return root, nil
}

// plain takes the style of JSON away.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, below := range n.Content {
		plain(below)
	}
}
