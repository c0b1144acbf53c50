package tinkerbell

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

// machine is what the templates under testdata are rendered for.
func machine() registry.Machine {
	return registry.Machine{ID: "m-000000000001", Name: "rack1-7", MACs: []registry.MAC{{2, 0, 0, 0, 0, 1}}, OS: "debian-13",
		Tags: []string{"gpu"}, Address: netip.MustParseAddr("192.0.2.7"), Hardware: registry.Hardware{
			System:   registry.System{Vendor: "Acme", Product: "R1", Serial: "SN1"},
			Firmware: registry.Firmware{Mode: "uefi"}, CPU: registry.CPU{Arch: "amd64"},
			Disks: []registry.Disk{{Name: "sda", Removable: true}, {Name: "nvme0n1", ByID: "/dev/disk/by-id/nvme-ACME_1"}, {Name: "sdb"}},
			NICs: []registry.NIC{{Name: "eth0"}, {Name: "eth1", MAC: registry.MAC{2, 0, 0, 0, 0, 2}, Address: netip.MustParseAddr("2001:db8::2")},
				{Name: "eth2", MAC: registry.MAC{2, 0, 0, 0, 0, 1}}}}}
}

func dataOf(t testing.TB, m registry.Machine) Data {
	t.Helper()
	data, err := NewData(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// golden compares with the file, or writes it with UPDATE=1.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s (%v; UPDATE=1 writes it): got\n%s\nwant\n%s", path, err, got, want)
	}
}

func filesOf(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	texts := map[string][]byte{}
	for _, path := range paths {
		if texts[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func TestGoodTemplates(t *testing.T) {
	for path, text := range filesOf(t, "testdata/good/*.yaml") {
		rendered, err := Render(text, dataOf(t, machine()))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if err := upstream(rendered.Text); err != nil {
			t.Errorf("%s: Tinkerbell refuses it: %v", path, err)
		}
		read, err := rendered.Parse()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		compare(t, read, rendered.Text)
		if err := read.Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		notes := ""
		for _, note := range read.Notes() {
			notes += "# " + note.String() + "\n"
		}
		golden(t, strings.TrimSuffix(path, ".yaml")+".golden", notes+string(rendered.Text))
	}
}

func TestBadTemplates(t *testing.T) {
	for path, text := range filesOf(t, "testdata/bad/*.yaml") {
		_, err := Check(text, dataOf(t, machine()))
		if _, ok := errors.AsType[*InvalidError](err); !ok {
			t.Errorf("%s: error %v; want an InvalidError", path, err)
			continue
		}
		golden(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
	}
}
