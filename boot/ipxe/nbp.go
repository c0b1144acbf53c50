package ipxe

import (
	"slices"

	"dragonfly/boot"
)

// The files of memtest86+, as image builds name them.
const (
	memtestBIOS = "memtest.bin"
	memtestUEFI = "memtest.efi"
)

// memtestFor is the file of memtest86+ for a firmware.
func memtestFor(arch boot.Arch) string {
	if arch == boot.BIOS {
		return memtestBIOS
	}
	return memtestUEFI
}

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
