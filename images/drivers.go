package images

import "slices"

// group is a set of wanted modules with one purpose; its name is a row of the
// report. A module that the kernel has built in, or that this kernel does not
// offer, costs nothing; dependencies come by themselves.
type group struct {
	Name    string
	Arch    string   // the only architecture that has them; "" for all
	Modules []string // in the kernel's spelling
}

// wanted lists the drivers of an agent image. The full one has what a server
// needs to reach the network, show its disks and be written to: no graphics,
// sound, wireless or cluster file systems. The cloud one has what a virtual
// machine of the tests needs, and its kernel has little more.
func wanted(flavour, arch string) []group {
	all := slices.Concat(nics(), disks(), platform())
	if flavour == Cloud {
		all = virtual()
	}
	return slices.DeleteFunc(all, func(g group) bool { return g.Arch != "" && g.Arch != arch })
}

// nics are the network drivers, by vendor.
func nics() []group {
	return []group{
		{Name: "net: virtual machines and clouds", Modules: []string{
			"virtio_net", "vmxnet3", "hv_netvsc", "ena", "gve", "mana", "xen_netfront"}},
		// What QEMU and VMware emulate when nobody chose a card.
		{Name: "net: emulated and old", Arch: "amd64", Modules: []string{
			"8139too", "8139cp", "pcnet32", "ne2k_pci", "forcedeth", "sky2", "alx"}},
		{Name: "net: Intel", Modules: []string{
			"e1000", "e1000e", "igb", "igbvf", "igc", "ixgbe", "ixgbevf", "i40e", "iavf", "ice", "idpf"}},
		{Name: "net: Intel, 100 Mbit/s", Arch: "amd64", Modules: []string{"e100"}},
		{Name: "net: Broadcom", Modules: []string{"tg3", "bnx2", "bnx2x", "bnxt_en"}},
		{Name: "net: NVIDIA Mellanox", Modules: []string{"mlx4_core", "mlx4_en", "mlx5_core"}},
		{Name: "net: Marvell, Cavium, QLogic", Modules: []string{"qede", "atlantic"}},
		{Name: "net: Chelsio, Emulex, Solarflare", Modules: []string{"cxgb4", "cxgb4vf", "be2net", "sfc"}},
		{Name: "net: AMD Pensando, Huawei", Modules: []string{"ionic", "hinic"}},
		{Name: "net: Cisco, AMD", Arch: "amd64", Modules: []string{"enic", "amd_xgbe"}},
		{Name: "net: Realtek", Modules: []string{"r8169"}},
		{Name: "net: Arm servers", Arch: "arm64", Modules: []string{
			"hns3", "hclge", "hclgevf", "nicpf", "nicvf", "thunder_bgx", "xgene_enet",
			"amd_xgbe", "mvneta", "mvpp2", "macb", "netsec"}},
		// cdc_ether and rndis_host are also how many BMCs talk to their host
		// (Redfish host interface, DMTF DSP0270).
		{Name: "net: USB", Modules: []string{
			"r8152", "cdc_ether", "cdc_ncm", "rndis_host", "asix", "ax88179_178a", "smsc95xx", "lan78xx"}},
		// The kernel asks user space for these while a NIC is probed; nothing
		// answers here, so the agent loads them with the NIC's own alias.
		{Name: "net: PHYs", Modules: []string{
			"realtek", "broadcom", "bcm_phy_lib", "marvell", "marvell10g", "aquantia", "micrel", "at803x"}},
		{Name: "net: VLAN and bonds", Modules: []string{"8021q", "bonding", "af_packet"}},
	}
}

