package main

import (
	"fmt"
	"path/filepath"
	"strconv"

	"dragonfly/registry"
)

// firmware is what starts a virtual machine.
type firmware string

const (
	seaBIOS  firmware = "bios"   // SeaBIOS; its only network ROM is iPXE
	ovmf     firmware = "uefi"   // OVMF and its own PXE client
	ovmfHTTP firmware = "http"   // OVMF with PXE switched off, so that HTTP Boot is left
	noROM    firmware = "kernel" // the kernel is handed over by QEMU
)

// disk is a blank disk of a virtual machine.
type disk struct {
	Bus    string // virtio, nvme or sata
	Serial string
	Bytes  int64
}

// vm is a virtual machine as it is ordered. Its identity is what the appliance
// has to show in the end.
type vm struct {
	Name     string
	Firmware firmware
	NIC      string // QEMU's name of the model: virtio-net-pci or e1000e
	MAC      registry.MAC
	UUID     string
	Vendor   string
	Product  string
	Serial   string
	Memory   int // MiB
	Disks    []disk
}

// host is what a virtual machine needs of the host.
type host struct {
	Accel   string // tcg or kvm
	Dir     string // where its files are
	ROMs    string // directory of network ROMs; empty for QEMU's own
	Tap     string
	OVMF    [2]string // code, and the variables to copy
	Kernel  string    // with noROM: the kernel, the initramfs and the command line
	Initrd  string
	Cmdline string
}

// disk image and UEFI variables of one machine.
func (h host) disk(i int) string { return filepath.Join(h.Dir, fmt.Sprintf("disk%d.img", i)) }
func (h host) vars() string      { return filepath.Join(h.Dir, "vars.fd") }

// args is the command line of QEMU. The serial console is its standard output.
func (m vm) args(h host) []string {
	args := []string{"qemu-system-x86_64", "-name", m.Name, "-accel", h.Accel}
	if h.Accel == "tcg" {
		args[len(args)-1] = "tcg,thread=multi"
		// Without RDRAND a guest's first random number may never come.
		args = append(args, "-cpu", "max")
	} else {
		args = append(args, "-cpu", "host")
	}
	args = append(args, "-machine", m.machineType(), "-smp", "2", "-m", strconv.Itoa(m.Memory),
		"-nodefaults", "-display", "none", "-vga", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-uuid", m.UUID,
		"-smbios", fmt.Sprintf("type=1,manufacturer=%s,product=%s,serial=%s", m.Vendor, m.Product, m.Serial))
	args = append(args, m.firmwareArgs(h)...)
	args = append(args, m.nicArgs(h)...)
	for i, d := range m.Disks {
		args = append(args, d.args(h, i)...)
	}
	return args
}

func (m vm) machineType() string {
	if m.Firmware == seaBIOS {
		return "q35,graphics=off" // puts the text of SeaBIOS on the serial console
	}
	return "q35"
}

func (m vm) firmwareArgs(h host) []string {
	var args []string
	switch m.Firmware {
	case seaBIOS:
		if h.ROMs != "" {
			// A directory, never romfile=: SeaBIOS skips a ROM that is named.
			return []string{"-L", h.ROMs}
		}
	case noROM:
		return []string{"-kernel", h.Kernel, "-initrd", h.Initrd, "-append", h.Cmdline}
	case ovmfHTTP:
		args = []string{"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n",
			"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"}
		fallthrough
	case ovmf:
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+h.OVMF[0],
			"-drive", "if=pflash,format=raw,file="+h.vars())
	}
	return args
}

func (m vm) nicArgs(h host) []string {
	device := fmt.Sprintf("%s,netdev=net0,mac=%s,bootindex=1", m.NIC, m.MAC)
	if m.Firmware != seaBIOS {
		device += ",romfile=" // no iPXE ROM: the firmware's own client has to do it
	}
	return []string{"-netdev", "tap,id=net0,ifname=" + h.Tap + ",script=no,downscript=no", "-device", device}
}

// args attaches the disk as the i-th.
func (d disk) args(h host, i int) []string {
	device := map[string]string{
		"virtio": "virtio-blk-pci", "nvme": "nvme", "sata": fmt.Sprintf("ide-hd,bus=ide.%d", i),
	}[d.Bus]
	return []string{
		"-drive", fmt.Sprintf("if=none,id=disk%d,format=raw,cache=unsafe,discard=unmap,file=%s", i, h.disk(i)),
		"-device", fmt.Sprintf("%s,drive=disk%d,serial=%s,bootindex=%d", device, i, d.Serial, i+2),
	}
}
