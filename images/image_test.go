package images

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"dragonfly/images/packed"
)

func fakeParts(t *testing.T) parts {
	return parts{
		Flavour: Full, Arch: "amd64", Agent: []byte("agent"),
		Kernel: fakeKernel(t, "kernel/drivers/nvme/nvme.ko\n", map[string][]byte{
			"net/igb.ko.xz":        fakeModule("depends=dca", "alias=pci:v00008086d00001521*", "firmware=igb.fw"),
			"net/r8169.ko.xz":      fakeModule("softdep=pre: realtek", "firmware=rtl/gone.fw"),
			"net/phy/realtek.ko":   fakeModule(),
			"dca/dca.ko.xz":        fakeModule(),
			"gpu/unwanted-gpu.ko":  fakeModule(),
			"ata/ahci.ko":          fakeModule(),
			"fs/ext4/ext4.ko":      fakeModule("softdep=pre: crypto-crc32c"),
			"net/virtio-net.ko.xz": fakeModule(),
		}),
		Firmware: []fs.FS{fstest.MapFS{
			"usr/lib/firmware/igb.fw":      link("igb-1.2.bin"),
			"usr/lib/firmware/igb-1.2.bin": {Data: []byte("firmware")},
		}},
	}
}

// TestAssemble unpacks an image and looks at every record.
func TestAssemble(t *testing.T) {
	img, err := assemble(fakeParts(t))
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := zstd.NewReader(bytes.NewReader(img.Initramfs))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	archive, err := io.ReadAll(decoder)
	if err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, r := range records {
		fmt.Fprintf(&got, "%06o %3d %s\n", r.Mode, r.FileSize, r.Name)
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: time %d, owner %d:%d; want all zero", r.Name, r.MTime, r.UID, r.GID)
		}
	}
	root := t.TempDir()
	if err := packed.Unpack(bytes.NewReader(img.Packed), root); err != nil {
		t.Fatal(err)
	}
	got.WriteString("packed:\n")
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fmt.Fprintf(&got, "%s %s\n", d.Type(), strings.TrimPrefix(name, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "initramfs.txt", got.String())
	if want := []string{"rtl/gone.fw"}; !slices.Equal(img.FirmwareAbsent, want) {
		t.Errorf("firmware absent %q, want %q", img.FirmwareAbsent, want)
	}
	if slices.Contains(img.DriversAbsent, "nvme") || !slices.Contains(img.DriversAbsent, "tg3") {
		t.Errorf("drivers absent %q: want tg3 in it, and not the built-in nvme", img.DriversAbsent)
	}
}

// TestSameBytes builds twice from the same parts.
func TestSameBytes(t *testing.T) {
	first, err := assemble(fakeParts(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // maps are walked in another order each time
		again, err := assemble(fakeParts(t))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Initramfs, again.Initramfs) {
			t.Fatal("the same parts gave other bytes")
		}
	}
}

func TestAssembleRefuses(t *testing.T) {
	p := fakeParts(t)
	p.Kernel.(fstest.MapFS)["boot/vmlinuz-"+fakeRelease] = &fstest.MapFile{Mode: fs.ModeDir}
	if _, err := assemble(p); err == nil || !strings.Contains(err.Error(), "read the kernel: ") {
		t.Errorf("no kernel: got %v", err)
	}
	p.Kernel = fstest.MapFS{}
	if _, err := assemble(p); err == nil || !strings.Contains(err.Error(), "find kernel modules: ") {
		t.Errorf("no modules: got %v", err)
	}
}

// TestWanted holds the drivers that the reference asks for, and that no module
// is wanted twice: its size would be told in one row, and missed in the other.
func TestWanted(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		for _, flavour := range []string{Full, Cloud} {
			seen := map[string]bool{}
			for _, g := range wanted(flavour, arch) {
				for _, name := range g.Modules {
					if seen[name] || name != moduleName(name) {
						t.Errorf("%s %s: %s in %q is named twice or misspelt", flavour, arch, name, g.Name)
					}
					seen[name] = true
				}
			}
			for name := range strings.FieldsSeq(must(flavour)) {
				if !seen[name] {
					t.Errorf("%s %s: %s is not wanted", flavour, arch, name)
				}
			}
		}
	}
}

func must(flavour string) string {
	if flavour == Cloud {
		return "virtio_net virtio_blk virtio_scsi nvme ahci sd_mod efivarfs"
	}
	return "bnxt_en ixgbe i40e ice igb igc e1000 e1000e tg3 r8169 bnx2 bnx2x qede cxgb4 be2net sfc atlantic " +
		"mlx4_core mlx4_en mlx5_core ena virtio_net vmxnet3 hv_netvsc ahci nvme megaraid_sas mpt3sas hpsa smartpqi " +
		"aacraid virtio_blk virtio_scsi usb_storage uas xhci_pci sd_mod sr_mod ipmi_si ipmi_devintf tpm_crb " +
		"efivarfs md_mod dm_mod ext4 xfs vfat nls_cp437"
}