// disks are the storage drivers and what stands on them.
func disks() []group {
	return []group{
		// vmd hides NVMe disks behind Intel's volume management.
		{Name: "disk: NVMe", Modules: []string{"nvme"}},
		{Name: "disk: NVMe behind Intel VMD", Arch: "amd64", Modules: []string{"vmd"}},
		{Name: "disk: SATA", Modules: []string{"ahci"}},
		{Name: "disk: SATA and PATA, x86", Arch: "amd64", Modules: []string{
			"ata_piix", "ata_generic", "sata_nv", "sata_sil", "sata_sil24", "sata_via", "sata_mv", "pata_amd"}},
		{Name: "disk: SAS and RAID", Modules: []string{
			"megaraid_sas", "mpt3sas", "mpi3mr", "hpsa", "smartpqi", "aacraid", "pm80xx", "mvsas"}},
		{Name: "disk: SAS and RAID, older", Arch: "amd64", Modules: []string{
			"arcmsr", "mptsas", "mptspi", "isci", "ipr", "3w_9xxx", "3w_sas", "hptiop", "megaraid_mbox"}},
		{Name: "disk: virtual machines and clouds", Modules: []string{
			"virtio_blk", "virtio_scsi", "hv_storvsc", "xen_blkfront"}},
		{Name: "disk: VMware and emulated", Arch: "amd64", Modules: []string{"vmw_pvscsi", "sym53c8xx", "BusLogic"}},
		{Name: "disk: Arm servers", Arch: "arm64", Modules: []string{
			"hisi_sas_v3_hw", "hisi_sas_v2_hw", "ahci_platform", "ahci_xgene"}},
		{Name: "disk: SCSI disks, optical drives", Modules: []string{
			"sd_mod", "sr_mod", "sg"}},
		// loop, device mapper and md: to look into what is on a disk already,
		// and for images that bring such a layout.
		{Name: "disk: md, device mapper, loop", Modules: []string{
			"md_mod", "raid0", "raid1", "raid10", "dm_mod", "loop"}},
		{Name: "file systems", Modules: []string{
			"ext4", "xfs", "btrfs", "vfat", "isofs",
			"nls_cp437", "nls_iso8859_1", "nls_utf8", "nls_ascii"}},
		// The file systems ask the kernel's crypto interface for their checksums
		// by name, and again nothing answers.
		{Name: "checksums", Modules: []string{"crc32c_generic"}},
		{Name: "checksums, x86", Arch: "amd64", Modules: []string{"crc32c_intel", "crct10dif_pclmul"}},
	}
}

// platform is what else the agent talks to: buses, the BMC, the firmware.
func platform() []group {
	return []group{
		{Name: "usb", Modules: []string{
			"xhci_pci", "xhci_hcd", "ehci_pci", "ohci_pci", "usb_storage", "uas", "usbhid", "hid_generic"}},
		{Name: "usb 1 of Intel", Arch: "amd64", Modules: []string{"uhci_hcd"}},
		// pci_hyperv puts passed-through devices on Hyper-V's bus, virtio_rng
		// feeds a kernel whose CPU has no RDRAND.
		{Name: "buses and entropy", Modules: []string{"hv_vmbus", "pci_hyperv", "virtio_mmio", "virtio_rng"}},
		{Name: "management: IPMI", Modules: []string{"ipmi_si", "ipmi_ssif", "ipmi_devintf", "ipmi_msghandler"}},
		{Name: "firmware: EFI variables, TPM", Modules: []string{"efivarfs", "tpm_crb"}},
		{Name: "firmware: TPM 1.2", Arch: "amd64", Modules: []string{"tpm_tis"}},
	}
}

// virtual are the drivers of the small image for tests.
func virtual() []group {
	return []group{
		{Name: "net: virtual machines", Modules: []string{"virtio_net", "vmxnet3", "af_packet"}},
		{Name: "disk: virtual machines", Modules: []string{"virtio_blk", "virtio_scsi", "nvme", "ahci", "sd_mod", "sr_mod"}},
		{Name: "file systems", Modules: []string{"ext4", "vfat", "nls_cp437", "nls_iso8859_1", "nls_utf8", "nls_ascii"}},
		{Name: "entropy, EFI variables", Modules: []string{"virtio_rng", "efivarfs"}},
	}
}

// virtualMachines are the modules that lie in the initramfs as they are: those
// that an emulated machine with ordinary hardware asks for. They are to be few: the
// kernel unpacks them before anything runs. The others wait in an archive, see
// package packed.
func virtualMachines(arch string) (names []string) {
	for _, g := range wanted(Cloud, arch) {
		names = append(names, g.Modules...)
	}
	names = append(names, "e1000", "e1000e", "crc32c_generic")
	if arch == "amd64" { // asked for by the processor itself
		names = append(names, "crc32c_intel", "crct10dif_pclmul")
	}
	return names
}
