package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"testing"
)

// entry is a variable: four bytes of attributes, and a load option.
func variable(active bool, description string, nodes ...Node) []byte {
	e := Entry{Description: description, Path: nodes}
	if active {
		e.Attributes = 1
	}
	return append([]byte{7, 0, 0, 0}, e.Bytes()...)
}

var (
	pci       = Node{1, 1, make([]byte, 2)}
	mac       = Node{typeMessaging, kindMAC, make([]byte, 33)}
	ipv4      = Node{typeMessaging, kindIPv4, make([]byte, 23)}
	hardDrive = HardDrive{Number: 1, Start: 2048, Size: 4096, Signature: [16]byte{1, 2, 3}, Format: 2, Named: 2}.Node()
	shim      = File(`\EFI\debian\shimx64.efi`)
)

// firmware is a directory with variables.
func firmware(t *testing.T, variables map[string][]byte) Vars {
	t.Helper()
	dir := t.TempDir()
	for name, value := range variables {
		if err := os.WriteFile(path.Join(dir, name+global), value, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Vars(dir)
}

func order(numbers ...uint16) []byte {
	b := []byte{7, 0, 0, 0}
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

// TestParseEntry reads an entry as OVMF made it for an installed Debian.
func TestParseEntry(t *testing.T) {
	e, err := ParseEntry(variable(true, "Größe", pci, hardDrive, shim)[4:])
	if err != nil || e.Description != "Größe" || !e.Active() || !e.FromDisk() || e.FromNetwork() || len(e.Path) != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	whole := Entry{Attributes: 1, Description: "x", Path: []Node{hardDrive}, Data: []byte("options")}.Bytes()
	if e, err := ParseEntry(whole); err != nil || string(e.Data) != "options" || string(e.Bytes()) != string(whole) {
		t.Errorf("%+v, %v", e, err)
	}
	for n := range len(whole) - len("options") {
		if _, err := ParseEntry(whole[:n]); err == nil {
			t.Errorf("%d bytes were taken for an entry", n)
		}
	}
	broken := Entry{Path: []Node{hardDrive}}.Bytes()
	binary.LittleEndian.PutUint16(broken[10:], 0)
	if _, err := ParseEntry(broken); err == nil {
		t.Error("a node of size 0 was read")
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(variable(true, "debian", pci, hardDrive, shim)[4:])
	f.Add(variable(false, "", mac, ipv4)[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		again, err := ParseEntry(e.Bytes())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(e) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

func TestNextDisk(t *testing.T) {
	v := firmware(t, map[string][]byte{
		"BootOrder": order(1, 9, 3, 10), // 9 is gone, as firmware leaves it
		"Boot0001":  variable(true, "PXE", pci, mac, ipv4), "Boot0003": variable(false, "off", hardDrive), "Boot000A": variable(true, "debian", hardDrive, shim),
	})
	if err := v.NextDisk(); err != nil {
		t.Fatal(err)
	}
	if got, err := v.numbers("BootNext"); err != nil || !slices.Equal(got, []uint16{10}) {
		t.Errorf("BootNext is %v, %v", got, err)
	}
	if err := firmware(t, map[string][]byte{"BootOrder": order()}).NextDisk(); !errors.Is(err, ErrNoDiskEntry) {
		t.Error(err)
	}
	if Vars(path.Join(t.TempDir(), "none")).There() || firmware(t, nil).There() || !v.There() {
		t.Error("it does not know where there are variables")
	}
}

func TestAfterNetwork(t *testing.T) {
	pxe, http := variable(true, "UEFI PXEv4", pci, mac, ipv4), variable(true, "UEFI HTTPv4", pci, mac, ipv4, Node{typeMessaging, kindURI, nil})
	disk := variable(true, "UEFI Misc Device", pci)
	foreign := variable(true, "Windows", Node{typeMedia, kindHardDrive, make([]byte, 38)}, File(`\EFI\Microsoft\Boot\bootmgfw.efi`))
	for name, test := range map[string]struct {
		variables map[string][]byte
		number    uint16
		order     []uint16
	}{
		"the network comes first": {map[string][]byte{"BootOrder": order(1, 2, 0), "BootCurrent": order(1), "Boot0000": disk, "Boot0001": pxe, "Boot0002": http}, 3, []uint16{1, 3, 2, 0}},
		"the network was chosen by hand": {map[string][]byte{"BootOrder": order(0, 2, 1), "BootCurrent": order(1), "Boot0000": foreign, "Boot0001": pxe, "Boot0002": http}, 3,
			[]uint16{1, 3, 0, 2}},
		"the network is not in the order":       {map[string][]byte{"BootOrder": order(0), "BootCurrent": order(5), "Boot0000": foreign, "Boot0005": pxe}, 1, []uint16{5, 1, 0}},
		"another thing was booted":              {map[string][]byte{"BootOrder": order(0, 2), "BootCurrent": order(0), "Boot0000": disk, "Boot0002": http}, 1, []uint16{2, 1, 0}},
		"no network":                            {map[string][]byte{"BootOrder": order(0), "Boot0000": foreign}, 1, []uint16{1, 0}},
		"nothing":                               {map[string][]byte{"Timeout": order(1)}, 0, []uint16{0}},
		"an earlier deployment":                 {map[string][]byte{"BootOrder": order(1, 7, 0), "BootCurrent": order(1), "Boot0000": foreign, "Boot0001": pxe, "Boot0007": variable(true, "fedora (Dragonfly)", pci)}, 7, []uint16{1, 7, 0}},
		"an entry of the installed system":      {map[string][]byte{"BootOrder": order(4, 1), "BootCurrent": order(1), "Boot0001": pxe, "Boot0004": variable(true, "debian", hardDrive, File(`\EFI\DEBIAN\SHIMX64.EFI`))}, 4, []uint16{1, 4}},
		"the same entry, which is switched off": {map[string][]byte{"BootOrder": order(1, 4), "BootCurrent": order(1), "Boot0001": pxe, "Boot0004": variable(false, "debian", hardDrive, shim)}, 4, []uint16{1, 4}},
		"rubbish":                               {map[string][]byte{"BootOrder": order(1), "BootCurrent": order(1), "Boot0001": pxe, "Boot0000": {7, 0, 0, 0, 1}, "Boot0002": {1}}, 3, []uint16{1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			v := firmware(t, test.variables)
			for range 2 { // the second time changes nothing
				n, err := v.AfterNetwork("debian", hardDrive, shim)
				if err != nil || n != test.number {
					t.Fatalf("entry %d, %v; want %d", n, err, test.number)
				}
				if got, err := v.Order(); err != nil || !slices.Equal(got, test.order) {
					t.Errorf("the order is %v, %v; want %v", got, err, test.order)
				}
				e, err := v.Entry(n)
				if err != nil || !e.Active() || !e.same(Entry{Path: []Node{hardDrive, shim}}) {
					t.Errorf("%+v, %v", e, err)
				}
			}
			for name, value := range test.variables { // what is another's is as it was
				now, err := os.ReadFile(path.Join(string(v), name+global))
				changed := name == "BootOrder" || name == fmt.Sprintf("Boot%04X", test.number)
				if err != nil || string(now) != string(value) && !changed {
					t.Errorf("%s was changed: %v", name, err)
				}
			}
		})
	}
}

func TestNoNumberIsLeft(t *testing.T) {
	all := map[uint16]Entry{}
	for n := range uint16(0x2000) {
		all[n] = Entry{Attributes: 1, Description: "x", Path: []Node{pci}}
	}
	if n, ok := place(all, Entry{Path: []Node{hardDrive, shim}}); ok {
		t.Errorf("the entry would replace number %d", n)
	}
}
