package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianSuite is the Debian that the lab installs, made of Debian's packages.
const debianSuite = "bookworm"

// debianPackages make a server of a minimal Debian: one that starts on BIOS and
// UEFI, configures itself with cloud-init and lets somebody in. The cloud kernel has
// the virtual disks and NVMe, and no SATA.
var debianPackages = []string{"systemd-sysv", "dbus", "linux-image-cloud-amd64",
	"grub-pc-bin", "grub-efi-amd64-bin", "grub2-common",
	"cloud-init", "cloud-guest-utils", "netplan.io", "iproute2", "libnss-myhostname",
	"openssh-server", "sudo", "curl", "zstd"}

//go:embed debian-disk.sh
var debianDisk string

// debianTools is what making the image takes, and the Debian package that has it.
var debianTools = []tool{
	{"mmdebstrap", "mmdebstrap"}, {"sfdisk", "fdisk"}, {"losetup", "mount"}, {"mkfs.ext4", "e2fsprogs"},
	{"mkfs.vfat", "dosfstools"}, {"mcopy", "mtools"},
}

// debianImage returns a raw disk image of a Debian server, which is made once for each
// recipe: that takes minutes.
func debianImage(ctx context.Context) (string, error) {
	if missing := lacking(debianTools); len(missing) > 0 {
		return "", fmt.Errorf("making a Debian image lacks:\n  %s", strings.Join(missing, "\n  "))
	}
	dir, err := labCache("debian")
	if err != nil {
		return "", err
	}
	root := filepath.Join(dir, "root-"+digest(debianRecipe()...)+".tar")
	if err := once(root, func(path string) error { return debianRoot(ctx, path) }); err != nil {
		return "", fmt.Errorf("make a Debian root file system: %w", err)
	}
	disk := filepath.Join(dir, "disk-"+digest(root, debianDisk)+".raw")
	return disk, once(disk, func(path string) error {
		script := path + ".sh"
		if err := os.WriteFile(script, []byte(debianDisk), 0o644); err != nil {
			return err
		}
		return errors.Join(command(ctx, "unshare", "--mount", "sh", script, root, path), os.Remove(script))
	})
}

// debianRecipe is what mmdebstrap is told, but for where to write and from where to
// fetch. Who made the machine is left out of it: host keys and the machine's ID.
func debianRecipe() []string {
	args := []string{"--quiet", "--variant=minbase", "--format=tar",
		"--include=" + strings.Join(debianPackages, ","),
		"--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io",
		"--customize-hook=rm -f \"$1\"/etc/ssh/ssh_host_* \"$1\"/etc/resolv.conf; : >\"$1\"/etc/machine-id; echo localhost >\"$1\"/etc/hostname"}
	for _, unread := range []string{"man", "locale", "doc"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+unread+"/*")
	}
	return append(args, debianSuite)
}

// debianRoot writes a tar archive with the root file system to path.
func debianRoot(ctx context.Context, path string) error {
	mirror, err := hostMirror(ctx)
	if err != nil {
		return err
	}
	argv := append([]string{"mmdebstrap"}, debianRecipe()...)
	return command(ctx, append(argv, path, "deb "+mirror+" "+debianSuite+" main")...)
}

// once makes path unless it is there. make writes to another name, so that what is
// half done is never taken for the whole.
func once(path string, make func(path string) error) error {
	if exists(path) {
		return nil
	}
	part := path + ".part"
	if err := errors.Join(os.RemoveAll(part), make(part)); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, path)
}

// labCache is a folder for what is made or fetched once.
func labCache(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache" // root without a home, as under systemd
	}
	dir := filepath.Join(cache, "dragonfly-lab", name)
	return dir, os.MkdirAll(dir, 0o755)
}

// digest names what is made of the parts.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return fmt.Sprintf("%x", sum[:6])
}

// tool is a program, and the Debian package that has it.
type tool struct{ name, pkg string }

// lacking lists the tools that are not there.
func lacking(tools []tool) (missing []string) {
	for _, t := range tools {
		if _, err := exec.LookPath(t.name); err != nil {
			missing = append(missing, fmt.Sprintf("%s (apt-get install %s)", t.name, t.pkg))
		}
	}
	return missing
}
