package ui

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// netForm is the network of an installed system as the form has it: one link, over a
// port, a bond of ports, or a VLAN on either. What is more than that is for the API.
type netForm struct {
	Mode      string   // empty: as the image has it; dhcp or static
	Ports     []string // hardware addresses of those that are used
	Bond      string   // mode of the bond of several
	VLAN      string
	Addresses string
	Gateway   string
	DNS       string
	MTU       string
	Offered   []choice // ports of the machine
}

// bondModes are those that are offered, the usual one first.
func bondModes() []choice {
	return []choice{{Value: "802.3ad", Text: "LACP (802.3ad)"}, {Value: "active-backup", Text: "one at a time (active-backup)"}, {Value: "balance-xor", Text: "shared by address (balance-xor)"}}
}

func netFormIn(r *http.Request) netForm {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return netForm{Mode: value("net"), Ports: r.PostForm["port"], Bond: value("bond"), VLAN: value("vlan"), Addresses: value("addresses"), Gateway: value("gateway"), DNS: value("dns"), MTU: value("mtu")}
}

// uses reports whether a port is ticked.
func (n netForm) uses(mac string) bool { return slices.Contains(n.Ports, mac) }

// offer lists the ports of a machine. The one it boots from is ticked where none was
// chosen yet.
func (n *netForm) offer(m registry.Machine) {
	for _, nic := range m.Hardware.NICs {
		n.Offered = append(n.Offered, choice{Value: nic.MAC.String(), Text: words(nic.Name, nic.MAC.String())})
	}
	if len(n.Offered) == 0 {
		for _, mac := range m.MACs {
			n.Offered = append(n.Offered, choice{Value: mac.String(), Text: mac.String()})
		}
	}
	if boot := m.BootMAC(); n.Mode == "" && len(n.Ports) == 0 && boot != (registry.MAC{}) {
		n.Ports = []string{boot.String()}
	}
}

// network is what the form asks for. What is wrong is an [*registry.InvalidError] at
// /seed/network.
func (n netForm) network() (net registry.Network, err error) {
	if n.Mode == "" {
		return net, nil
	}
	link, err := n.link()
	if err != nil {
		return net, err
	}
	if len(n.Ports) == 0 {
		return net, wrongNetwork("tick the port that is used")
	}
	named := len(n.Ports) > 1 || n.VLAN != ""
	var names []string
	for i, text := range n.Ports {
		mac, err := registry.ParseMAC(text)
		if err != nil {
			return net, wrongNetwork(err.Error())
		}
		e := registry.Ethernet{MAC: mac}
		if named {
			e.Name = "lan" + strconv.Itoa(i)
		}
		names, net.Ethernets = append(names, e.Name), append(net.Ethernets, e)
	}
	carrier, under := names[0], &net.Ethernets[0].Link
	if len(names) > 1 {
		net.Bonds = []registry.Bond{{Name: "bond0", Members: names, Mode: n.Bond}}
		carrier, under = "bond0", &net.Bonds[0].Link
	}
	if n.VLAN == "" {
		*under = link
		return net, nil
	}
	vlan, err := vlanOn(carrier, n.VLAN, link)
	net.VLANs = []registry.VLAN{vlan}
	return net, err
}

// vlanOn is the VLAN of a number on a port or a bond.
func vlanOn(carrier, number string, link registry.Link) (registry.VLAN, error) {
	id, err := strconv.Atoi(number)
	if err != nil || id < 1 || id > 4094 {
		return registry.VLAN{}, wrongNetwork("want a VLAN from 1 to 4094")
	}
	return registry.VLAN{Name: fmt.Sprintf("%s.%d", carrier, id), ID: id, On: carrier, Link: link}, nil
}

// link is the addresses of the form.
func (n netForm) link() (l registry.Link, err error) {
	l.DHCP4 = n.Mode == "dhcp"
	if n.MTU != "" {
		if l.MTU, err = strconv.Atoi(n.MTU); err != nil {
			return l, wrongNetwork("want an MTU in bytes, such as 9000")
		}
	}
	if n.Mode == "static" {
		for _, text := range listed(n.Addresses) {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return l, wrongNetwork(fmt.Sprintf("%q: want an address with the length of its prefix, such as 10.0.0.17/24", cut(text, 60)))
			}
			l.Addresses = append(l.Addresses, prefix)
		}
		if len(l.Addresses) == 0 {
			return l, wrongNetwork("a fixed address is missing, such as 10.0.0.17/24")
		}
		if l.Gateways, err = addressesIn(n.Gateway); err != nil {
			return l, err
		}
	}
	l.DNS, err = addressesIn(n.DNS)
	return l, err
}

// listed is a text's parts between commas and spaces.
func listed(text string) []string { return tagsIn(text) }

func addressesIn(text string) (all []netip.Addr, err error) {
	for _, part := range listed(text) {
		addr, err := netip.ParseAddr(part)
		if err != nil {
			return nil, wrongNetwork(fmt.Sprintf("%q: want an IP address", cut(part, 60)))
		}
		all = append(all, addr)
	}
	return all, nil
}

func wrongNetwork(message string) error {
	return &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/seed/network", Message: message}}}
}
