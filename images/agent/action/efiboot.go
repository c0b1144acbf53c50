package action

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/efi"
	"dragonfly/images/agent/partition"
)

// EFIBoot makes UEFI firmware boot what is installed on a disk, after it has asked
// the network: the machine stays within reach, and no entry of another is taken
// away. On a BIOS machine there is nothing to do. The disk is not changed.
func EFIBoot(ctx context.Context, env *Env, disk string) error {
	vars := efi.Vars(env.path(string(efi.Default)))
	if !vars.There() {
		env.logf("the machine has no UEFI firmware; its boot order stays as it is")
		return nil
	}
	node, err := env.node(ctx, disk)
	if err != nil {
		return fmt.Errorf("%s: %w", disk, err)
	}
	esp, drive, err := systemPartition(node)
	if err != nil {
		return fmt.Errorf("find the EFI system partition of %s: %w", disk, err)
	}
	what, loader, err := env.loader(ctx, esp)
	if err != nil {
		return err
	}
	n, err := vars.AfterNetwork(what, drive.Node(), efi.File(loader))
	if err != nil {
		return fmt.Errorf("make a boot entry for %s: %w", loader, err)
	}
	env.logf("boot entry %04X is %s of %s", n, loader, disk)
	return nil
}

// systemPartition finds the partition that firmware boots from, and how a device
// path names it.
func systemPartition(disk string) (device string, drive efi.HardDrive, err error) {
	f, err := os.Open(disk)
	if err != nil {
		return "", drive, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", drive, err
	}
	table, err := partition.Read(f, size)
	if err != nil {
		return "", drive, err
	}
	i := slices.IndexFunc(table.Parts, func(p partition.Partition) bool { return p.Type == partition.ESPGUID || p.Type == "ef" })
	if i < 0 {
		return "", drive, errors.New("there is none")
	}
	p := table.Parts[i]
	drive = efi.HardDrive{Number: uint32(p.Number), Start: uint64(p.Start / table.Sector), Size: uint64(p.Size / table.Sector), Format: 1, Named: 1}
	if table.Kind == partition.GPT {
		drive.Format, drive.Named = 2, 2
		drive.Signature = p.GUID()
	} else if id, err := hex.DecodeString(table.ID); err == nil && len(id) == 4 {
		binary.LittleEndian.PutUint32(drive.Signature[:], binary.BigEndian.Uint32(id))
	}
	return partNode(disk, fmt.Sprint(p.Number)), drive, nil
}

// loaders are the names of boot loaders, without the architecture that ends them;
// the one that is trusted under Secure Boot first.
var loaders = []string{"shim", "grub", "systemd-boot"}

// architectures are how UEFI names them (UEFI 3.5.1.1).
var architectures = map[string]string{"amd64": "x64", "arm64": "aa64"}

// loader finds the boot loader on an EFI system partition; see [findLoader].
func (e *Env) loader(ctx context.Context, esp string) (what, loader string, err error) {
	v, err := e.mountNode(esp, esp, "vfat", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
	if err != nil {
		return "", "", fmt.Errorf("mount %s: %w", esp, err)
	}
	if what, loader, err = findLoader(v, architectures[runtime.GOARCH]+".efi"); err != nil {
		err = fmt.Errorf("%s: %w", esp, err)
	}
	return what, loader, errors.Join(err, v.close())
}

// findLoader finds the boot loader whose name ends in suffix, as "debian" and
// \EFI\debian\shimx64.efi. The one in \EFI\BOOT is taken only where a system has no
// directory of its own: beside it there may be a program that gives the firmware an
// entry before all others, and starts again (shim's fallback.efi).
func findLoader(v *volume, suffix string) (what, loader string, err error) {
	for _, dir := range slices.DeleteFunc(v.names("/EFI"), isFallback) {
		for _, name := range loaders {
			// FAT does not tell upper from lower case, but keeps it.
			if v.exists(path.Join("/EFI", dir, name+suffix)) {
				return dir, `\EFI\` + dir + `\` + name + suffix, nil
			}
		}
	}
	if v.exists("/EFI/BOOT/BOOT"+strings.ToUpper(suffix)) || v.exists("/EFI/BOOT/boot"+suffix) {
		return "disk", `\EFI\BOOT\BOOT` + strings.ToUpper(suffix), nil
	}
	return "", "", fmt.Errorf("there is no boot loader, neither \\EFI\\BOOT\\boot%s nor one of %s", suffix, strings.Join(loaders, ", "))
}

// isFallback reports the directory for disks that the firmware does not know.
func isFallback(dir string) bool { return strings.EqualFold(dir, "BOOT") }
