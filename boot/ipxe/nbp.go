package ipxe

import (
	"slices"

	"dragonfly/boot"
)

// NBP is a network boot program: a build of iPXE that firmware loads and starts.
type NBP struct {
	Name   string      // file name, as Debian's ipxe package has it
	Arches []boot.Arch // whose firmware starts it
}

// NBPs lists the network boot programs.
func NBPs() []NBP {
	var all []NBP
	for _, arch := range boot.Arches() {
		name := arch.Program()
		i := slices.IndexFunc(all, func(n NBP) bool { return n.Name == name })
		if i < 0 {
			i, all = len(all), append(all, NBP{Name: name})
		}
		all[i].Arches = append(all[i].Arches, arch)
	}
	return all
}

// Programs lists the file names of the network boot programs.
func Programs() []string {
	var names []string
	for _, n := range NBPs() {
		names = append(names, n.Name)
	}
	return names
}
