package objects

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// hardware is the spec of the machine's Hardware.
func (o Order) hardware() map[string]any {
	h := tinkerbell.HardwareOf(o.Machine)
	spec := h.Spec
	spec.Disks = o.disks(spec.Disks)
	instance := spec.Metadata.Instance
	if name := o.Deployment.Hostname; name != "" {
		instance.Hostname = name
	}
	instance.OperatingSystem = o.system()
	if keys := o.Recipe.Parameters["ssh_keys"]; keys != "" {
		instance.SSHKeys = strings.Split(keys, "\n")
	}
	for _, ip := range instance.Ips {
		ip.Netmask, _ = o.netmask(ip.Address)
	}
	for _, port := range spec.Interfaces {
		port.DHCP.Hostname = instance.Hostname
		o.completeIP(port.DHCP)
	}
	if data := o.Recipe.Parameters["user_data"]; data != "" {
		spec.UserData = &data
	}
	out := plain(spec)
	if o.BMC != "" {
		out["bmcRef"] = map[string]any{"apiGroup": "bmc.tinkerbell.org", "kind": "Machine", "name": o.BMC}
	}
	return out
}

// disks are those of the machine, the one that is written first.
func (o Order) disks(all []tinkerbell.Disk) []tinkerbell.Disk {
	chosen := tinkerbell.Disk{Device: o.Recipe.Parameters["disk"]}
	at := slices.Index(all, chosen)
	if at < 1 {
		return all
	}
	return slices.Insert(slices.Delete(slices.Clone(all), at, at+1), 0, chosen)
}

// system is the operating system as metadata; nil for a wipe.
func (o Order) system() *tinkerbell.OperatingSystem {
	if o.Deployment.Kind == registry.KindWipe || o.OS.ID == "" {
		return nil
	}
	distro, _, _ := strings.Cut(o.OS.ID, "-")
	return &tinkerbell.OperatingSystem{Slug: o.OS.ID, OsSlug: o.OS.ID, Distro: distro, Version: o.OS.Version}
}

// completeIP gives a port's address its netmask, or leaves the address out: Smee takes
// no Hardware with an IPv4 address that has none (v0.25.0, smee/internal/dhcp/conv.go:
// toDHCPData).
func (o Order) completeIP(port *tinkerbell.DHCP) {
	if port.IP == nil {
		return
	}
	mask, known := o.netmask(port.IP.Address)
	if port.IP.Netmask = mask; !known {
		port.IP = nil
	}
}

// netmask is that of an address, and whether it is known: an IPv6 address has none.
func (o Order) netmask(text string) (mask string, known bool) {
	address, err := netip.ParseAddr(text)
	if err != nil || !address.Is4() {
		return "", err == nil
	}
	for _, network := range o.networks() {
		if network.Contains(address) {
			return net.IP(net.CIDRMask(network.Bits(), 32)).String(), true
		}
	}
	return "", false
}

// networks are those that an address of the machine may be in, what was said of the
// installed system first.
func (o Order) networks() (all []netip.Prefix) {
	asked := o.Recipe.Request.Seed.Network
	for _, port := range asked.Ethernets {
		all = append(all, port.Addresses...)
	}
	for _, bond := range asked.Bonds {
		all = append(all, bond.Addresses...)
	}
	for _, vlan := range asked.VLANs {
		all = append(all, vlan.Addresses...)
	}
	return append(all, o.Networks...)
}
