package seed

import (
	"net/netip"
	"strings"

	"dragonfly/registry"
)

// networkData is the network in netplan's version 2, which is cloud-init's too.
type networkData struct {
	Version   int                     `yaml:"version"`
	Ethernets map[string]ethernetData `yaml:"ethernets,omitempty"`
	Bonds     map[string]bondData     `yaml:"bonds,omitempty"`
	VLANs     map[string]vlanData     `yaml:"vlans,omitempty"`
}

type ethernetData struct {
	Match    matchData `yaml:"match"`
	SetName  string    `yaml:"set-name,omitempty"`
	linkData `yaml:",inline"`
}

type matchData struct {
	MAC string `yaml:"macaddress"`
}

type bondData struct {
	Interfaces []string           `yaml:"interfaces,flow"`
	Parameters bondParametersData `yaml:"parameters"`
	linkData   `yaml:",inline"`
}

type bondParametersData struct {
	Mode       string `yaml:"mode"`
	Monitor    int    `yaml:"mii-monitor-interval"`
	Primary    string `yaml:"primary,omitempty"`
	LACPRate   string `yaml:"lacp-rate,omitempty"`
	HashPolicy string `yaml:"transmit-hash-policy,omitempty"`
}

type vlanData struct {
	ID       int    `yaml:"id"`
	Link     string `yaml:"link"`
	linkData `yaml:",inline"`
}

type linkData struct {
	DHCP4       bool             `yaml:"dhcp4,omitempty"`
	DHCP6       bool             `yaml:"dhcp6,omitempty"`
	Addresses   []string         `yaml:"addresses,omitempty,flow"`
	Routes      []routeData      `yaml:"routes,omitempty"`
	Nameservers *nameserversData `yaml:"nameservers,omitempty"`
	MTU         int              `yaml:"mtu,omitempty"`
}

type routeData struct {
	To     string `yaml:"to"`
	Via    string `yaml:"via"`
	Metric int    `yaml:"metric,omitempty"`
	OnLink bool   `yaml:"on-link,omitempty"`
}

type nameserversData struct {
	Addresses []string `yaml:"addresses,omitempty,flow"`
	Search    []string `yaml:"search,omitempty,flow"`
}

// bondMonitor is how often a bond looks for links, in milliseconds. The kernel's own
// 0 is never, and a bond that never looks goes on to send into a cut cable.
const bondMonitor = 100

// networkConfig is NoCloud's network-config. A comment alone leaves the network to
// the image: a document that is missing is asked for ten times, one that is there
// and empty of links configures none.
func networkConfig(n registry.Network) string {
	if n.Empty() {
		return "# The network is left to the image.\n"
	}
	return encode(networkOf(n))
}

// netplan is a file of /etc/netplan.
func netplan(n registry.Network) string {
	return encode(map[string]networkData{"network": networkOf(n)})
}

func networkOf(n registry.Network) networkData {
	data := networkData{Version: 2, Ethernets: map[string]ethernetData{}, Bonds: map[string]bondData{}, VLANs: map[string]vlanData{}}
	for _, e := range n.Ethernets {
		data.Ethernets[portID(e)] = ethernetData{Match: matchData{e.MAC.String()}, SetName: e.Name, linkData: linkOf(e.Link)}
	}
	for _, b := range n.Bonds {
		data.Bonds[b.Name] = bondData{Interfaces: b.Members, linkData: linkOf(b.Link),
			Parameters: bondParametersData{Mode: b.Mode, Monitor: bondMonitor, Primary: b.Primary, LACPRate: b.LACPRate, HashPolicy: b.HashPolicy}}
	}
	for _, v := range n.VLANs {
		data.VLANs[v.Name] = vlanData{ID: v.ID, Link: v.On, linkData: linkOf(v.Link)}
	}
	return data
}

// portID is what a port is called in a configuration: its name, or one of 15
// characters that no port has.
func portID(e registry.Ethernet) string {
	if e.Name != "" {
		return e.Name
	}
	return "nic" + strings.ReplaceAll(e.MAC.String(), ":", "")
}

func linkOf(l registry.Link) linkData {
	data := linkData{DHCP4: l.DHCP4, DHCP6: l.DHCP6, Addresses: texts(l.Addresses), MTU: l.MTU}
	for _, r := range routesOf(l) {
		data.Routes = append(data.Routes, routeData{To: r.To.String(), Via: r.Via.String(), Metric: r.Metric, OnLink: onLink(l, r.Via)})
	}
	if len(l.DNS)+len(l.Search) > 0 {
		data.Nameservers = &nameserversData{Addresses: texts(l.DNS), Search: l.Search}
	}
	return data
}

// routesOf is every route of a link, the gateways' first: 0.0.0.0/0 and ::/0.
func routesOf(l registry.Link) (all []registry.Route) {
	for _, g := range l.Gateways {
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if !g.Is4() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		all = append(all, registry.Route{To: everything, Via: g})
	}
	return append(all, l.Routes...)
}

// texts is each value as a text.
func texts[T interface{ String() string }](values []T) (all []string) {
	for _, v := range values {
		all = append(all, v.String())
	}
	return all
}
