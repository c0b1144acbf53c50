package tinkerbell

import (
	"net/netip"

	"dragonfly/registry"
)

// ExampleMachine is a machine for a template to be tried with where there is no
// real one: amd64, UEFI, two ports, two disks, and a card reader.
func ExampleMachine() registry.Machine {
	boot, other := registry.MAC{0x02, 0, 0, 0, 0, 0x01}, registry.MAC{0x02, 0, 0, 0, 0, 0x02}
	return registry.Machine{
		ID: "m-example", Name: "example", State: registry.Ready, OS: "debian-13",
		MACs: []registry.MAC{boot, other}, Address: netip.AddrFrom4([4]byte{192, 0, 2, 10}),
		Hardware: registry.Hardware{
			System:   registry.System{Vendor: "Example", Product: "E1", Serial: "EX0001"},
			Firmware: registry.Firmware{Mode: "uefi"},
			CPU:      registry.CPU{Arch: "amd64", Cores: 8, Threads: 16},
			Memory:   registry.Memory{Bytes: 32 << 30},
			Disks: []registry.Disk{
				{Name: "nvme0n1", ByID: "/dev/disk/by-id/nvme-EXAMPLE_0001", Bytes: 1 << 40, Transport: "nvme"},
				{Name: "sda", ByID: "/dev/disk/by-id/ata-EXAMPLE_0002", Bytes: 4 << 40, Transport: "sata"},
				{Name: "sdb", Removable: true, Transport: "usb"},
			},
			NICs: []registry.NIC{{Name: "eth0", MAC: boot, Link: true}, {Name: "eth1", MAC: other}},
		},
	}
}
