package catalogue

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"dragonfly/registry"
)

//go:embed oses.yaml
var shipped []byte

//go:embed templates
var templates embed.FS

// common is what templates have in common; it is a part of each of them.
const common = "templates/common.tmpl"

// Shipped is the operating systems that come with this version. Their text is part
// of the program, so an error is a fault of our own.
func Shipped() ([]registry.OS, error) {
	all, err := Parse(shipped)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	return all, nil
}

// Templates is the templates that come with this version, by name.
func Templates() (map[string]string, error) {
	files, err := fs.Glob(templates, "templates/*.yaml")
	if err != nil {
		return nil, err
	}
	rest, err := templates.ReadFile(common)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(files))
	for _, file := range files {
		text, err := templates.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(path.Base(file), ".yaml")] = string(text) + string(rest)
	}
	return all, nil
}
