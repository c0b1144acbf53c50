package action

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/efi"
	"dragonfly/images/agent/partition"
)

func TestSystemPartition(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sda")
	for name, test := range map[string]struct {
		table partition.Table
		want  efi.HardDrive
	}{
		"gpt": {partition.Table{Kind: partition.GPT, Parts: []partition.Partition{
			{Number: 1, Start: 8 << 20, Size: 8 << 20, Type: partition.LinuxGUID},
			{Number: 15, Start: 1 << 20, Size: 4 << 20, Type: partition.ESPGUID, ID: "00112233-4455-6677-8899-aabbccddeeff"}}},
			efi.HardDrive{Number: 15, Start: 2048, Size: 8192, Format: 2, Named: 2,
				Signature: [16]byte{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}}},
		"dos": {partition.Table{Kind: partition.DOS, ID: "01020304", Parts: []partition.Partition{{Number: 1, Start: 1 << 20, Size: 4 << 20, Type: "ef"}}},
			efi.HardDrive{Number: 1, Start: 2048, Size: 8192, Format: 1, Named: 1, Signature: [16]byte{4, 3, 2, 1}}},
	} {
		f, err := os.Create(file)
		must(t, err)
		must(t, f.Truncate(32<<20))
		test.table.Sector = 512
		must(t, test.table.Write(f, 32<<20))
		must(t, f.Close())
		device, got, err := systemPartition(file)
		if err != nil || got != test.want || !strings.HasPrefix(device, file) {
			t.Errorf("%s: %s, %+v, %v; want %+v", name, device, got, err, test.want)
		}
	}
	must(t, os.Truncate(file, 0))
	must(t, os.Truncate(file, 32<<20))
	if _, _, err := systemPartition(file); err == nil {
		t.Error("a blank disk has an EFI system partition")
	}
}

func TestFindLoader(t *testing.T) {
	for name, test := range map[string]struct{ files, what, loader string }{
		"shim before grub":         {"EFI/BOOT/BOOTX64.EFI EFI/debian/grubx64.efi EFI/debian/shimx64.efi", "debian", `\EFI\debian\shimx64.efi`},
		"grub":                     {"EFI/BOOT/BOOTX64.EFI EFI/ubuntu/grubx64.efi", "ubuntu", `\EFI\ubuntu\grubx64.efi`},
		"systemd-boot":             {"EFI/systemd/systemd-bootx64.efi", "systemd", `\EFI\systemd\systemd-bootx64.efi`},
		"the fallback":             {"EFI/BOOT/BOOTX64.EFI EFI/vendor/readme", "disk", `\EFI\BOOT\BOOTX64.EFI`},
		"the fallback, lower case": {"EFI/BOOT/bootx64.efi", "disk", `\EFI\BOOT\BOOTX64.EFI`},
		"another architecture":     {"EFI/BOOT/BOOTAA64.EFI EFI/debian/shimaa64.efi", "", ""},
		"nothing":                  {"", "", ""},
	} {
		device := fileSystem(t, func(root string) {
			for file := range strings.FieldsSeq(test.files) {
				must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o755))
				must(t, os.WriteFile(filepath.Join(root, file), []byte("MZ"), 0o644))
			}
		})
		v, err := (&Env{}).mount(t.Context(), device, "ext4", unix.MS_RDONLY)
		must(t, err)
		what, loader, err := findLoader(v, "x64.efi")
		if what != test.what || loader != test.loader || (err == nil) != (test.loader != "") {
			t.Errorf("%s: %q, %q, %v", name, what, loader, err)
		}
		must(t, v.close())
	}
}

// A machine with a BIOS has no boot entries, and that is no failure.
func TestEFIBootOnBIOS(t *testing.T) {
	env := &Env{Root: t.TempDir(), Log: func(string) {}}
	if err := EFIBoot(t.Context(), env, "/dev/sda"); err != nil {
		t.Error(err)
	}
}
