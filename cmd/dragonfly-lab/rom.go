package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// romPackage is Debian's build of iPXE as QEMU's network ROMs. The one in
// Debian 13 gets its address in 4 seconds, where Debian 12's takes 16.
const (
	romPackage = "ipxe-qemu"
	romSuite   = "trixie"
	romKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// fetchROMs returns the directory of Debian 13's network ROMs, which it gets
// once, through a package root of its own: the host's is not touched.
func fetchROMs(ctx context.Context) (string, error) {
	root, err := labCache("apt")
	if err != nil {
		return "", err
	}
	roms := filepath.Join(root, "usr", "share", "qemu")
	rom := filepath.Join(roms, "efi-virtio.rom") // QEMU's default name; a BIOS finds its part inside
	if exists(rom) {
		return roms, nil
	}
	if err := fetchPackage(ctx, root); err != nil {
		return "", fmt.Errorf("fetch %s of Debian %s: %w", romPackage, romSuite, err)
	}
	if _, err := os.Stat(rom); err != nil {
		return "", fmt.Errorf("package %s of Debian %s: %w", romPackage, romSuite, err)
	}
	return roms, nil
}

// fetchPackage downloads and unpacks the ROMs' package below root.
func fetchPackage(ctx context.Context, root string) error {
	mirror, err := hostMirror(ctx)
	if err != nil {
		return err
	}
	lists, cache := filepath.Join(root, "lists"), filepath.Join(root, "cache")
	for _, dir := range []string{filepath.Join(lists, "partial"), filepath.Join(cache, "archives", "partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	sources := filepath.Join(root, "sources.list")
	line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", romKeyring, mirror, romSuite)
	if err := os.WriteFile(sources, []byte(line), 0o644); err != nil {
		return err
	}
	apt := []string{"apt-get", "-q", "-o", "Dir::Etc::sourcelist=" + sources, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + cache, "-o", "APT::Sandbox::User=root"}
	if err := command(ctx, append(apt, "update")...); err != nil {
		return err
	}
	download := exec.CommandContext(ctx, apt[0], append(apt[1:], "download", romPackage)...)
	download.Dir = root
	if out, err := download.CombinedOutput(); err != nil {
		return fmt.Errorf("download: %w: %s", err, oneLine(out))
	}
	debs, err := filepath.Glob(filepath.Join(root, romPackage+"_*.deb"))
	if err != nil || len(debs) == 0 {
		return errors.Join(errors.New("nothing was downloaded"), err)
	}
	return command(ctx, "dpkg-deb", "-x", debs[len(debs)-1], root)
}

// hostMirror is the Debian mirror that the host's own sources name.
func hostMirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(SITE)", "Created-By: Packages", "Origin: Debian", "Label: Debian").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for the host's Debian mirror: %w", err)
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	if len(first) == 0 {
		return "", errors.New("the host's package sources name no Debian mirror; name a directory with --roms")
	}
	return string(first), nil
}

// oneLine is the end of what a command said, short enough for an error.
func oneLine(out []byte) string {
	text := bytes.Join(bytes.Fields(out), []byte(" "))
	return string(text[max(0, len(text)-400):])
}
