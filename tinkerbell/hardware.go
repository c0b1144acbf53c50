package tinkerbell

// Hardware is what a template sees as .hardware, by the JSON names: the object
// tinkerbell.org/v1alpha1 Hardware. Its parts have the fields of Tinkerbell's
// (api/v1alpha1/tinkerbell/hardware.go), as .Hardware shows them by their Go
// names; a template that reads one that is not set sees the same in both.
type Hardware struct {
	APIVersion string         `json:"apiVersion,omitempty"`
	Kind       string         `json:"kind,omitempty"`
	Metadata   ObjectMetadata `json:"metadata"`
	Spec       HardwareSpec   `json:"spec"`
	Status     struct{}       `json:"status"`
}

// ObjectMetadata are those of a Kubernetes object.
type ObjectMetadata struct {
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// HardwareSpec is the machine.
type HardwareSpec struct {
	AgentID    string      `json:"agentID,omitempty"`
	Auto       struct{}    `json:"auto"`
	Interfaces []Interface `json:"interfaces,omitempty"`
	Metadata   *Metadata   `json:"metadata,omitempty"`
	Disks      []Disk      `json:"disks,omitempty"`
	UserData   *string     `json:"userData,omitempty"`
	VendorData *string     `json:"vendorData,omitempty"`
}

// Disk is a path of a disk.
type Disk struct {
	Device string `json:"device,omitempty"`
}

// Interface is a network port.
type Interface struct {
	Netboot     *Netboot `json:"netboot,omitempty"`
	Isoboot     *Isoboot `json:"isoboot,omitempty"`
	DHCP        *DHCP    `json:"dhcp,omitempty"`
	DisableDHCP bool     `json:"disableDhcp,omitempty"`
}

// Netboot is how a port boots.
type Netboot struct {
	AllowPXE      *bool     `json:"allowPXE,omitempty"`
	AllowWorkflow *bool     `json:"allowWorkflow,omitempty"`
	IPXE          *IPXE     `json:"ipxe,omitempty"`
	OSIE          *OSIE     `json:"osie,omitempty"`
	PXELINUX      *PXELINUX `json:"pxelinux,omitempty"`
	RPI           *RPI      `json:"rpi,omitempty"`
}

// IPXE is a script, or a program, of the machine's own.
type IPXE struct {
	URL      string `json:"url,omitempty"`
	Contents string `json:"contents,omitempty"`
	Binary   string `json:"binary,omitempty"`
}

// OSIE is an installation environment of the machine's own.
type OSIE struct {
	BaseURL      string   `json:"baseURL,omitempty"`
	Kernel       string   `json:"kernel,omitempty"`
	Initrd       string   `json:"initrd,omitempty"`
	KernelParams []string `json:"kernelParams,omitempty"`
}

// PXELINUX is a configuration for U-Boot.
type PXELINUX struct {
	Config string `json:"config,omitempty"`
}

// RPI is how a Raspberry Pi boots.
type RPI struct {
	ConfigTxt    string `json:"configTxt,omitempty"`
	FirmwarePath string `json:"firmwarePath,omitempty"`
	SerialNum    string `json:"serialNum"`
}

// Isoboot is the ISO image a port boots.
type Isoboot struct {
	SourceISO string `json:"sourceISO,omitempty"`
}

// DHCP is what a port is given.
type DHCP struct {
	MAC                   string   `json:"mac,omitempty"` // lower case
	Hostname              string   `json:"hostname,omitempty"`
	DomainName            string   `json:"domain_name,omitempty"`
	LeaseTime             int64    `json:"lease_time,omitempty"` // seconds
	NameServers           []string `json:"name_servers,omitempty"`
	TimeServers           []string `json:"time_servers,omitempty"`
	Arch                  string   `json:"arch,omitempty"` // x86_64 or aarch64
	UEFI                  bool     `json:"uefi,omitempty"`
	IfaceName             string   `json:"iface_name,omitempty"`
	IP                    *IP      `json:"ip,omitempty"`
	VLANID                string   `json:"vlan_id,omitempty"`
	ClasslessStaticRoutes []Route  `json:"classless_static_routes,omitempty"`
	TFTPServerName        string   `json:"tftp_server_name,omitempty"`
	BootFileName          string   `json:"boot_file_name,omitempty"`
}

// Route is a static route (RFC 3442).
type Route struct {
	DestinationDescriptor string `json:"destination_descriptor"`
	Router                string `json:"router"`
}

// IP is an address.
type IP struct {
	Address string `json:"address,omitempty"`
	Netmask string `json:"netmask,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	Family  int64  `json:"family,omitempty"` // 4 or 6
}

// Metadata are what the machine's operating system may ask for.
type Metadata struct {
	State        string        `json:"state,omitempty"`
	BondingMode  int64         `json:"bonding_mode,omitempty"`
	Manufacturer *Manufacturer `json:"manufacturer,omitempty"`
	Instance     *Instance     `json:"instance,omitempty"`
	Custom       *Custom       `json:"custom,omitempty"`
	Facility     *Facility     `json:"facility,omitempty"`
}

// Manufacturer is who made the machine.
type Manufacturer struct {
	ID   string `json:"id,omitempty"`
	Slug string `json:"slug,omitempty"`
}

// Instance is what the machine is to be.
type Instance struct {
	ID                  string           `json:"id,omitempty"`
	State               string           `json:"state,omitempty"`
	Hostname            string           `json:"hostname,omitempty"`
	AllowPxe            bool             `json:"allow_pxe,omitempty"`
	Rescue              bool             `json:"rescue,omitempty"`
	OperatingSystem     *OperatingSystem `json:"operating_system,omitempty"`
	AlwaysPxe           bool             `json:"always_pxe,omitempty"`
	IpxeScriptURL       string           `json:"ipxe_script_url,omitempty"`
	Ips                 []*InstanceIP    `json:"ips,omitempty"`
	Userdata            string           `json:"userdata,omitempty"`
	CryptedRootPassword string           `json:"crypted_root_password,omitempty"`
	Tags                []string         `json:"tags,omitempty"`
	Storage             *Storage         `json:"storage,omitempty"`
	SSHKeys             []string         `json:"ssh_keys,omitempty"`
	NetworkReady        bool             `json:"network_ready,omitempty"`
}

// OperatingSystem is the one that is assigned.
type OperatingSystem struct {
	Slug     string `json:"slug,omitempty"`
	Distro   string `json:"distro,omitempty"`
	Version  string `json:"version,omitempty"`
	ImageTag string `json:"image_tag,omitempty"`
	OsSlug   string `json:"os_slug,omitempty"`
}

// InstanceIP is an address of the installed machine.
type InstanceIP struct {
	Address    string `json:"address,omitempty"`
	Netmask    string `json:"netmask,omitempty"`
	Gateway    string `json:"gateway,omitempty"`
	Family     int64  `json:"family,omitempty"` // 4 or 6
	Public     bool   `json:"public,omitempty"`
	Management bool   `json:"management,omitempty"`
}

// Custom is what was there before.
type Custom struct {
	PreinstalledOperatingSystemVersion *OperatingSystem `json:"preinstalled_operating_system_version,omitempty"`
	PrivateSubnets                     []string         `json:"private_subnets,omitempty"`
}

// Facility is where the machine stands.
type Facility struct {
	PlanSlug        string `json:"plan_slug,omitempty"`
	PlanVersionSlug string `json:"plan_version_slug,omitempty"`
	FacilityCode    string `json:"facility_code,omitempty"`
}

// LegacyHardware is what a template sees as .Hardware.
type LegacyHardware struct {
	Disks      []string
	Interfaces []Interface
	UserData   string
	Metadata   Metadata
	VendorData string
}
