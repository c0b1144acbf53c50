package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"dragonfly/registry"
)

// model is a machine as its maker sells it, and as its firmware names itself.
type model struct {
	vendor, product, serial, cpu, cpuVendor, arch string // serial is a format for a number
	sockets, cores                                int    // cores of all sockets
	dimms                                         int
	dimm                                          int64 // bytes of one
	disks                                         []drive
	nic, driver, pci                              string
	ports                                         int
	oui                                           [3]byte
}

type drive struct {
	name, model, serial string // name without its number
	bytes               int64
	transport           string
}

// The drives of the fleet.
var (
	bootSSD = drive{"sd", "SSDSC2KG480G8R", "PHYG%09X480BGN", 480_103_981_056, "sata"}
	nvme    = drive{"nvme", "SAMSUNG MZQL23T8HCLS-00A07", "S64HNE0R%06X", 3_840_755_982_336, "nvme"}
	micron  = drive{"nvme", "Micron_7450_MTFDKCC7T6TFR", "2247%08X", 7_681_501_126_656, "nvme"}
	sas     = drive{"sd", "ST16000NM004J", "ZR5%05XA", 16_000_900_661_248, "sas"}
)

// models are what stands in data centres, in no order.
var models = []model{
	{"Dell Inc.", "PowerEdge R650", "%07X", "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", "GenuineIntel", "amd64",
		2, 64, 16, 32 << 30, []drive{bootSSD, bootSSD, nvme, nvme}, "eno", "bnxt_en", "14e4:16d7", 4, [3]byte{0xb0, 0x7b, 0x25}},
	{"Dell Inc.", "PowerEdge R7525", "%07X", "AMD EPYC 7543 32-Core Processor", "AuthenticAMD", "amd64",
		2, 64, 16, 64 << 30, []drive{nvme, nvme, nvme, nvme}, "eno", "mlx5_core", "15b3:1015", 4, [3]byte{0xc8, 0x4b, 0xd6}},
	{"HPE", "ProLiant DL360 Gen10 Plus", "CZ%08d", "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz", "GenuineIntel", "amd64",
		2, 32, 16, 16 << 30, []drive{bootSSD, bootSSD, bootSSD, bootSSD}, "ens", "i40e", "8086:1572", 6, [3]byte{0x94, 0x40, 0xc9}},
	{"Lenovo", "ThinkSystem SR645", "J30%05X", "AMD EPYC 7313 16-Core Processor", "AuthenticAMD", "amd64",
		2, 32, 16, 16 << 30, []drive{bootSSD, sas, sas, sas, sas}, "ens", "ice", "8086:159b", 4, [3]byte{0x08, 0x3a, 0x88}},
	{"Supermicro", "AS -1114S-WN10RT", "S4%08dX", "AMD EPYC 7763 64-Core Processor", "AuthenticAMD", "amd64",
		1, 64, 16, 64 << 30, []drive{nvme, nvme, micron, micron}, "eth", "ixgbe", "8086:1563", 4, [3]byte{0x3c, 0xec, 0xef}},
	{"GIGABYTE", "R282-Z90-00", "GKG3N%07d", "AMD EPYC 7443P 24-Core Processor", "AuthenticAMD", "amd64",
		1, 24, 16, 32 << 30, []drive{bootSSD, micron, micron, micron}, "eth", "igb", "8086:1521", 4, [3]byte{0x18, 0xc0, 0x4d}},
	{"GIGABYTE", "R152-P30-00", "GLG4P%07d", "Ampere Altra Max M128-30", "Ampere", "arm64",
		1, 128, 16, 32 << 30, []drive{nvme, nvme, nvme}, "enP", "mlx5_core", "15b3:101d", 4, [3]byte{0xd8, 0x5e, 0xd3}},
}

// fleetStates is how the states are spread over a hundred machines.
var fleetStates = strings.Split(strings.Repeat("installed,", 58)+strings.Repeat("ready,", 35)+
	strings.Repeat("failed,", 3)+strings.Repeat("retired,", 4), ",")[:100]

