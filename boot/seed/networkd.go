package seed

import (
	"fmt"
	"strings"

	"dragonfly/registry"
)

// linkFiles are files of /etc/systemd/network by which udev gives ports their names
// (systemd.link(5)); whatever configures the network then finds them by name. A bond
// and a VLAN have the hardware address of what is below them, hence Type=ether, which
// neither is.
func linkFiles(n registry.Network) map[string]string {
	files := map[string]string{}
	for _, e := range n.Ethernets {
		if e.Name != "" {
			files["10-"+e.Name+".link"] = matchMAC(e) + "\n[Link]\nName=" + e.Name + "\n"
		}
	}
	return files
}

func matchMAC(e registry.Ethernet) string {
	return fmt.Sprintf("[Match]\nMACAddress=%s\nType=ether\n", e.MAC)
}

// networkd are files of /etc/systemd/network, by name, beside [linkFiles]
// (systemd.network(5), systemd.netdev(5)). A port with a name is found by that: the
// members of a bond take its hardware address.
func networkd(n registry.Network) map[string]string {
	files := map[string]string{}
	for _, e := range n.Ethernets {
		match := matchMAC(e)
		if e.Name != "" {
			match = "[Match]\nName=" + e.Name + "\n"
		}
		files["10-"+portID(e)+".network"] = networkFile(match, portNetwork(n, e), e.Link)
	}
	for _, b := range n.Bonds {
		files["20-"+b.Name+".netdev"] = bondDevice(b)
		files["20-"+b.Name+".network"] = networkFile("[Match]\nName="+b.Name+"\n", vlansOn(n, b.Name), b.Link)
	}
	for _, v := range n.VLANs {
		files["30-"+v.Name+".netdev"] = fmt.Sprintf("[NetDev]\nName=%s\nKind=vlan\n\n[VLAN]\nId=%d\n", v.Name, v.ID)
		files["30-"+v.Name+".network"] = networkFile("[Match]\nName="+v.Name+"\n", nil, v.Link)
	}
	return files
}

// setting is a key of a section, where a key can be there several times.
type setting struct{ key, value string }

// portNetwork is what a port says of the bond and the VLANs above it.
func portNetwork(n registry.Network, e registry.Ethernet) []setting {
	master := masterOf(n, e.Name)
	if master == "" {
		return vlansOn(n, e.Name)
	}
	settings := []setting{{"Bond", master}}
	for _, b := range n.Bonds {
		if b.Name == master && b.Primary == e.Name {
			settings = append(settings, setting{"PrimarySlave", "true"})
		}
	}
	return settings
}

func vlansOn(n registry.Network, link string) (settings []setting) {
	for _, v := range n.VLANs {
		if v.On == link && link != "" {
			settings = append(settings, setting{"VLAN", v.Name})
		}
	}
	return settings
}

func bondDevice(b registry.Bond) string {
	f := &ini{}
	f.section("NetDev")
	f.set("Name", b.Name)
	f.set("Kind", "bond")
	f.section("Bond")
	f.set("Mode", b.Mode)
	f.set("MIIMonitorSec", fmt.Sprintf("%dms", bondMonitor))
	f.set("LACPTransmitRate", b.LACPRate)
	f.set("TransmitHashPolicy", b.HashPolicy)
	return f.String()
}

func networkFile(match string, network []setting, l registry.Link) string {
	f := &ini{}
	f.WriteString(match)
	if l.MTU > 0 {
		f.section("Link")
		f.set("MTUBytes", l.MTU)
	}
	f.section("Network")
	for _, s := range network {
		f.set(s.key, s.value)
	}
	f.set("DHCP", dhcpOf(l))
	for _, a := range l.Addresses {
		f.set("Address", a)
	}
	for _, a := range l.DNS {
		f.set("DNS", a)
	}
	f.set("Domains", strings.Join(l.Search, " "))
	for _, r := range routesOf(l) {
		f.section("Route")
		f.set("Destination", r.To)
		f.set("Gateway", r.Via)
		f.set("Metric", r.Metric)
		if onLink(l, r.Via) {
			f.set("GatewayOnLink", "yes")
		}
	}
	return f.String()
}

func dhcpOf(l registry.Link) string {
	switch {
	case l.DHCP4 && l.DHCP6:
		return "yes"
	case l.DHCP4:
		return "ipv4"
	case l.DHCP6:
		return "ipv6"
	}
	return ""
}
