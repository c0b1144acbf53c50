package images

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"dragonfly/images/packed"
)

// The tools are programs that make file systems, arrays and volume groups, and that
// let an operator in. Most deployments need none, and they would take the room of drivers in the initramfs:
// so they are one archive of its own, which the agent fetches when an action asks
// for a tool. The initramfs has the archive's hash, and its name has it too: an
// agent takes the tools that it was built with, or none.

// toolPackages are Debian's packages with the programs, and with the libraries that
// they need.
func toolPackages() []string {
	return []string{
		"btrfs-progs", "busybox-static", "dosfstools", "dropbear-bin", "e2fsprogs", "lvm2", "mdadm", "xfsprogs",
		"libaio1t64", "libblkid1", "libbsd0", "libc6", "libcap2", "libcom-err2", "libcrypt1", "libdevmapper-event1.02.1",
		"libdevmapper1.02.1", "libedit2", "libext2fs2t64", "libgmp10", "libinih1", "liblzo2-2", "libmd0", "libpcre2-8-0",
		"libselinux1", "libsystemd0", "libtinfo6", "libtomcrypt1", "libtommath1", "libudev1", "liburcu8t64", "libuuid1", "libzstd1", "zlib1g",
	}
}

// toolPrograms are the programs that are taken, and their configuration.
func toolPrograms() []string {
	return []string{"usr/bin/busybox", "usr/bin/dropbearkey", "usr/sbin/dropbear", "usr/sbin/lvm", "usr/sbin/mdadm", "usr/sbin/mke2fs", "usr/sbin/mkfs.btrfs", "usr/sbin/mkfs.fat", "usr/sbin/mkfs.xfs"}
}

const toolConfig = "etc/mke2fs.conf"

// tools is the archive of the tools; the same packages give the same bytes. Every
// file lies in bin, lib or etc, and the loader of programs is lib/ld.so.
type tools struct {
	Archive []byte
	Files   int
	SHA256  string // of the archive
}

// name is what the archive is called beside the initramfs.
func (t tools) name() string { return "tools-" + t.SHA256 + ".tar.zst" }

// gatherTools fetches the packages and packs what is wanted of them.
func gatherTools(ctx context.Context, a *apt) (tools, []deb, error) {
	debs, err := a.fetch(ctx, toolPackages()...)
	if err != nil {
		return tools{}, nil, err
	}
	var sources []fs.FS
	for _, d := range debs {
		files, err := a.unpack(ctx, d)
		if err != nil {
			return tools{}, nil, err
		}
		sources = append(sources, files)
	}
	t, err := packTools(sources)
	return t, debs, err
}

func packTools(sources []fs.FS) (t tools, err error) {
	c := &toolset{sources: sources, files: map[string]packed.File{}}
	for _, name := range toolPrograms() {
		if err := c.program(name); err != nil {
			return t, fmt.Errorf("pack the tools: %w", err)
		}
	}
	body, err := c.find(toolConfig)
	if err != nil {
		return t, fmt.Errorf("pack the tools: %w", err)
	}
	c.files[toolConfig] = packed.File{Name: toolConfig, Body: body}
	var files []packed.File
	for _, f := range c.files {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b packed.File) int { return cmp.Compare(a.Name, b.Name) })
	t.Archive, err = packed.Pack(files)
	t.Files, t.SHA256 = len(files), hash(t.Archive)
	return t, err
}

// toolset gathers programs and all they need.
type toolset struct {
	sources []fs.FS
	files   map[string]packed.File // by their name in the archive
}

// find reads the file that matches a pattern of [path.Match], from whichever
// package has it.
func (c *toolset) find(pattern string) ([]byte, error) {
	for _, source := range c.sources {
		names, err := fs.Glob(source, pattern)
		if err != nil {
			return nil, err
		}
		if len(names) > 0 {
			return fs.ReadFile(source, names[0])
		}
	}
	return nil, fmt.Errorf("%s is in none of the packages", pattern)
}

func (c *toolset) program(name string) error {
	body, err := c.find(name)
	if err != nil {
		return err
	}
	c.files["bin/"+path.Base(name)] = packed.File{Name: "bin/" + path.Base(name), Body: body, Program: true}
	return c.needed(name, body)
}

// needed adds the libraries that a program or a library is linked with.
func (c *toolset) needed(name string, body []byte) error {
	file, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	libraries, err := file.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, library := range libraries {
		if err := c.library(library); err != nil {
			return fmt.Errorf("%s needs %s: %w", name, library, err)
		}
	}
	return nil
}

// library adds a library, once. The loader of programs is one, of another name on
// each architecture.
func (c *toolset) library(name string) error {
	to := "lib/" + name
	loader, _ := path.Match("ld-linux*", name)
	if loader {
		to = "lib/ld.so"
	}
	if _, ok := c.files[to]; ok {
		return nil
	}
	var errs []error
	for _, dir := range []string{"usr/lib/*-linux-gnu/", "usr/lib/", "usr/lib64/", "lib/*-linux-gnu/"} {
		body, err := c.find(dir + name)
		if err == nil {
			c.files[to] = packed.File{Name: to, Body: body, Program: loader}
			return c.needed(name, body)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// rootCertificates are the certificate authorities that Mozilla trusts, as one file
// of PEM. They let a template name an image on any https server.
func rootCertificates(source fs.FS) ([]byte, error) {
	names, err := fs.Glob(source, "usr/share/ca-certificates/mozilla/*.crt")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("find the root certificates: the package has none")
	}
	var all bytes.Buffer
	for _, name := range names {
		body, err := fs.ReadFile(source, name)
		if err != nil {
			return nil, fmt.Errorf("read a root certificate: %w", err)
		}
		all.Write(body)
	}
	return all.Bytes(), nil
}
