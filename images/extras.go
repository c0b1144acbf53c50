package images

import "io/fs"

// extra is the files of a package that machines fetch when they are asked to, by the
// names that they are published under: where each is in the package.
type extra map[string]string

// extraPackages are Debian's packages with such files, by their names.
type extraPackages map[string]extra

// extras are what one-shot boots need: memtest86+, which is for amd64 alone.
func extras(arch string) extraPackages {
	if arch != "amd64" {
		return nil
	}
	return extraPackages{"memtest86+": {"memtest.bin": "boot/memtest86+x64.bin", "memtest.efi": "boot/memtest86+x64.efi"}}
}

// take adds what an unpacked package has: such files, or else firmware.
func (x extraPackages) take(name string, pkg fs.FS, p *parts) (err error) {
	files, is := x[name]
	if !is {
		p.Firmware = append(p.Firmware, pkg)
	}
	for name, path := range files {
		if p.Beside[name], err = fs.ReadFile(pkg, path); err != nil {
			return err
		}
	}
	return nil
}