// fleetMachine is the n-th machine of a made-up fleet, the same at every call: of
// 2.5 to 4 kB, with what operators say of machines. name is left to the caller.
func fleetMachine(n int) registry.Machine {
	dice := rand.New(rand.NewPCG(uint64(n), 1)) // #nosec: a fleet that is the same at every run
	kind := models[dice.IntN(len(models))]
	registered := fleetFounded.Add(time.Duration(n) * time.Minute)
	m := registry.Machine{
		ID: fmt.Sprintf("m-%012x", dice.Uint64()>>16), State: registry.State(fleetStates[dice.IntN(100)]),
		Hostname: fmt.Sprintf("node-%06d.%s.example.net", n, site(n)), Address: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}),
		Hardware: kind.hardware(n, dice), CreatedAt: registered.Add(-time.Minute), RegisteredAt: registered,
		SeenAt: registered.Add(time.Hour), Owner: fmt.Sprintf("team-%02d", n/500%40),
		Tags:   []string{[]string{"compute", "gpu", "storage"}[dice.IntN(3)], []string{"prod", "stage"}[dice.IntN(2)]},
		Labels: map[string]string{"site": site(n), "rack": fmt.Sprintf("r%04d", n/40), "unit": fmt.Sprint(n%40 + 1)},
	}
	if m.State == registry.Failed {
		m.Reason = "no disk is large enough: debian-13 needs 8 GB, the largest is 4 GB"
	}
	for _, nic := range m.Hardware.NICs {
		m.MACs = append(m.MACs, nic.MAC)
	}
	return m
}

// fleetFounded is when the first machine of the fleet registered.
var fleetFounded = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func site(n int) string { return []string{"ams1", "fra2", "lon1", "par3"}[n/40%4] }

func (k model) hardware(n int, dice *rand.Rand) registry.Hardware {
	h := registry.Hardware{
		System: registry.System{Vendor: k.vendor, Product: k.product, Serial: fmt.Sprintf(k.serial, 31_415_926+n),
			UUID: fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", dice.Uint32(), dice.IntN(1<<16), dice.IntN(1<<12), dice.IntN(1<<12), n)},
		Firmware: registry.Firmware{Mode: "uefi", Vendor: k.vendor, Version: fmt.Sprintf("2.%d.%d", dice.IntN(20), dice.IntN(10)), Date: "08/14/2025", SecureBoot: "disabled", TPM: "2.0"},
		CPU:      registry.CPU{Arch: k.arch, Vendor: k.cpuVendor, Model: k.cpu, Sockets: k.sockets, Cores: k.cores, Threads: 2 * k.cores},
		Memory:   registry.Memory{Bytes: int64(k.dimms)*k.dimm - 3<<30},
		BMC: &registry.BMC{Address: netip.AddrFrom4([4]byte{172, byte(16 + n>>16), byte(n >> 8), byte(n)}),
			MAC: k.mac(n, 15), Version: fmt.Sprintf("6.%d", dice.IntN(90))},
	}
	for i := range k.dimms / 2 { // of each pair one slot has a module of twice the size
		h.Memory.DIMMs = append(h.Memory.DIMMs, registry.DIMM{Slot: fmt.Sprintf("DIMM_%c%d", 'A'+i, 1), Bytes: 2 * k.dimm, Type: "DDR4", MTs: 3200,
			Vendor: "Samsung", Part: "M393A4K40EB3-CWE", Serial: fmt.Sprintf("%08X", dice.Uint32())})
	}
	for i, d := range k.disks {
		h.Disks = append(h.Disks, d.disk(i, dice))
	}
	for i := range k.ports {
		h.NICs = append(h.NICs, registry.NIC{Name: fmt.Sprintf("%s%d", k.nic, i), MAC: k.mac(n, i), Driver: k.driver, SpeedMbit: 25_000,
			Link: i < 2, PCI: fmt.Sprintf("0000:%02x:00.%d", 0x31+i/2, i%2), PCIID: k.pci})
	}
	return h
}

// mac is one of the sixteen addresses of the n-th machine.
func (k model) mac(n, i int) registry.MAC {
	n = n<<4 | i
	return registry.MAC{k.oui[0], k.oui[1], k.oui[2], byte(n >> 16), byte(n >> 8), byte(n)}
}

func (d drive) disk(i int, dice *rand.Rand) registry.Disk {
	serial := fmt.Sprintf(d.serial, dice.IntN(1<<20))
	name := fmt.Sprintf("%s%c", d.name, 'a'+i)
	if d.transport == "nvme" {
		name = fmt.Sprintf("%s%dn1", d.name, i)
	}
	return registry.Disk{Name: name, ByID: "/dev/disk/by-id/" + d.transport + "-" + strings.ReplaceAll(d.model, " ", "_") + "_" + serial,
		Model: d.model, Serial: serial, WWN: fmt.Sprintf("eui.%016x", dice.Uint64()), Bytes: d.bytes, Transport: d.transport, Rotational: d.transport == "sas"}
}
