package partition

// Names of types that code asks for.
const (
	typeESP  = "EFI System"
	typeBIOS = "BIOS boot"
	typeSwap = "Linux swap"
)

// The types of partitions that Dragonfly makes.
const (
	LinuxGUID = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	ESPGUID   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	BIOSGUID  = "21686148-6449-6e6f-744e-656564454649"
	SwapGUID  = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
	LVMGUID   = "e6d6d379-f507-44c2-a23c-238f2a3df928"
	// BasicDataGUID is what every system looks into: FAT, NTFS.
	BasicDataGUID = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
	RAIDGUID      = "a19d880f-05fc-4d3b-a006-743f0f84911e"

	// StorageSpacesGUID and LDMGUID are volumes of Windows that reach over disks.
	StorageSpacesGUID = "e75caf8f-f680-4cee-afa3-b001e56efc2d"
	LDMGUID           = "af9b60a0-1431-4f62-bc68-3311714a69ad"
)

// typeNames are the types that are met on servers (UEFI table 5.7, the UAPI group's
// discoverable partitions, fdisk's list).
var typeNames = map[string]string{
	ESPGUID:                                typeESP,
	BIOSGUID:                               typeBIOS,
	SwapGUID:                               typeSwap,
	LVMGUID:                                "Linux LVM",
	RAIDGUID:                               "Linux RAID",
	LinuxGUID:                              "Linux filesystem",
	StorageSpacesGUID:                      "Windows Storage Spaces",
	LDMGUID:                                "Windows dynamic disk",
	"024dee41-33e7-11d3-9d69-0008c781f39f": "MBR partition scheme",
	"bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux boot",
	"4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root, x86-64",
	"b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root, arm64",
	"8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr, x86-64",
	"b0e01050-ee5f-4390-949a-9101b17104e9": "Linux /usr, arm64",
	"933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
	"3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux server data",
	"4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux /var",
	"ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
	"8da63339-0007-60c0-c436-083ac8230908": "Linux reserved",
	"e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
	BasicDataGUID:                          "Microsoft basic data",
	"de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
	"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Windows dynamic disk metadata",
	"aa31e02a-400f-11db-9590-000c2911d1b8": "VMware VMFS",
	"9d275380-40ad-11db-bf97-000c2911d1b8": "VMware core dump",
	"9198effc-31c0-11db-8f78-000c2911d1b8": "VMware reserved",
	"381cfccc-7288-11e0-92ee-000c2911d0b2": "VMware vSAN",
	"6a898cc3-1dd2-11b2-99a6-080020736631": "Solaris /usr or ZFS",
	"6a945a3b-1dd2-11b2-99a6-080020736631": "Solaris reserved",
	"516e7cba-6ecf-11d6-8ff8-00022d09712b": "FreeBSD ZFS",
	"516e7cb6-6ecf-11d6-8ff8-00022d09712b": "FreeBSD UFS",
	"516e7cb5-6ecf-11d6-8ff8-00022d09712b": "FreeBSD swap",
	"83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
	"7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
	"48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
	"3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
	"5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6": "CoreOS /usr",
	"3884dd41-8582-4404-b9a8-e9b84f2df50e": "CoreOS root",
	"c95dc21a-df0e-4340-8d7b-26cbfa9a03e0": "CoreOS reserved",
	"9e1a2d38-c612-4316-aa26-8b49521e5a8b": "PowerPC PReP boot",
	"4fbd7e29-9d25-41b8-afd0-062c0ceff05d": "Ceph OSD",

	"05": "Extended", "0f": "Extended", "85": "Linux extended",
	"01": "FAT12", "04": "FAT16", "06": "FAT16", "0e": "FAT16", "0b": "FAT32", "0c": "FAT32",
	"07": "NTFS or exFAT", "27": "Windows recovery", "42": "Windows dynamic disk",
	"82": typeSwap, "83": "Linux", "8e": "Linux LVM", "fd": "Linux RAID", "a5": "FreeBSD", "a6": "OpenBSD", "a9": "NetBSD",
	"bf": "Solaris", "da": "data without a file system", "de": "Dell utility", "ef": typeESP, "fb": "VMware VMFS", "fc": "VMware swap",
}
