package images

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// parts are the inputs of an agent image; the same parts give the same bytes.
type parts struct {
	Flavour  string
	Arch     string
	Kernel   fs.FS   // the unpacked kernel package
	Firmware []fs.FS // the unpacked firmware packages
	Agent    []byte  // the static agent binary that becomes /init
}

// image is a finished agent image and what went into it.
type image struct {
	Release   string // of the kernel
	Kernel    []byte // vmlinuz
	Agent     []byte
	Groups    []group
	Modules   []module
	Firmware  []firmwareFile
	Archive   []byte // the initramfs as cpio
	Initramfs []byte // and compressed

	DriversAbsent  []string // wanted modules that this kernel does not offer
	FirmwareAbsent []string // named by a chosen module, in none of the packages
}

// assemble chooses modules and firmware and packs the image.
func assemble(p parts) (*image, error) {
	modules, err := openModules(p.Kernel)
	if err != nil {
		return nil, err
	}
	img := &image{Release: modules.Release, Agent: p.Agent, Groups: wanted(p.Flavour, p.Arch)}
	if img.Kernel, err = fs.ReadFile(p.Kernel, "boot/vmlinuz-"+modules.Release); err != nil {
		return nil, fmt.Errorf("read the kernel: %w", err)
	}
	var names []string
	for _, g := range img.Groups {
		names = append(names, g.Modules...)
	}
	img.DriversAbsent = slices.DeleteFunc(slices.Clone(names), modules.has)
	if img.Modules, err = closeOver(modules, names); err != nil {
		return nil, err
	}
	if img.Firmware, img.FirmwareAbsent, err = chooseFirmware(img.Modules, p.Firmware); err != nil {
		return nil, err
	}
	root, err := img.root(modules.Builtin)
	if err != nil {
		return nil, err
	}
	if img.Archive, err = root.cpio(); err != nil {
		return nil, err
	}
	img.Initramfs, err = compress(img.Archive)
	return img, err
}

// root lays the files out as the agent and the kernel look for them.
func (img *image) root(builtin []byte) (tree, error) {
	root := newTree()
	root.file("init", img.Agent, 0o755)
	dir := path.Join("lib/modules", img.Release)
	tables, err := depmod(img.Modules)
	if err != nil {
		return nil, err
	}
	for name, body := range tables {
		root.file(path.Join(dir, name), body, 0o644)
	}
	root.file(path.Join(dir, "modules.builtin"), builtin, 0o644)
	for _, m := range img.Modules {
		root.file(path.Join(dir, m.Path), m.Body, 0o644)
	}
	for _, f := range img.Firmware {
		name := path.Join("lib/firmware", f.Name)
		if f.Target != "" {
			root.link(name, f.Target)
			continue
		}
		root.file(name, f.Body, 0o644)
	}
	return root, nil
}

// absent lists the wanted drivers and firmware that the packages do not have.
func (img *image) absent() []string {
	return slices.Sorted(slices.Values(slices.Concat(img.DriversAbsent, img.FirmwareAbsent)))
}
