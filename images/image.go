package images

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"dragonfly/images/packed"
)

// parts are the inputs of an agent image; the same parts give the same bytes.
type parts struct {
	Flavour  string
	Arch     string
	Kernel   fs.FS             // the unpacked kernel package
	Firmware []fs.FS           // the unpacked firmware packages
	Agent    []byte            // the static agent binary that becomes /init
	Roots    []byte            // root certificates, in PEM; nil: none
	Tools    tools             // the zero value: none
	Beside   map[string][]byte // files that are published beside the image, by name
}

// image is a finished agent image and what went into it.
type image struct {
	Release   string // of the kernel
	Kernel    []byte // vmlinuz
	Agent     []byte
	Beside    map[string][]byte
	Groups    []group
	Modules   []module
	Firmware  []firmwareFile
	Roots     []byte // certificates
	Tools     tools
	Packed    []byte // the drivers and firmware that stay packed until one is needed
	Archive   []byte // the initramfs as cpio, with Packed in it
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
	img := &image{Release: modules.Release, Agent: p.Agent, Beside: p.Beside, Roots: p.Roots, Tools: p.Tools, Groups: wanted(p.Flavour, p.Arch)}
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
	loose, err := closeOver(modules, virtualMachines(p.Arch))
	if err != nil {
		return nil, err
	}
	root, err := img.root(modules.Builtin, loose)
	if err != nil {
		return nil, err
	}
	if img.Archive, err = root.cpio(); err != nil {
		return nil, err
	}
	img.Initramfs, err = packed.Compress(img.Archive)
	return img, err
}

// root lays the files out as the agent and the kernel look for them. Modules that
// are not loose stay packed, and the firmware with them.
func (img *image) root(builtin []byte, loose []module) (tree, error) {
	root := newTree()
	root.file("init", img.Agent, 0o755)
	if img.Roots != nil {
		root.file(packed.Roots, img.Roots, 0o644)
	}
	if img.Tools.SHA256 != "" {
		root.file(packed.Tools, []byte(img.Tools.SHA256+"\n"), 0o644)
	}
	dir := path.Join("lib/modules", img.Release)
	tables, err := depmod(img.Modules)
	if err != nil {
		return nil, err
	}
	for name, body := range tables {
		root.file(path.Join(dir, name), body, 0o644)
	}
	root.file(path.Join(dir, "modules.builtin"), builtin, 0o644)
	var rest []packed.File
	for _, m := range img.Modules {
		name := path.Join(dir, m.Path)
		isLoose := slices.ContainsFunc(loose, func(l module) bool { return l.Name == m.Name })
		if isLoose && len(m.Firmware) == 0 { // firmware is packed, and the kernel would look for it at once
			root.file(name, m.Body, 0o644)
			continue
		}
		rest = append(rest, packed.File{Name: name, Body: m.Body})
	}
	for _, f := range img.Firmware {
		rest = append(rest, packed.File{Name: path.Join("lib/firmware", f.Name), Body: f.Body, Target: f.Target})
	}
	if len(rest) == 0 {
		return root, nil
	}
	img.Packed, err = packed.Pack(rest)
	root.file(packed.Drivers, img.Packed, 0o644)
	return root, err
}

// absent lists the wanted drivers and firmware that the packages do not have.
func (img *image) absent() []string {
	return slices.Sorted(slices.Values(slices.Concat(img.DriversAbsent, img.FirmwareAbsent)))
}
