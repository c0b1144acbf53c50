package images

import (
	"bytes"
	"fmt"
)

// depmod renders what depmod(8) writes beside the modules and what a loader
// reads: modules.dep(5), modules.alias and modules.softdep. The modules come
// sorted by name, so that the same ones give the same bytes.
func depmod(modules []module) (map[string][]byte, error) {
	byName := map[string]module{}
	for _, m := range modules {
		byName[m.Name] = m
	}
	var dep, alias, softdep bytes.Buffer
	alias.WriteString("# Aliases extracted from modules themselves.\n")
	softdep.WriteString("# Soft dependencies extracted from modules themselves.\n")
	for _, m := range modules {
		if err := writeDep(&dep, m, byName); err != nil {
			return nil, err
		}
		for _, pattern := range m.Aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", pattern, m.Name)
		}
		for _, wish := range m.Softdeps {
			fmt.Fprintf(&softdep, "softdep %s %s\n", m.Name, wish)
		}
	}
	return map[string][]byte{
		"modules.dep":     dep.Bytes(),
		"modules.alias":   alias.Bytes(),
		"modules.softdep": softdep.Bytes(),
	}, nil
}

func writeDep(dep *bytes.Buffer, m module, byName map[string]module) error {
	needs, err := requirements(m, byName)
	if err != nil {
		return err
	}
	fmt.Fprintf(dep, "%s:", m.Path)
	for _, name := range needs {
		fmt.Fprintf(dep, " %s", byName[name].Path)
	}
	dep.WriteByte('\n')
	return nil
}
