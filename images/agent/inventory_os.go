package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/action"
	"dragonfly/images/agent/signature"
	"dragonfly/registry"
)

// lookInto is the type of what has these signatures, and the option that keeps its
// journal from being replayed while we look into it. ok is false for what cannot
// hold a system we can look into: swap, LVM, RAID, encryption, NTFS, or nothing at
// all.
func lookInto(found []signature.Signature) (kind, option string, ok bool) {
	for _, s := range found {
		switch s.Type {
		case "ext2", "ext3", "ext4":
			return "ext4", "noload", true
		case "xfs":
			return "xfs", "norecovery", true
		case "btrfs":
			return "btrfs", "rescue=nologreplay", true
		case "vfat":
			return "vfat", "utf8=1", true
		}
	}
	return "", "", false
}

// findOS looks on every partition, and on disks without a partition table, until
// ctx ends.
func (h *host) findOS(ctx context.Context, disks []registry.Disk) []registry.OSFound {
	var found []registry.OSFound
	for _, disk := range disks {
		parts := partitionNames(h.root, disk.Name)
		if len(parts) == 0 {
			parts = []string{""}
		}
		for _, part := range parts {
			if ctx.Err() != nil {
				h.log.Warn("look for operating systems: no time left", "disk", disk.Name)
				return found
			}
			found = append(found, h.findOn(disk.Name, part)...)
		}
	}
	return distinct(found)
}

func partitionNames(t tree, disk string) []string {
	var names []string
	for name := range partitions(t, disk) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// findOn looks on one partition, or on the whole disk where part is empty.
func (h *host) findOn(disk, part string) []registry.OSFound {
	name := part
	if name == "" {
		name = disk
	}
	var found []registry.OSFound
	err := h.readOnly(path.Join("/dev", name), func(root fs.FS) {
		for _, os := range systemsOn(root) {
			found = append(found, registry.OSFound{Disk: disk, Partition: part, Name: os})
		}
	})
	if err != nil {
		h.log.Warn("look for an operating system", "on", name, "err", err)
	}
	return found
}

// readOnly mounts a device where we know its file system, lets look see it, and
// unmounts it. The device itself is set read-only meanwhile: ext4, mounted
// read-only and without its journal, still clears its list of orphans where the
// device lets it.
func (h *host) readOnly(device string, look func(fs.FS)) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	found, err := signature.Probe(f, size)
	kind, option, ok := lookInto(found)
	if !ok {
		return err
	}
	h.need(action.Modules(kind)...)
	was, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKROGET)
	if err != nil {
		return fmt.Errorf("read the write protection: %w", err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, 1); err != nil {
		return fmt.Errorf("protect from writing: %w", err)
	}
	defer func() { _ = unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, was) }()
	dir, err := os.MkdirTemp("/run", "look-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount(device, dir, kind, flags, option); err != nil {
		return fmt.Errorf("mount %s: %w", kind, err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	root, err := os.OpenRoot(dir) // a link on the disk must not lead out of it
	if err != nil {
		return err
	}
	defer root.Close()
	look(root.FS())
	return nil
}

// maxSystems bounds what one partition may claim to hold.
const maxSystems = 16

// systemsOn names the systems of one mounted partition: by os-release(5), also
// in the subvolumes that btrfs installers make, or by the folders of the vendors
// on an EFI system partition.
func systemsOn(root fs.FS) []string {
	var names []string
	for _, dir := range []string{".", "@", "root", "@rootfs"} {
		for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
			if name := osRelease(readSmall(root, path.Join(dir, file))); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, vendor := range efiVendors(root) {
		if len(names) < maxSystems {
			names = append(names, vendor)
		}
	}
	return names
}

// efiVendors are the folders under EFI, without the fallback loader's.
func efiVendors(root fs.FS) []string {
	var names []string
	for _, efi := range []string{"EFI", "efi"} {
		entries, err := fs.ReadDir(root, efi)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if name := clean(e.Name()); e.IsDir() && name != "" && !strings.EqualFold(name, "BOOT") {
				names = append(names, name)
			}
		}
		return names
	}
	return names
}

// readSmall is the start of a file of the disk, bounded.
func readSmall(root fs.FS, name string) []byte {
	f, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(f, 16<<10))
	return data
}

// osRelease is PRETTY_NAME, or NAME where that is missing.
func osRelease(file []byte) string {
	values := map[string]string{}
	for line := range bytes.Lines(file) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if ok {
			values[key] = clean(strings.Trim(value, `"'`))
		}
	}
	if name := values["PRETTY_NAME"]; name != "" {
		return name
	}
	return values["NAME"]
}

// distinct leaves out an EFI vendor's folder beside the system that made it: two
// names on one disk, where the one begins with the other.
func distinct(all []registry.OSFound) []registry.OSFound {
	named := func(vendor registry.OSFound) bool {
		return slices.ContainsFunc(all, func(o registry.OSFound) bool {
			return o.Disk == vendor.Disk && len(o.Name) > len(vendor.Name) &&
				strings.HasPrefix(strings.ToLower(o.Name), strings.ToLower(vendor.Name))
		})
	}
	return slices.DeleteFunc(slices.Clone(all), named)
}
