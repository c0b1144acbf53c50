package seed

import (
	"fmt"
	"strings"

	"dragonfly/registry"
)

// interfaces is /etc/network/interfaces of ifupdown 0.8.20 and later (interfaces(5)).
// It needs iproute2 and no more: bonds and VLANs are made by commands, since the
// options for them (bond-slaves, vlan-raw-device) do nothing without the packages
// ifenslave and vlan. Ports are given their names by [linkFiles]; ifupdown's own
// rename breaks as soon as the members of a bond have its hardware address.
func interfaces(n registry.Network) string {
	var out strings.Builder
	out.WriteString("auto lo\niface lo inet loopback\n")
	for _, e := range n.Ethernets {
		if masterOf(n, e.Name) == "" { // the bond brings up its own
			writePort(&out, e)
		}
	}
	for _, b := range n.Bonds {
		fmt.Fprintf(&out, "\nauto %s\n", b.Name)
		writeIfaces(&out, b.Name, bondDeviceOf(b), b.Link)
	}
	for _, v := range n.VLANs {
		fmt.Fprintf(&out, "\nauto %s\n", v.Name)
		writeIfaces(&out, v.Name, vlanDeviceOf(v), v.Link)
	}
	return out.String()
}

// masterOf is the bond that has a port, by name; empty where none has.
func masterOf(n registry.Network, port string) string {
	for _, b := range n.Bonds {
		for _, member := range b.Members {
			if member == port && port != "" {
				return b.Name
			}
		}
	}
	return ""
}

// writePort writes a port by its name, or else by its hardware address.
func writePort(out *strings.Builder, e registry.Ethernet) {
	if e.Name != "" {
		fmt.Fprintf(out, "\nauto %s\n", e.Name)
	} else {
		fmt.Fprintf(out, "\nauto mac/%s=%s\n", e.MAC, portID(e))
	}
	writeIfaces(out, portID(e), device{}, e.Link)
}

// device is how a link is made, and how it is taken away again.
type device struct{ make, remove []string }

// bondDeviceOf makes a bond. A port has to be down to join.
func bondDeviceOf(b registry.Bond) device {
	options := fmt.Sprintf("mode %s miimon %d", b.Mode, bondMonitor)
	if b.LACPRate != "" {
		options += " lacp_rate " + b.LACPRate
	}
	if b.HashPolicy != "" {
		options += " xmit_hash_policy " + b.HashPolicy
	}
	d := device{remove: []string{"post-down ip link del " + b.Name}}
	d.make = append(d.make, fmt.Sprintf("pre-up ip link show %s >/dev/null 2>&1 || ip link add %s type bond %s", b.Name, b.Name, options))
	for _, member := range b.Members {
		d.make = append(d.make, fmt.Sprintf("pre-up ip link set %s down && ip link set %s master %s", member, member, b.Name))
	}
	if b.Primary != "" {
		d.make = append(d.make, fmt.Sprintf("pre-up ip link set %s type bond primary %s", b.Name, b.Primary))
	}
	return d
}

// vlanDeviceOf makes a VLAN, unless ifupdown has: by itself it makes, and removes, one
// whose name has a full stop.
func vlanDeviceOf(v registry.VLAN) device {
	return device{
		make: []string{
			fmt.Sprintf("pre-up ip link set %s up", v.On),
			fmt.Sprintf("pre-up ip link show %s >/dev/null 2>&1 || ip link add link %s name %s type vlan id %d", v.Name, v.On, v.Name, v.ID),
		},
		remove: []string{fmt.Sprintf("post-down ip link del %s 2>/dev/null || true", v.Name)},
	}
}

// stanza is one "iface" and its options.
type stanza struct {
	head    string
	options []string
}

// writeIfaces writes one stanza for each address. ifup and ifdown both go through
// them in this order: the first one has what makes the link, the last one the routes,
// which need the addresses, and what takes the link away.
func writeIfaces(out *strings.Builder, name string, d device, l registry.Link) {
	all := stanzasOf(l)
	first, last := &all[0], &all[len(all)-1]
	first.options = append(append(first.options, resolver(l)...), d.make...)
	if l.MTU > 0 {
		first.options = append(first.options, fmt.Sprintf("pre-up ip link set $IFACE mtu %d", l.MTU))
	}
	for _, r := range routesOf(l) {
		last.options = append(last.options, routeCommand(l, r))
	}
	last.options = append(last.options, d.remove...)
	for _, s := range all {
		fmt.Fprintf(out, "iface %s %s\n", name, s.head)
		for _, option := range s.options {
			out.WriteString("    " + option + "\n")
		}
	}
}

func stanzasOf(l registry.Link) (all []stanza) {
	if l.DHCP4 {
		all = append(all, stanza{head: "inet dhcp"})
	}
	for _, a := range l.Addresses {
		if a.Addr().Is4() {
			all = append(all, stanza{"inet static", []string{"address " + a.String()}})
		}
	}
	if l.DHCP6 {
		all = append(all, stanza{head: "inet6 dhcp"})
	}
	for _, a := range l.Addresses {
		if !a.Addr().Is4() {
			all = append(all, stanza{"inet6 static", []string{"address " + a.String()}})
		}
	}
	if len(all) == 0 {
		all = append(all, stanza{head: "inet manual", options: []string{"up ip link set $IFACE up"}})
	}
	return all
}

// resolver is read by resolvconf and by systemd-resolved's hook.
func resolver(l registry.Link) (options []string) {
	if len(l.DNS) > 0 {
		options = append(options, "dns-nameservers "+strings.Join(texts(l.DNS), " "))
	}
	if len(l.Search) > 0 {
		options = append(options, "dns-search "+strings.Join(l.Search, " "))
	}
	return options
}

func routeCommand(l registry.Link, r registry.Route) string {
	version := "-4"
	if !r.To.Addr().Is4() {
		version = "-6"
	}
	command := fmt.Sprintf("up ip %s route replace %s via %s dev $IFACE", version, r.To, r.Via)
	if r.Metric > 0 {
		command += fmt.Sprintf(" metric %d", r.Metric)
	}
	if onLink(l, r.Via) {
		command += " onlink"
	}
	return command
}
