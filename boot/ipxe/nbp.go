package ipxe

import (
	"slices"

	"dragonfly/boot"
)

// Programs lists the file names of the network boot programs: builds of iPXE
// that firmware loads and starts.
func Programs() []string {
	var names []string
	for _, arch := range boot.Arches() {
		if name := arch.Program(); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
