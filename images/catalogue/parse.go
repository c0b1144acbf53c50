package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// maxText bounds a file with entries, in bytes.
const maxText = 1 << 20

// entry is an operating system as it is written: as [registry.OS] is, with sizes for
// people.
type entry struct {
	ID        string            `yaml:"id"`
	Name      string            `yaml:"name"`
	Version   string            `yaml:"version,omitempty"`
	Images    map[string]image  `yaml:"images,omitempty"`
	Template  string            `yaml:"template,omitempty"`
	Values    map[string]string `yaml:"values,omitempty"`
	User      string            `yaml:"user,omitempty"`
	FirstBoot string            `yaml:"first_boot,omitempty"`
	Engine    string            `yaml:"engine,omitempty"`
	OSIE      string            `yaml:"osie,omitempty"`
	MinDisk   size              `yaml:"min_disk,omitempty"`
	MinMemory size              `yaml:"min_memory,omitempty"`
	Seed      seed              `yaml:"seed,omitempty"`
	TagSeeds  map[string]seed   `yaml:"tag_seeds,omitempty"`
	Notes     string            `yaml:"notes,omitempty"`
	Disabled  bool              `yaml:"disabled,omitempty"`
}

type image struct {
	URL          string `yaml:"url,omitempty"`
	Format       string `yaml:"format,omitempty"`
	SHA256       string `yaml:"sha256,omitempty"`
	Sums         string `yaml:"sums,omitempty"`
	Signature    string `yaml:"signature,omitempty"`
	Key          string `yaml:"key,omitempty"`
	Kernel       string `yaml:"kernel,omitempty"`
	KernelSHA256 string `yaml:"kernel_sha256,omitempty"`
	Initrd       string `yaml:"initrd,omitempty"`
	InitrdSHA256 string `yaml:"initrd_sha256,omitempty"`
	CommandLine  string `yaml:"command_line,omitempty"`
}

// size is a number of bytes, such as 10 GB or 512MiB.
type size int64

var units = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1}}

// UnmarshalYAML reads a size.
func (s *size) UnmarshalYAML(n *yaml.Node) error {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(n.Value, unit.name)
		number, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if !ok || err != nil {
			continue
		}
		if number < 0 || number > (1<<62)/unit.bytes {
			break
		}
		*s = size(number * unit.bytes)
		return nil
	}
	return fmt.Errorf("line %d: %.40q is no size; want one such as 10 GB or 512 MiB", n.Line, n.Value)
}

// MarshalYAML writes a size in the largest unit that says it exactly.
func (s size) MarshalYAML() (any, error) {
	best := units[len(units)-2]
	for _, unit := range units {
		if int64(s)%unit.bytes == 0 && unit.bytes > best.bytes {
			best = unit
		}
	}
	return fmt.Sprintf("%d %s", int64(s)/best.bytes, best.name), nil
}

// InvalidError is everything that is wrong with a file, each with its line.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string { return strings.Join(e.Problems, "\n") }

// Parse reads a list of entries, or one. The error is an [*InvalidError].
func Parse(text []byte) ([]registry.OS, error) {
	if len(text) > maxText {
		return nil, &InvalidError{[]string{fmt.Sprintf("the text has %d bytes; want at most %d", len(text), maxText)}}
	}
	list, err := listOf(text)
	if err != nil {
		return nil, err
	}
	var entries []entry
	problems := decode(text, list, &entries)
	if len(problems) > 0 {
		return nil, &InvalidError{problems}
	}
	all := make([]registry.OS, 0, len(entries))
	first := map[string]int{}
	for i, e := range entries {
		at := list[i]
		o := e.os()
		var invalid *registry.InvalidError
		if errors.As(o.Validate(), &invalid) {
			for _, f := range invalid.Fields {
				problems = append(problems, fmt.Sprintf("line %d: %s: %s", lineOf(at, f.Pointer), strings.TrimPrefix(f.Pointer, "/"), f.Message))
			}
		}
		if before, twice := first[o.ID]; twice {
			problems = append(problems, fmt.Sprintf("line %d: id: %s is already in line %d", lineOf(at, "/id"), o.ID, before))
		}
		first[o.ID] = lineOf(at, "/id")
		all = append(all, o)
	}
	if len(problems) > 0 {
		return nil, &InvalidError{problems}
	}
	return all, nil
}

