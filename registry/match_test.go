package registry_test

import (
	"testing"
	"time"

	"dragonfly/registry"
)

const (
	uuidA = "4c4c4544-0042-3510-8052-b4c04f564433"
	uuidB = "4c4c4544-0042-3510-8052-b4c04f564434"
)

func mac(last byte) registry.MAC { return registry.MAC{0x52, 0x54, 0, 0, 0, last} }

func system(uuid, serial string) registry.Hardware {
	return registry.Hardware{System: registry.System{Vendor: "Acme", UUID: uuid, Serial: serial}}
}

// fitted is hardware with a memory module and a disk of these serial numbers.
func fitted(h registry.Hardware, dimm, disk string) registry.Hardware {
	h.Memory.DIMMs = []registry.DIMM{{Slot: "A1", Serial: dimm}, {Slot: "A2"}}
	h.Disks = []registry.Disk{{Name: "sda", Serial: disk}, {Name: "sdb", Serial: "STICK", Transport: "usb"}}
	return h
}

// Machines with one UUID or serial number, and neither of them runs its agent now.
func TestMatchByParts(t *testing.T) {
	node := registry.Machine{ID: "node", MACs: []registry.MAC{mac(1)}, RegisteredAt: time.Unix(1, 0), Hardware: fitted(system(uuidA, "CHASSIS"), "M1", "D1")}
	for name, c := range map[string]struct {
		macs []registry.MAC
		hw   registry.Hardware
		same bool
	}{
		"another node of the chassis":             {[]registry.MAC{mac(7)}, fitted(system(uuidB, "CHASSIS"), "M2", "D2"), false},
		"another board of the batch":              {[]registry.MAC{mac(7)}, fitted(system(uuidA, ""), "M2", "D2"), false},
		"no disk yet":                             {[]registry.MAC{mac(7)}, fitted(system(uuidB, "CHASSIS"), "M2", ""), false},
		"mainboard swapped":                       {[]registry.MAC{mac(7)}, fitted(system(uuidB, "CHASSIS"), "M1", "D1"), true},
		"mainboard and memory swapped":            {[]registry.MAC{mac(7)}, fitted(system(uuidB, "CHASSIS"), "M2", "D1"), true},
		"NIC and disk swapped":                    {[]registry.MAC{mac(7)}, fitted(system(uuidA, "CHASSIS"), "M1", "D2"), true},
		"memory and disk swapped":                 {[]registry.MAC{mac(1)}, fitted(system(uuidA, "CHASSIS"), "M2", "D2"), true},
		"a USB NIC that was ours":                 {[]registry.MAC{mac(1)}, fitted(system(uuidB, "ANOTHER"), "M2", "D2"), false},
		"mainboard and serial number swapped":     {[]registry.MAC{mac(1)}, fitted(system(uuidB, "ANOTHER"), "M1", "D1"), true},
		"parts that say nothing":                  {[]registry.MAC{mac(7)}, fitted(system(uuidA, "CHASSIS"), "Not Specified", ""), true},
		"nothing but the serial number, no parts": {[]registry.MAC{mac(7)}, system("", "CHASSIS"), true},
	} {
		reg := registry.Registration{MAC: c.macs[0], MACs: c.macs, Hardware: c.hw}
		if _, same := registry.Match(reg, []registry.Machine{node}, func(string) bool { return false }); same != c.same {
			t.Errorf("%s: the same machine %t, want %t", name, same, c.same)
		}
	}
}

func TestMatch(t *testing.T) {
	known := registry.Machine{ID: "known", MACs: []registry.MAC{mac(1), mac(2)}, Hardware: system(uuidA, "SN-A"), CreatedAt: time.Unix(1, 0)}
	other := registry.Machine{ID: "other", MACs: []registry.MAC{mac(9)}, Hardware: system(uuidB, "SN-B"), CreatedAt: time.Unix(2, 0)}
	bare := registry.Machine{ID: "bare", MACs: []registry.MAC{mac(5)}, State: registry.Discovered, CreatedAt: time.Unix(3, 0)}
	tests := []struct {
		name  string
		macs  []registry.MAC
		hw    registry.Hardware
		alive string
		want  string
	}{
		{"same in every way", []registry.MAC{mac(1)}, system(uuidA, "SN-A"), "", "known"},
		{"NIC swapped: by UUID", []registry.MAC{mac(7)}, system(uuidA, ""), "", "known"},
		{"UUID in capitals", []registry.MAC{mac(7)}, system("4C4C4544-0042-3510-8052-B4C04F564433", ""), "", "known"},
		{"mainboard swapped: by serial", []registry.MAC{mac(7)}, system(uuidB[:35]+"9", "SN-A"), "", "known"},
		{"nothing but an address", []registry.MAC{mac(7), mac(2)}, system("", ""), "", "known"},
		{"discovered before", []registry.MAC{mac(5)}, system(uuidA[:35]+"9", "SN-Z"), "", "bare"},
		{"a stranger", []registry.MAC{mac(7)}, system(uuidB[:35]+"9", "SN-Z"), "", ""},
		{"a stranger that lists our address", []registry.MAC{mac(7), mac(2)}, system(uuidB[:35]+"9", "SN-Z"), "", ""},
		{"a stranger that boots from our address", []registry.MAC{mac(2)}, system(uuidB[:35]+"9", "SN-Z"), "", "known"},
		{"a NIC moved here from the other: UUID decides", []registry.MAC{mac(9)}, system(uuidA, "SN-A"), "", "known"},
		{"zero UUIDs tell nothing", []registry.MAC{mac(7)}, system("00000000-0000-0000-0000-000000000000", "Default string"), "", ""},
		{"a twin with our UUID while we are alive", []registry.MAC{mac(7)}, system(uuidA, ""), "known", ""},
		{"a blade with our chassis serial while we are alive", []registry.MAC{mac(7)}, system(uuidB[:35]+"9", "SN-A"), "known", ""},
		{"ourselves, rebooted before the old poll ended", []registry.MAC{mac(1)}, system(uuidA, "SN-A"), "known", "known"},
		{"our address and nothing else while we are alive", []registry.MAC{mac(1)}, system("", ""), "known", ""},
		{"our NIC in a stranger while we are alive", []registry.MAC{mac(1)}, system(uuidB[:35]+"9", "SN-Z"), "known", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg := registry.Registration{MAC: tt.macs[0], MACs: tt.macs, Hardware: tt.hw}
			got, ok := registry.Match(reg, []registry.Machine{other, bare, known}, func(id string) bool { return id == tt.alive })
			if got.ID != tt.want || ok != (tt.want != "") {
				t.Errorf("matched %q, %v; want %q", got.ID, ok, tt.want)
			}
		})
	}
}

func TestMatchPlaceholders(t *testing.T) {
	for _, hw := range []registry.Hardware{
		system("03000200-0400-0500-0006-000700080009", "To Be Filled By O.E.M."),
		system("ffffffff-ffff-ffff-ffff-ffffffffffff", "Default string"),
		system("", "0123456789"),
		system("", "  "),
		system("", "00000000"),
	} {
		one := registry.Machine{ID: "one", MACs: []registry.MAC{mac(1)}, Hardware: hw}
		reg := registry.Registration{MAC: mac(2), MACs: []registry.MAC{mac(2)}, Hardware: hw}
		if m, ok := registry.Match(reg, []registry.Machine{one}, func(string) bool { return false }); ok {
			t.Errorf("two boards with %+v became one machine %s", hw.System, m.ID)
		}
	}
}
