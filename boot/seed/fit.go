package seed

import (
	"slices"
	"strings"

	"dragonfly/registry"
)

// unread are the members that a way of first boot never reads, as pointers of a
// [registry.Seed], and why.
func unread(boot registry.FirstBoot) (why string, pointers []string) {
	switch boot {
	case registry.FirstBootCloudInit:
		return "", nil
	case registry.FirstBootIgnition:
		return "Ignition installs no packages; use a system extension or a container", []string{"/packages"}
	case registry.FirstBootTalos:
		return "Talos takes it from its machine config, which is the user data", []string{"/ssh_keys", "/users", "/packages", "/commands", "/ca_certificates", "/timezone"}
	}
	return "nothing configures this operating system at its first boot", []string{"/users", "/packages", "/commands", "/ca_certificates", "/timezone", "/user_data"}
}

// Fit is what a way of first boot takes of a seed that is meant for every operating
// system, whose user data is cloud-init's, and the names of the members that it does not.
func Fit(s registry.Seed, boot registry.FirstBoot) (fit registry.Seed, left []string) {
	_, pointers := unread(boot)
	if boot != registry.FirstBootCloudInit && !slices.Contains(pointers, "/user_data") {
		pointers = append(slices.Clone(pointers), "/user_data")
	}
	for _, pointer := range pointers {
		if says(s, pointer) {
			left = append(left, strings.TrimPrefix(pointer, "/"))
			member(&s, pointer).SetZero()
		}
	}
	return s, left
}

// OnPort is a network in which the port that has no hardware address has this one.
func OnPort(n registry.Network, mac registry.MAC) registry.Network {
	n.Ethernets = slices.Clone(n.Ethernets)
	for i, e := range n.Ethernets {
		if e.MAC == (registry.MAC{}) {
			n.Ethernets[i].MAC = mac
		}
	}
	return n
}
