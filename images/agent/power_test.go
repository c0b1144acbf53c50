package agent

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
	"testing"
)

// option is a load option variable: attributes of the variable and of the entry,
// the length of the path, a name, and the path.
func option(active bool, nodes ...[]byte) []byte {
	var devpath []byte
	for _, n := range append(nodes, []byte{nodeEnd, 0xff, 4, 0}) {
		devpath = append(devpath, n...)
	}
	b := []byte{7, 0, 0, 0, 0, 0, 0, 0}
	if active {
		b[4] = loadOptionActive
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(devpath)))
	b = append(b, 'd', 0, 'e', 0, 'b', 0, 0, 0)
	return append(b, devpath...)
}

func node(kind, sub byte, size int) []byte {
	return append([]byte{kind, sub, byte(size), 0}, make([]byte, size-4)...)
}

var (
	hardDrive = node(nodeMedia, nodeHardDrive, 42)
	file      = node(nodeMedia, 4, 20)
	pci       = node(1, 1, 6)
	port0     = node(3, 11, 37) // MAC address: a network entry
)

func TestBootsDisk(t *testing.T) {
	for name, test := range map[string]struct {
		option []byte
		want   bool
	}{
		"partition":         {option(true, hardDrive, file), true},
		"partition, long":   {option(true, pci, hardDrive, file), true},
		"inactive":          {option(false, hardDrive, file), false},
		"network":           {option(true, pci, port0), false},
		"empty":             {nil, false},
		"cut in the header": {option(true, hardDrive)[:9], false},
		"cut in the path":   {option(true, hardDrive)[:30], false},
		"node of size 0":    {option(true, []byte{4, 2, 0, 0}, hardDrive), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bootsDisk(test.option); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func FuzzBootsDisk(f *testing.F) {
	f.Add(option(true, pci, hardDrive, file))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bootsDisk(data) && len(data) < 10 {
			t.Error("too short to boot anything")
		}
		if len(bootNumbers(data)) > len(data)/2 {
			t.Error("more numbers than fit")
		}
	})
}

func TestBootDiskSetsBootNext(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path.Join(dir, name+efiGlobal), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("BootOrder", []byte{7, 0, 0, 0, 1, 0, 9, 0, 0x0a, 0})
	write("Boot0001", option(true, pci, port0))
	write("Boot000A", option(true, hardDrive, file)) // Boot0009 is gone, as firmware leaves it
	if err := bootDisk(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path.Join(dir, "BootNext"+efiGlobal))
	if err != nil || string(got) != "\x07\x00\x00\x00\x0a\x00" {
		t.Errorf("BootNext is % x, %v", got, err)
	}
}

func TestBootDiskWithoutAnEntry(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(path.Join(dir, "BootOrder"+efiGlobal), []byte{7, 0, 0, 0}, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := bootDisk(dir); !errors.Is(err, errNoDiskEntry) {
		t.Errorf("error %v, want %v", err, errNoDiskEntry)
	}
	if err := bootDisk(path.Join(dir, "none")); err != nil {
		t.Errorf("on BIOS: %v", err)
	}
}
