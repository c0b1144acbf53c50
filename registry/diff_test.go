package registry

import (
	"strings"
	"testing"
)

func sample() Hardware {
	return Hardware{
		System:   System{Vendor: "Acme", Serial: "SN-1", UUID: "u-1"},
		Firmware: Firmware{Mode: "uefi", Version: "1.0", Date: "2024-01-01"},
		CPU:      CPU{Model: "EPYC", Sockets: 2},
		Memory:   Memory{Bytes: 64 << 30, DIMMs: []DIMM{{Slot: "A1", Bytes: 32 << 30, Type: "DDR5", Serial: "d1"}, {Slot: "B1", Bytes: 32 << 30, Type: "DDR5", Serial: "d2"}}},
		Disks:    []Disk{{Name: "sda", Serial: "S1", Bytes: 1 << 40, Model: "PM9"}, {Name: "sdb", Removable: true}},
		NICs:     []NIC{{Name: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}, PCI: "0000:01:00.0", PCIID: "8086:1533", Link: true}},
		BMC:      &BMC{Version: "2.1"},
	}
}

func TestDiff(t *testing.T) {
	for want, change := range map[string]func(*Hardware){
		"": func(h *Hardware) {
			h.NICs[0].Link, h.Disks[0].Name, h.Disks = false, "nvme0n1", h.Disks[:1]
			h.OSFound = []OSFound{{Disk: "sda", Name: "Debian"}}
		},
		"DIMM B1 is gone (32 GiB DDR5 d2)":                              func(h *Hardware) { h.Memory.DIMMs = h.Memory.DIMMs[:1] },
		"DIMM A1 was 32 GiB DDR5 d1 and is 32 GiB DDR5 d9":              func(h *Hardware) { h.Memory.DIMMs[0].Serial = "d9" },
		"disk S1 is gone (1024 GiB PM9); disk S2 is new (1024 GiB PM9)": func(h *Hardware) { h.Disks[0].Serial = "S2" },
		"firmware was uefi 1.0 2024-01-01 and is uefi 1.1 2025-01-01": func(h *Hardware) {
			h.Firmware.Version, h.Firmware.Date = "1.1", "2025-01-01"
		},
		"port 02:00:00:00:00:01 is gone (0000:01:00.0 8086:1533)": func(h *Hardware) { h.NICs = nil },
		"BMC firmware is gone (2.1)":                              func(h *Hardware) { h.BMC = nil },
	} {
		after := sample()
		change(&after)
		var lines []string
		for _, d := range Diff(sample(), after) {
			lines = append(lines, d.String())
		}
		if got := strings.Join(lines, "; "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