// listOf is the entries of the text as they stand in it.
func listOf(text []byte) ([]*yaml.Node, error) {
	var doc, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, &InvalidError{[]string{"the text is empty; want an operating system, or a list of them"}}
	} else if err != nil {
		return nil, &InvalidError{[]string{strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &InvalidError{[]string{fmt.Sprintf("line %d: a second document begins here; want one", max(second.Line, 1))}}
	}
	root := doc.Content[0]
	switch root.Kind {
	case yaml.MappingNode:
		return []*yaml.Node{root}, nil
	case yaml.SequenceNode:
		return root.Content, nil
	}
	return nil, &InvalidError{[]string{fmt.Sprintf("line %d: want an operating system, or a list of them", root.Line)}}
}

// decode reads the entries strictly, and says what is wrong with the text.
func decode(text []byte, list []*yaml.Node, entries *[]entry) (problems []string) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var err error
	if one := (entry{}); len(list) == 1 && bytes.HasPrefix(bytes.TrimSpace(text), []byte("-")) || len(list) != 1 {
		err = decoder.Decode(entries)
	} else {
		err = decoder.Decode(&one)
		*entries = []entry{one}
	}
	var wrong *yaml.TypeError
	switch {
	case errors.As(err, &wrong):
		for _, text := range wrong.Errors {
			problems = append(problems, strings.NewReplacer(" in type catalogue.entry", "", " in type catalogue.image", "").Replace(text))
		}
	case err != nil:
		problems = []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	return problems
}

// lineOf is the line of what a JSON pointer names in an entry, or of the nearest
// thing around it.
func lineOf(n *yaml.Node, pointer string) int {
	line := n.Line
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return c.Value == name })
		if n.Kind != yaml.MappingNode || i < 0 || i%2 != 0 {
			break
		}
		line, n = n.Content[i].Line, n.Content[i+1]
	}
	return line
}

func (e entry) os() registry.OS {
	o := registry.OS{ID: e.ID, Name: e.Name, Version: e.Version, Template: e.Template, Values: e.Values, User: e.User,
		FirstBoot: registry.FirstBoot(e.FirstBoot), Engine: registry.Engine(e.Engine), OSIE: registry.OSIE(e.OSIE), MinDisk: int64(e.MinDisk), MinMemory: int64(e.MinMemory), Notes: strings.TrimSpace(e.Notes), Disabled: e.Disabled}
	o.Seed = registry.Seed(e.Seed)
	for tag, s := range e.TagSeeds {
		if o.TagSeeds == nil {
			o.TagSeeds = map[string]registry.Seed{}
		}
		o.TagSeeds[tag] = registry.Seed(s)
	}
	if len(e.Images) > 0 {
		o.Images = make(map[string]registry.OSImage, len(e.Images))
	}
	for arch, i := range e.Images {
		o.Images[arch] = registry.OSImage(i)
	}
	return o
}

// Format is an operating system as [Parse] reads it.
func Format(o registry.OS) ([]byte, error) {
	e := entry{ID: o.ID, Name: o.Name, Version: o.Version, Template: o.Template, Values: o.Values, User: o.User, FirstBoot: string(o.FirstBoot), Engine: string(o.Engine), OSIE: string(o.OSIE),
		MinDisk: size(o.MinDisk), MinMemory: size(o.MinMemory), Notes: o.Notes, Disabled: o.Disabled, Images: map[string]image{},
		Seed: seed(o.Seed), TagSeeds: map[string]seed{}}
	for tag, s := range o.TagSeeds {
		e.TagSeeds[tag] = seed(s)
	}
	for arch, i := range o.Images {
		e.Images[arch] = image(i)
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := errors.Join(encoder.Encode(e), encoder.Close())
	return out.Bytes(), err
}
