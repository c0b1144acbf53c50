package registry

import (
	"cmp"
	"net/netip"
)

// Hardware is what the agent found in a machine. Sizes are in bytes, speeds in
// Mbit/s. A field the agent could not read is its zero value and is left out on
// the wire.
type Hardware struct {
	System   System    `json:"system,omitzero"`
	Firmware Firmware  `json:"firmware,omitzero"`
	CPU      CPU       `json:"cpu,omitzero"`
	Memory   Memory    `json:"memory,omitzero"`
	Disks    []Disk    `json:"disks,omitempty"`
	NICs     []NIC     `json:"nics,omitempty"`
	BMC      *BMC      `json:"bmc,omitempty"`
	OSFound  []OSFound `json:"os_found,omitempty"`
}

// System is the machine as its maker calls it (SMBIOS type 1, DSP0134 section
// 7.2), and what the kernel says of it.
type System struct {
	Vendor         string `json:"vendor,omitempty"`
	Product        string `json:"product,omitempty"`
	Serial         string `json:"serial,omitempty"`
	UUID           string `json:"uuid,omitempty" doc:"SMBIOS UUID, lower case"`
	Virtualisation string `json:"virtualisation,omitempty" doc:"kvm, qemu, vmware, xen, hyperv; empty on metal"`
}

// Firmware is what started the machine.
type Firmware struct {
	Mode       string `json:"mode,omitempty" doc:"bios or uefi"`
	Vendor     string `json:"vendor,omitempty"`
	Version    string `json:"version,omitempty"`
	Date       string `json:"date,omitempty"`
	SecureBoot string `json:"secure_boot,omitempty" doc:"enabled, disabled, or empty where there is none"`
	TPM        string `json:"tpm,omitempty" doc:"1.2 or 2.0; empty where there is none"`
}

// CPU counts over all sockets.
type CPU struct {
	Arch    string `json:"arch,omitempty" doc:"amd64 or arm64"`
	Vendor  string `json:"vendor,omitempty"`
	Model   string `json:"model,omitempty"`
	Sockets int    `json:"sockets,omitempty"`
	Cores   int    `json:"cores,omitempty"`
	Threads int    `json:"threads,omitempty"`
}

// Memory is what the kernel sees and the modules SMBIOS lists (type 17).
type Memory struct {
	Bytes int64  `json:"bytes,omitempty"`
	DIMMs []DIMM `json:"dimms,omitempty"`
}

// Installed is the memory that was bought; the kernel sees a little less.
func (m Memory) Installed() (bytes int64) {
	for _, dimm := range m.DIMMs {
		bytes += dimm.Bytes
	}
	return cmp.Or(bytes, m.Bytes)
}

// DIMM is one populated memory slot.
type DIMM struct {
	Slot   string `json:"slot,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Type   string `json:"type,omitempty" doc:"DDR4, DDR5, ..."`
	MTs    int    `json:"mts,omitempty" doc:"mega-transfers per second"`
	Vendor string `json:"vendor,omitempty"`
	Part   string `json:"part,omitempty"`
	Serial string `json:"serial,omitempty"`
}

// Disk is one whole block device.
type Disk struct {
	Name       string `json:"name" doc:"kernel name, such as nvme0n1"`
	ByID       string `json:"by_id,omitempty" doc:"stable path under /dev/disk/by-id"`
	Model      string `json:"model,omitempty"`
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
	Rotational bool   `json:"rotational,omitempty"`
	Removable  bool   `json:"removable,omitempty"`
	Transport  string `json:"transport,omitempty" doc:"nvme, sata, sas, scsi, virtio, usb, mmc"`

	Contents Contents    `json:"contents,omitempty" doc:"what was found on it, in a word: blank, ours, foreign, member or unreadable; left out where nobody has looked"`
	Found    []Signature `json:"found,omitempty" doc:"what was found on it: the partition table, and what stands on the disk or its partitions"`
}

// NIC is one network port. One without a driver has a PCI address and ids but
// no name and no MAC.
type NIC struct {
	Name      string     `json:"name,omitempty" doc:"kernel name, such as eth0"`
	MAC       MAC        `json:"mac,omitzero"`
	Driver    string     `json:"driver,omitempty"`
	SpeedMbit int        `json:"speed_mbit,omitempty"`
	Link      bool       `json:"link,omitempty"`
	PCI       string     `json:"pci,omitempty" doc:"PCI address, such as 0000:01:00.0"`
	PCIID     string     `json:"pci_id,omitempty" doc:"vendor:device, such as 8086:1533"`
	Address   netip.Addr `json:"address,omitzero" doc:"the address it was given while the agent ran"`
}

// BMC is the management controller as in-band IPMI shows it.
type BMC struct {
	Address netip.Addr `json:"address,omitzero"`
	MAC     MAC        `json:"mac,omitzero"`
	Version string     `json:"version,omitempty" doc:"firmware revision"`
}

// OSFound is an operating system that was already on a disk.
type OSFound struct {
	Disk      string `json:"disk" doc:"kernel name of the disk"`
	Partition string `json:"partition,omitempty"`
	Name      string `json:"name" doc:"PRETTY_NAME of os-release, or the EFI loader's vendor"`
}
