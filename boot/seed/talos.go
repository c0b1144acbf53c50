package seed

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// talos is the machine config, as it is where one layer has it. Several are merged as
// cloud-config is: a document of a kind and name with that of the same, and the one
// without a kind, which is the machine's own.
func (r Request) talos(p *problems) string {
	m := newMerger(nil)
	var docs []*yaml.Node
	var texts []string
	for _, l := range r.Layers {
		if strings.TrimSpace(l.UserData) == "" {
			continue
		}
		own, err := talosDocuments(l, &m.budget)
		if err == nil {
			docs, err = m.documents(docs, own, l)
		}
		if err != nil {
			p.of(l).add("/user_data", "%s", err)
		}
		texts = append(texts, l.UserData)
	}
	checkTalos(docs, len(texts) > 0, p)
	if len(texts) == 1 {
		return texts[0]
	}
	var out []string
	for _, doc := range docs {
		out = append(out, encode(doc))
	}
	return strings.Join(out, "---\n")
}

func talosDocuments(l Layer, budget *int) ([]*yaml.Node, error) {
	text, err := cleanText(l.UserData)
	if err != nil {
		return nil, err
	}
	docs, err := parseYAML(text, budget)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		if doc.Kind != yaml.MappingNode {
			return nil, mistakeAt(doc, "it is %s; want a machine config, as talosctl gen config writes it", kindOf(doc))
		}
	}
	return docs, nil
}

// documents merges the documents of one more layer.
func (m *merger) documents(under, over []*yaml.Node, l Layer) ([]*yaml.Node, error) {
	for _, doc := range over {
		m.claim(doc, l.name())
		at := -1
		for i, known := range under {
			if idOf(known) == idOf(doc) {
				at = i
			}
		}
		if at < 0 {
			under = append(under, doc)
		} else if err := m.members("", under[at], doc); err != nil {
			return under, err
		}
	}
	return under, nil
}

// idOf tells the documents of a machine config apart.
func idOf(doc *yaml.Node) (id [2]string) {
	for i, key := range []string{"kind", "name"} {
		if value := valueOf(doc, key); value != nil {
			id[i] = value.Value
		}
	}
	return id
}

func checkTalos(docs []*yaml.Node, given bool, p *problems) {
	for _, doc := range docs {
		if machine := valueOf(doc, "machine"); idOf(doc)[0] == "" && machine != nil && valueOf(machine, "type") != nil {
			return
		}
	}
	if given && len(p.fields) > 0 {
		return // it could not be read, which is told
	}
	p.add("/user_data", "Talos needs its machine config (version: v1alpha1, machine: {type: ...}) as user data; talosctl gen config writes one")
}
