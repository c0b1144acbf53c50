package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// scenario is one way a machine can come up.
type scenario struct {
	Name    string
	About   string
	Machine vm
	Program string   // the boot program it has to fetch; empty where it must fetch none
	Serve   []string // further flags of "dragonfly serve"
	Limit   limits

	Then   func(scenario, context.Context, *rack, api.Machine) error // what is done with the ready machine; nil: nothing
	Within time.Duration                                             // how long that may take
}

// limits are the promised times from power-on to ready, under software
// emulation; zero where nothing is promised.
type limits struct {
	Product time.Duration // with the product image
	Cloud   time.Duration // with the small test image
}

// agentLimit is the promise for the agent, from /init to registered with one
// NIC, in guest time.
const agentLimit = 1200 * time.Millisecond

// of is the limit with an image.
func (l limits) of(image string) time.Duration {
	if image == "cloud" {
		return l.Cloud
	}
	return l.Product
}

// scenarios lists every way, the quickest to understand first.
func scenarios() []scenario {
	network := limits{Product: 20 * time.Second, Cloud: 17 * time.Second}
	// QEMU's BIOS ROM is iPXE already; replaced, it stands for a ROM that is not.
	replace := []string{"--ipxe-rom", "replace"}
	full := newVM(5, seaBIOS)
	full.NIC = "e1000e"
	full.Disks = []disk{{"nvme", "LAB-NVME-5", 8 << 30}, {"sata", "LAB-SATA-5", 4 << 30}}
	return []scenario{
		{Name: "bios", About: "SeaBIOS, undionly.kpxe by TFTP", Machine: newVM(0, seaBIOS),
			Program: "undionly.kpxe by TFTP", Serve: replace, Limit: network},
		{Name: "bios-ipxe", About: "SeaBIOS, an iPXE ROM that goes straight to the script", Machine: newVM(1, seaBIOS)},
		{Name: "uefi", About: "OVMF's own PXE client, snponly.efi by TFTP", Machine: newVM(2, ovmf),
			Program: "snponly.efi by TFTP", Limit: network},
		{Name: "http", About: "OVMF's own HTTP Boot client", Machine: newVM(3, ovmfHTTP),
			Program: "nbp/snponly.efi by HTTP", Limit: network},
		{Name: "kernel", About: "no firmware and no PXE: the kernel is handed over", Machine: newVM(4, noROM),
			Limit: limits{Product: 3 * time.Second, Cloud: 3 * time.Second}},
		{Name: "full-nvme", About: "SeaBIOS with e1000e, NVMe and SATA", Machine: full,
			Program: "undionly.kpxe by TFTP", Serve: replace},
		{Name: "reboot", About: "a ready machine with a blank disk comes back", Machine: newVM(6, seaBIOS),
			Then: scenario.reboot, Within: bootLimit},
		{Name: "deploy-bios", About: "SeaBIOS: Debian is installed, signed in to, and started again", Machine: newVM(7, seaBIOS).withSpare(),
			Then: scenario.deploy, Within: deployLimit},
		{Name: "deploy-uefi", About: "OVMF: Debian is installed, signed in to, and started again", Machine: newVM(8, ovmf).withSpare(),
			Program: "snponly.efi by TFTP", Then: scenario.deploy, Within: deployLimit},
		{Name: "once-bios", About: "SeaBIOS: a rescue by SSH, an own script, an ISO and memtest86+, each once", Machine: newVM(13, seaBIOS),
			Then: scenario.once, Within: onceLimit},
		{Name: "once-uefi", About: "OVMF: a rescue by SSH, an own script, an ISO and memtest86+, each once", Machine: newVM(14, ovmf),
			Program: "snponly.efi by TFTP", Then: scenario.once, Within: onceLimit},
		{Name: "deploy-faults", About: "orders that are refused, cancelled, damaged, interrupted, and never come back", Machine: newVM(9, seaBIOS),
			Serve: shortVerify, Then: scenario.spoil, Within: deployLimit},
		{Name: "deploy-pair", About: "SeaBIOS and OVMF: Debian is installed on two machines at once", Machine: newVM(10, seaBIOS),
			Then: scenario.pair, Within: deployLimit},
		{Name: "deploy-again", About: "OVMF: cancelled at the first boot, and installed again over what runs", Machine: newVM(12, ovmf),
			Program: "snponly.efi by TFTP", Then: scenario.again, Within: deployLimit},
		{Name: "deploy-grub", About: "SeaBIOS: Debian starts by a GRUB that was made on the machine", Machine: newVM(18, seaBIOS),
			Then: scenario.grub, Within: deployLimit},
		{Name: "deploy-rule", About: "SeaBIOS: a rule has Debian installed on the machine that registers next", Machine: newVM(19, seaBIOS),
			Then: scenario.rule, Within: deployLimit},
		{Name: "deploy-worker", About: "SeaBIOS: a worker of Tinkerbell's is given Debian without Tinkerbell", Machine: newVM(16, seaBIOS).withSpare(),
			Serve: servesTink, Then: scenario.worker, Within: deployLimit},
		{Name: "tinkerbell", About: "SeaBIOS: Tinkerbell installs Debian, by its own controller and the agent image as its worker", Machine: newVM(15, seaBIOS),
			Then: scenario.tinkerbell, Within: tinkLimit},
		{Name: "installer", About: "SeaBIOS: Debian's own installer, started by the agent, says why it cannot go on", Machine: newVM(17, seaBIOS),
			Then: scenario.installer, Within: installerLimit},
	}
}

// newVM is the n-th machine of the lab, with one NIC and one blank disk.
func newVM(n int, f firmware) vm {
	return vm{
		Name: fmt.Sprintf("machine%d", n), Firmware: f, NIC: "virtio-net-pci",
		MAC:    registry.MAC{0x52, 0x54, 0x00, 0x77, 0x00, byte(n)},
		UUID:   fmt.Sprintf("d7a90f1e-0000-4000-8000-%012x", n),
		Vendor: "Acme", Product: "Lab Server", Serial: fmt.Sprintf("LAB%04d", n),
		Memory: 1024, Disks: []disk{{"virtio", fmt.Sprintf("LAB-DISK-%d", n), 4 << 30}},
	}
}

// withSpare adds a second disk, larger than the first, which is chosen before it.
func (m vm) withSpare() vm {
	m.Disks = append(m.Disks, disk{"virtio", "SPARE-" + m.Serial, 8 << 30})
	return m
}

// choose picks the scenarios named by only; all without a name.
func choose(only []string) ([]scenario, error) {
	all := scenarios()
	if len(only) == 0 {
		return all, nil
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("--only %q: want some of %s", name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.Contains(only, s.Name) }), nil
}
