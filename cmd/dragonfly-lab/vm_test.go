package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden compares got with a file in testdata, which UPDATE=1 writes anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with UPDATE=1 to accept.\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestQEMUArgs(t *testing.T) {
	h := host{Accel: "tcg", Dir: "/rack/m", ROMs: "/roms", Tap: "tap0", OVMF: ovmfFiles,
		Kernel: "/image/vmlinuz", Initrd: "/image/initramfs.zst", Cmdline: "dragonfly.url=http://10.77.0.2:3000 panic=60"}
	for _, s := range scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			golden(t, s.Name+".args", strings.Join(s.Machine.args(h), "\n")+"\n")
		})
	}
}

func TestQEMUArgsFollowTheHost(t *testing.T) {
	bios := newVM(0, seaBIOS)
	kvm := strings.Join(bios.args(host{Accel: "kvm"}), " ")
	if !strings.Contains(kvm, "-accel kvm -cpu host ") {
		t.Errorf("with --accel kvm: %s", kvm)
	}
	if strings.Contains(kvm, "-L ") {
		t.Errorf("without a ROM directory QEMU is pointed at one: %s", kvm)
	}
}

func TestFilesOfAMachine(t *testing.T) {
	dir := t.TempDir()
	template := filepath.Join(dir, "template.fd")
	if err := os.WriteFile(template, []byte("variables"), 0o444); err != nil {
		t.Fatal(err)
	}
	h := host{Dir: filepath.Join(dir, "m"), OVMF: [2]string{"", template}}
	m := newVM(0, ovmf)
	if err := m.files(h); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(h.disk(0)); err != nil || info.Size() != m.Disks[0].Bytes {
		t.Errorf("disk: %v, %v; want %d bytes", info, err, m.Disks[0].Bytes)
	}
	if vars, err := os.ReadFile(h.vars()); err != nil || string(vars) != "variables" {
		t.Errorf("UEFI variables: %q, %v", vars, err)
	}
}
