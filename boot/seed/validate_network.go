package seed

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"dragonfly/registry"
)

// linkName is what the kernel takes (dev_valid_name, IFNAMSIZ) and no tool
// stumbles over.
var linkName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,14}$`)

// kernelName is given by the kernel itself: a port that is renamed to one meets the
// port that has it (systemd.link(5), Name=).
var kernelName = regexp.MustCompile(`^(eth|wlan|usb|wwan|ib)[0-9]+$`)

// What a bond's settings may be (Linux, bonding.rst).
var (
	bondModes    = []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
	withPrimary  = []string{"active-backup", "balance-tlb", "balance-alb"}
	withHash     = []string{"balance-xor", "802.3ad", "balance-tlb", "balance-alb"}
	withLACP     = []string{"802.3ad"}
	hashPolicies = []string{"layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4"}
)

// The bounds of an MTU: that of IPv4's smallest link (RFC 791), of IPv6's (RFC
// 8200 section 5), and what Ethernet hardware can do with room to spare.
const (
	minMTU  = 576
	minMTU6 = 1280
	maxMTU  = 65535

	maxLinks  = 512
	maxOfLink = 64 // addresses, routes and so on of one link
)

func (c checker) network(n registry.Network) {
	if links := len(n.Ethernets) + len(n.Bonds) + len(n.VLANs); links > maxLinks {
		c.add("/network", "%d links; at most %d", links, maxLinks)
		return
	}
	net := &netChecker{checker: c, ports: map[string]registry.Ethernet{}, masters: map[string]string{}, names: map[string]bool{"lo": true}}
	for i, e := range n.Ethernets {
		net.ethernet(fmt.Sprintf("/network/ethernets/%d", i), e)
	}
	for i, b := range n.Bonds {
		net.bond(fmt.Sprintf("/network/bonds/%d", i), b)
	}
	for i, e := range n.Ethernets {
		net.member(fmt.Sprintf("/network/ethernets/%d", i), e)
	}
	below := parents(n)
	for i, v := range n.VLANs {
		net.vlan(fmt.Sprintf("/network/vlans/%d", i), v, below)
	}
}

// netChecker checks a network, link by link.
type netChecker struct {
	checker
	names    map[string]bool              // taken
	ports    map[string]registry.Ethernet // by name
	macs     []registry.MAC
	masters  map[string]string // the bond of a port, by name
	tags     []tag
	defaults [2]string // the link with the default route of IPv4 and of IPv6
}

// tag is a VLAN on a link.
type tag struct {
	on string
	id int
}

// parents are the links that a VLAN can be on, by name.
func parents(n registry.Network) map[string]registry.Link {
	all := map[string]registry.Link{}
	for _, e := range n.Ethernets {
		if e.Name != "" {
			all[e.Name] = e.Link
		}
	}
	for _, b := range n.Bonds {
		all[b.Name] = b.Link
	}
	return all
}

func (c *netChecker) ethernet(at string, e registry.Ethernet) {
	switch {
	case !e.MAC.Unicast():
		c.add(at+"/mac", "want the hardware address of the port, such as 52:54:00:12:34:56")
	case slices.Contains(c.macs, e.MAC):
		c.add(at+"/mac", "%s is there a second time", e.MAC)
	}
	c.macs = append(c.macs, e.MAC)
	if e.Name != "" {
		c.name(at, e.Name)
		c.ports[e.Name] = e
		if kernelName.MatchString(e.Name) {
			c.add(at+"/name", "%s is a name that the kernel gives to any port; choose another, such as lan0", e.Name)
		}
	}
	c.link(at, e.Name, e.Link)
}

func (c *netChecker) name(at, name string) {
	switch {
	case !linkName.MatchString(name):
		c.add(at+"/name", "%s: want letters, digits and . _ -, at most 15, a letter first", short(name))
	case c.names[name]:
		c.add(at+"/name", "%s is the name of another link", name)
	}
	c.names[name] = true
}

func (c *netChecker) bond(at string, b registry.Bond) {
	c.name(at, b.Name)
	if len(b.Members) == 0 {
		c.add(at+"/members", "want the names of the ports, such as lan0 and lan1")
	}
	for i, name := range b.Members {
		pointer := fmt.Sprintf("%s/members/%d", at, i)
		switch master, taken := c.masters[name]; {
		case c.ports[name].Name == "":
			c.add(pointer, "no entry of ethernets has the name %s%s", short(name), thereAre(c.ports))
		case taken:
			c.add(pointer, "%s is a member of %s already", name, master)
		}
		c.masters[name] = b.Name
	}
	if !slices.Contains(bondModes, b.Mode) {
		c.add(at+"/mode", "%s: want one of %s", short(b.Mode), strings.Join(bondModes, ", "))
		return
	}
	c.setting(at+"/primary", b.Primary, b.Mode, withPrimary, b.Members)
	c.setting(at+"/lacp_rate", b.LACPRate, b.Mode, withLACP, []string{"slow", "fast"})
	c.setting(at+"/hash_policy", b.HashPolicy, b.Mode, withHash, hashPolicies)
	c.link(at, b.Name, b.Link)
}

// setting checks one that only some modes have.
func (c *netChecker) setting(pointer, value, mode string, modes, values []string) {
	switch {
	case value == "":
	case !slices.Contains(modes, mode):
		c.add(pointer, "the mode %s has none; leave it out", mode)
	case !slices.Contains(values, value):
		c.add(pointer, "%s: want one of %s", short(value), strings.Join(values, ", "))
	}
}

func thereAre(ports map[string]registry.Ethernet) string {
	if len(ports) == 0 {
		return "; none has a name: give it one beside its mac"
	}
	var names []string
	for name := range ports {
		names = append(names, name)
	}
	slices.Sort(names)
	return "; there are " + strings.Join(names, ", ")
}

// member refuses what a port that belongs to a bond cannot have. The kernel gives it
// the bond's MTU.
func (c *netChecker) member(at string, e registry.Ethernet) {
	l := e.Link
	own := l.DHCP4 || l.DHCP6 || l.MTU > 0 || len(l.Addresses)+len(l.Gateways)+len(l.Routes)+len(l.DNS)+len(l.Search) > 0
	if master := c.masters[e.Name]; own && e.Name != "" && master != "" {
		c.add(at, "%s is a member of %s, which has the addresses, routes, name servers and MTU; leave them out here", e.Name, master)
	}
}

func (c *netChecker) vlan(at string, v registry.VLAN, parents map[string]registry.Link) {
	c.name(at, v.Name)
	if v.ID < 1 || v.ID > 4094 {
		c.add(at+"/id", "%d: want 1 to 4094", v.ID)
	}
	parent, known := parents[v.On]
	switch {
	case !known:
		c.add(at+"/on", "no port or bond has the name %s; a port is given one beside its mac", short(v.On))
	case c.masters[v.On] != "":
		c.add(at+"/on", "%s is a member of %s; put the VLAN on that", v.On, c.masters[v.On])
	case slices.Contains(c.tags, tag{v.On, v.ID}):
		c.add(at+"/id", "there is a VLAN %d on %s already", v.ID, v.On)
	case v.MTU > parent.MTU && parent.MTU > 0:
		c.add(at+"/mtu", "%d is more than the %d of %s, which carries it", v.MTU, parent.MTU, v.On)
	}
	c.tags = append(c.tags, tag{v.On, v.ID})
	c.link(at, v.Name, v.Link)
}

func (c *netChecker) link(at, name string, l registry.Link) {
	for i, a := range l.Addresses {
		if err := checkAddress(a); err != nil {
			c.add(fmt.Sprintf("%s/addresses/%d", at, i), "%s", err)
		} else if slices.Contains(l.Addresses[:i], a) {
			c.add(fmt.Sprintf("%s/addresses/%d", at, i), "%s is there a second time", a)
		}
	}
	for i, g := range l.Gateways {
		c.gateway(fmt.Sprintf("%s/gateways/%d", at, i), name, g, l)
	}
	for i, r := range l.Routes {
		c.route(fmt.Sprintf("%s/routes/%d", at, i), r, l)
	}
	for i, a := range l.DNS {
		if !isHost(a) {
			c.add(fmt.Sprintf("%s/dns/%d", at, i), "want the address of a name server")
		}
	}
	for i, domain := range l.Search {
		if !isDomain(domain) && !hostLabel.MatchString(domain) {
			c.add(fmt.Sprintf("%s/search/%d", at, i), "%s: want a domain, such as lab.example", short(domain))
		}
	}
	c.mtu(at+"/mtu", l)
	if n := max(len(l.Addresses), len(l.Routes), len(l.DNS), len(l.Search)); n > maxOfLink {
		c.add(at, "a list has %d entries; at most %d", n, maxOfLink)
	}
}

func (c *netChecker) mtu(pointer string, l registry.Link) {
	switch {
	case l.MTU == 0:
	case l.MTU < minMTU || l.MTU > maxMTU:
		c.add(pointer, "%d bytes: want %d to %d", l.MTU, minMTU, maxMTU)
	case l.MTU < minMTU6 && (l.DHCP6 || has(l, false)):
		c.add(pointer, "%d bytes: IPv6 needs %d", l.MTU, minMTU6)
	}
}

// checkAddress accepts an address that a host can have.
func checkAddress(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return fmt.Errorf("want an address with the length of its prefix, such as 10.0.0.17/24")
	case !isHost(a) || p.Bits() == 0:
		return fmt.Errorf("%s is no address for a host", p)
	case p.Bits() < a.BitLen()-1 && a == p.Masked().Addr():
		return fmt.Errorf("%s is the address of the network itself; want that of the host in it", p)
	case a.Is4() && p.Bits() < 31 && a == broadcast(p):
		return fmt.Errorf("%s is the broadcast address of the network; want that of the host in it", p)
	}
	return nil
}

// isHost reports whether an address can be one host's. An IPv4 address in IPv6's
// clothes is none, and a zone means something to one machine only.
func isHost(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6() && a.Zone() == ""
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

func (c *netChecker) gateway(pointer, name string, g netip.Addr, l registry.Link) {
	if !isHost(g) {
		c.add(pointer, "want the address of a router")
		return
	}
	of := &c.defaults[0]
	if !g.Is4() {
		of = &c.defaults[1]
	}
	switch {
	case *of != "":
		c.add(pointer, "there is a default route of %s already, %s; want one, or routes with a metric", family(g), *of)
	case !reaches(l, g):
		c.add(pointer, "%s: the link has no address of %s", g, family(g))
	}
	*of = "on " + name
	if name == "" {
		*of = "on a port"
	}
}

func (c *netChecker) route(at string, r registry.Route, l registry.Link) {
	switch {
	case !r.To.IsValid() || r.To.Addr().Is4In6() || r.To.Addr().Zone() != "":
		c.add(at+"/to", "want a network, such as 10.1.0.0/16")
	case r.To != r.To.Masked():
		c.add(at+"/to", "%s has bits behind its prefix; want %s", r.To, r.To.Masked())
	case !isHost(r.Via):
		c.add(at+"/via", "want the address of a router")
	case r.Via.Is4() != r.To.Addr().Is4():
		c.add(at+"/via", "%s cannot lead to %s", r.Via, r.To)
	case !reaches(l, r.Via):
		c.add(at+"/via", "%s: the link has no address of %s", r.Via, family(r.Via))
	}
	if r.Metric < 0 || r.Metric > 1<<32-1 {
		c.add(at+"/metric", "%d: want 0 to 4294967295", r.Metric)
	}
}

// reaches reports whether a link can send to a router at all.
func reaches(l registry.Link, router netip.Addr) bool {
	if router.Is4() {
		return l.DHCP4 || has(l, true)
	}
	return l.DHCP6 || has(l, false) || router.IsLinkLocalUnicast()
}

// has reports whether a link has an address of IPv4, or of IPv6.
func has(l registry.Link, v4 bool) bool {
	return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == v4 })
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// onLink reports whether a router lies in no network of its link, so that the
// kernel has to be told that it is there all the same. Where DHCP gives the address
// nobody knows.
func onLink(l registry.Link, router netip.Addr) bool {
	if router.Is4() && l.DHCP4 || !router.Is4() && (l.DHCP6 || router.IsLinkLocalUnicast()) {
		return false
	}
	return !slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Contains(router) })
}
