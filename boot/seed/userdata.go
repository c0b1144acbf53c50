package seed

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	cloudConfigType = "text/cloud-config"
	archiveType     = "text/cloud-config-archive"
	jinjaType       = "text/jinja2"
)

// kinds are what user data begins with, and the type that it is then, the longest
// first where one begins with another (cloud-init: cloudinit/handlers/__init__.py,
// INCLUSION_TYPES_MAP).
var kinds = []struct{ header, mime string }{
	{"## template: jinja", jinjaType},
	{"#cloud-config-archive", archiveType},
	{"#cloud-config-jsonp", "text/cloud-config-jsonp"},
	{"#cloud-config", cloudConfigType},
	{"#cloud-boothook", "text/cloud-boothook"},
	{"#include-once", "text/x-include-once-url"},
	{"#include", "text/x-include-url"},
	{"#part-handler", "text/part-handler"},
	{"#!", "text/x-shellscript"},
}

// kindOfText is the type of user data by its first line; empty where it is none. As
// cloud-init does it, case and white space before it are passed over.
func kindOfText(text string) string {
	text = strings.ToLower(strings.TrimLeftFunc(text[:min(len(text), 1024)], unicode.IsSpace))
	for _, k := range kinds {
		if strings.HasPrefix(text, k.header) {
			return k.mime
		}
	}
	return ""
}

// part is one piece of user data.
type part struct {
	mime     string
	filename string // as its author called it; empty: nothing
	text     string
}

// partsOf takes user data apart.
func partsOf(text string) ([]part, error) {
	text, err := cleanText(text)
	if err != nil {
		return nil, err
	}
	if isMIME(text) {
		return mimeParts(text)
	}
	mime := kindOfText(text)
	if mime == "" {
		return nil, &mistake{1, "cloud-init would pass this over: user data begins with #cloud-config, and then is YAML, or with #!, #cloud-boothook, #include, ## template: jinja, or the headers of a MIME multi-part message" + closeTo(text)}
	}
	return []part{{mime: mime, text: text}}, nil
}

// closeTo ends a message on what the author most likely meant.
func closeTo(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if strings.Contains(first, "cloud-config") {
		return "; " + short(first) + " is not exactly #cloud-config"
	}
	budget := maxNodes
	if docs, err := parseYAML(text, &budget); err == nil && len(docs) == 1 && docs[0].Kind == yaml.MappingNode {
		return "; put the line #cloud-config first"
	}
	return ""
}

// cleanText is a text of reasonable size in UTF-8, without a byte order mark and
// with the ends of lines that a shell takes.
func cleanText(text string) (string, error) {
	switch {
	case len(text) > MaxUserData:
		return "", &mistake{0, fmt.Sprintf("%d bytes; at most %d", len(text), MaxUserData)}
	case strings.HasPrefix(text, "\x1f\x8b"):
		return "", &mistake{0, "it is packed (gzip); give it unpacked"}
	case !utf8.ValidString(text):
		return "", &mistake{lineOf(text, strings.IndexFunc(text, func(r rune) bool { return r == utf8.RuneError })), "it is not text in UTF-8"}
	case strings.Contains(text, "\x00"):
		return "", &mistake{lineOf(text, strings.IndexByte(text, 0)), "there is a NUL; want a text"}
	}
	return strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), nil
}

// lineOf is the line of an offset, from 1.
func lineOf(text string, offset int) int { return 1 + strings.Count(text[:max(offset, 0)], "\n") }

// config reads a part of type text/cloud-config.
func (p part) config(budget *int) (*yaml.Node, error) {
	docs, err := parseYAML(p.text, budget)
	if err != nil {
		return nil, err
	}
	switch {
	case len(docs) == 0 || len(docs) == 1 && isNull(docs[0]):
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	case len(docs) > 1:
		return nil, mistakeAt(docs[1], "a second document begins; cloud-init reads one")
	case docs[0].Kind != yaml.MappingNode:
		return nil, mistakeAt(docs[0], "it is %s; want a mapping, such as packages: [curl]", kindOf(docs[0]))
	}
	return docs[0], nil
}

// check refuses a part that cloud-init could not read either, or would merge in a way
// that loses what others said.
func (p part) check(budget *int) error {
	switch p.mime {
	case archiveType:
		return &mistake{1, "an archive would replace what others say; make it a MIME multi-part message"}
	case "text/cloud-config-jsonp":
		if docs, err := parseYAML(p.text, budget); err != nil {
			return err
		} else if len(docs) != 1 || docs[0].Kind != yaml.SequenceNode {
			return &mistake{1, "want a list of patches (RFC 6902) below the first line"}
		}
	}
	return nil
}

// cloudInit makes the user data for cloud-init: one #cloud-config where everything
// is, else a MIME multi-part message of one and the rest.
func (r Request) cloudInit(p *problems) string {
	m := newMerger(map[string]string{"users": "name"})
	config, others := &yaml.Node{Kind: yaml.MappingNode}, []part(nil)
	for _, l := range r.Layers {
		settings := node(cloudConfig(l.Seed))
		m.claim(settings, l.name())
		if err := m.members("", config, settings); err != nil {
			p.of(l).add("/user_data", "%s", err)
		}
		others = append(others, r.userDataOf(l, m, config, p.of(l))...)
	}
	if r.URL != "" {
		own := node(map[string]any{"phone_home": phoneHome{URL: r.URL + "/phone-home", Post: phoneHomePost, Tries: phoneHomeTries}})
		config.Content = append(config.Content, own.Content...)
	}
	head := part{mime: cloudConfigType, text: "#cloud-config\n" + encode(config)}
	if len(others) == 0 {
		return head.text
	}
	return writeMIME(append([]part{head}, others...))
}

// userDataOf merges a layer's own YAML into config and returns the other parts.
func (r Request) userDataOf(l Layer, m *merger, config *yaml.Node, p blame) (others []part) {
	if strings.TrimSpace(l.UserData) == "" {
		return nil
	}
	parts, err := partsOf(l.UserData)
	if err != nil {
		p.add("/user_data", "%s", err)
		return nil
	}
	for i, each := range parts {
		if each.mime == cloudConfigType {
			err = mergePart(l, each, m, config)
		} else if err = each.check(&m.budget); err == nil {
			others = append(others, each)
		}
		if err != nil && len(parts) > 1 {
			err = fmt.Errorf("part %d, %w", i+1, err)
		}
		if err != nil {
			p.add("/user_data", "%s", err)
		}
	}
	return others
}

func mergePart(l Layer, each part, m *merger, config *yaml.Node) error {
	own, err := each.config(&m.budget)
	if err != nil {
		return err
	}
	if theirs := valueOf(own, "phone_home"); theirs != nil {
		return mistakeAt(theirs, "phone_home is how the installed system says that it is ready; tell others by a command in runcmd")
	}
	m.claim(own, l.name())
	return m.members("", config, own)
}
