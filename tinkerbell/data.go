package tinkerbell

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"dragonfly/registry"
)

// Data is what a template is rendered with: at the top level the parameters (in
// Tinkerbell the hardwareMap of a Workflow, texts all of them), and .hardware,
// .Hardware and .references.
type Data map[string]any

// The names that are not for parameters.
var reserved = []string{"hardware", "Hardware", "references"}

// NewData is the data of a machine. What params name is added to [Parameters] or
// replaces it; a reserved name, or one that no template could ask for, is an error.
func NewData(m registry.Machine, params map[string]string) (Data, error) {
	hardware := HardwareOf(m)
	hardware.diskFirst(params["disk"])
	data := Data{"hardware": toMap(hardware), "Hardware": hardware.legacy(), "references": map[string]any{}}
	for name, value := range Parameters(m) {
		data[name] = value
	}
	for name, value := range params {
		if slices.Contains(reserved, name) {
			return nil, fmt.Errorf("parameter %s: the name is that of what is known of the machine; choose another", name)
		}
		if !isName(name) {
			return nil, fmt.Errorf("parameter %s: want letters, digits and _, as in image_url", short(name))
		}
		data[name] = value
	}
	return data, nil
}

// isName reports whether a template can read .name: it is an identifier.
func isName(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// Parameters are what every template may ask for of a machine: texts, as the
// hardwareMap of a Workflow holds nothing else. What is not known is not there, so
// that a template that needs it does not render.
func Parameters(m registry.Machine) map[string]string {
	all := map[string]string{
		"machine_id": m.ID, "machine_name": m.Name, "hostname": hostname(m),
		"arch": m.Hardware.CPU.Arch, "firmware": m.Hardware.Firmware.Mode,
		"vendor": m.Hardware.System.Vendor, "product": m.Hardware.System.Product, "serial": m.Hardware.System.Serial,
	}
	if mac := m.BootMAC(); mac != (registry.MAC{}) {
		all["device_1"], all["mac"] = mac.String(), mac.String()
	}
	if disks := diskPaths(m); len(disks) > 0 {
		all["disk"] = disks[0]
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// hostname is what the machine's operating system is to be called.
func hostname(m registry.Machine) string {
	if m.Name != "" {
		return m.Name
	}
	return m.Hostname
}

// diskPaths are the disks in the agent's order, each by a path that stays: by-id
// where there is one. What can be pulled out is no target and left out.
func diskPaths(m registry.Machine) (paths []string) {
	for _, d := range m.Hardware.Disks {
		switch {
		case d.Removable:
		case d.ByID != "":
			paths = append(paths, d.ByID)
		default:
			paths = append(paths, "/dev/"+d.Name)
		}
	}
	return paths
}

// diskFirst makes the disk at a path the first, where it is one of the machine's:
// templates that were written for Tinkerbell install to {{ index .Hardware.Disks 0 }},
// and that has to be the one that was chosen.
func (h *Hardware) diskFirst(path string) {
	if i := slices.Index(h.Spec.Disks, Disk{path}); i > 0 {
		h.Spec.Disks = slices.Insert(slices.Delete(h.Spec.Disks, i, i+1), 0, Disk{path})
	}
}

// HardwareOf is a machine as Tinkerbell's Hardware. The port it boots from is the
// first. allowPXE is left out: it is the controller's, which changes it.
func HardwareOf(m registry.Machine) Hardware {
	h := Hardware{APIVersion: "tinkerbell.org/v1alpha1", Kind: "Hardware", Metadata: ObjectMetadata{Name: m.ID}}
	if mac := m.BootMAC(); mac != (registry.MAC{}) {
		h.Spec.AgentID = mac.String()
	}
	for _, path := range diskPaths(m) {
		h.Spec.Disks = append(h.Spec.Disks, Disk{path})
	}
	instance := &Instance{ID: m.ID, Hostname: hostname(m), Tags: m.Tags}
	if m.OS != "" {
		instance.OperatingSystem = &OperatingSystem{Slug: m.OS}
	}
	for _, port := range ports(m) {
		dhcp := dhcpOf(m, port)
		h.Spec.Interfaces = append(h.Spec.Interfaces, Interface{DHCP: dhcp})
		if dhcp.IP != nil {
			instance.Ips = append(instance.Ips, &InstanceIP{Address: dhcp.IP.Address, Family: dhcp.IP.Family})
		}
	}
	h.Spec.Metadata = &Metadata{Instance: instance}
	if vendor := m.Hardware.System.Vendor; vendor != "" {
		h.Spec.Metadata.Manufacturer = &Manufacturer{Slug: vendor}
	}
	return h
}

// ports are the network ports that have an address, the one the machine boots
// from first, even where the agent did not list it.
func ports(m registry.Machine) (all []registry.NIC) {
	boot := registry.NIC{MAC: m.BootMAC()}
	for _, port := range m.Hardware.NICs {
		switch {
		case port.MAC == boot.MAC:
			boot = port
		case port.MAC != registry.MAC{}:
			all = append(all, port)
		}
	}
	if boot.MAC != (registry.MAC{}) {
		all = slices.Insert(all, 0, boot)
	}
	return all
}

// Arches are the architectures by Tinkerbell's names.
var Arches = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

func dhcpOf(m registry.Machine, port registry.NIC) *DHCP {
	d := &DHCP{MAC: port.MAC.String(), Hostname: hostname(m), IfaceName: port.Name,
		Arch: Arches[m.Hardware.CPU.Arch], UEFI: m.Hardware.Firmware.Mode == "uefi"}
	address := port.Address
	if !address.IsValid() && port.MAC == m.BootMAC() {
		address = m.Address
	}
	if address.IsValid() {
		d.IP = &IP{Address: address.Unmap().String(), Family: family(address)}
	}
	return d
}

func family(address netip.Addr) int64 {
	if address.Unmap().Is4() {
		return 4
	}
	return 6
}

func (h Hardware) legacy() LegacyHardware {
	legacy := LegacyHardware{Interfaces: h.Spec.Interfaces, Metadata: *h.Spec.Metadata}
	for _, d := range h.Spec.Disks {
		legacy.Disks = append(legacy.Disks, d.Device)
	}
	return legacy
}

// toMap is a value by its JSON names.
func toMap(value any) (object map[string]any) {
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &object)
	}
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	return object
}
