package seed

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"dragonfly/registry"
)

// keyfiles are files of /etc/NetworkManager/system-connections, by name; they have
// to be readable by root alone (nm-settings-keyfile(5)). A port is known by the
// hardware address it was made with, and others refer to it by the UUID of its
// connection, so that names, which [linkFiles] give, do not matter.
func keyfiles(n registry.Network) map[string]string {
	files := map[string]string{}
	for _, e := range n.Ethernets {
		f := connection(portID(e), "ethernet")
		master := masterOf(n, e.Name)
		if master != "" {
			f.set("master", connectionID(master))
			f.set("slave-type", "bond")
		}
		f.section("ethernet")
		f.set("mac-address", strings.ToUpper(e.MAC.String()))
		f.set("mtu", e.MTU)
		if master == "" {
			f.addresses(e.Link)
		}
		files[portID(e)+".nmconnection"] = f.String()
	}
	for _, b := range n.Bonds {
		files[b.Name+".nmconnection"] = bondKeyfile(b)
	}
	for _, v := range n.VLANs {
		f := connection(v.Name, "vlan")
		f.set("interface-name", v.Name)
		f.section("vlan")
		f.set("id", v.ID)
		f.set("parent", connectionID(v.On))
		f.ethernetMTU(v.MTU)
		f.addresses(v.Link)
		files[v.Name+".nmconnection"] = f.String()
	}
	return files
}

func bondKeyfile(b registry.Bond) string {
	f := connection(b.Name, "bond")
	f.set("interface-name", b.Name)
	f.section("bond")
	f.set("mode", b.Mode)
	f.set("miimon", bondMonitor)
	f.set("lacp_rate", b.LACPRate)
	f.set("xmit_hash_policy", b.HashPolicy)
	f.set("primary", b.Primary)
	f.ethernetMTU(b.MTU)
	f.addresses(b.Link)
	return f.String()
}

// keyfile is one connection.
type keyfile struct{ ini }

func connection(id, kind string) *keyfile {
	f := &keyfile{}
	f.section("connection")
	f.set("id", id)
	f.set("uuid", connectionID(id))
	f.set("type", kind)
	return f
}

// connectionID is the same for a link of one name at every run, so that the files
// are too.
func connectionID(link string) string {
	return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(link+".dragonfly.invalid")).String()
}

func (f *keyfile) ethernetMTU(mtu int) {
	if mtu > 0 {
		f.section("ethernet")
		f.set("mtu", mtu)
	}
}

func (f *keyfile) addresses(l registry.Link) {
	v4, v6 := "disabled", "disabled"
	switch {
	case l.DHCP4:
		v4 = "auto"
	case has(l, true):
		v4 = "manual"
	}
	switch {
	case l.DHCP6:
		v6 = "auto"
	case has(l, false):
		v6 = "manual"
	case v4 != "disabled": // what a router announces is taken, as without us
		v6 = "auto"
	}
	f.family("ipv4", v4, l, netip.Addr.Is4)
	f.family("ipv6", v6, l, func(a netip.Addr) bool { return !a.Is4() })
}

// family writes the section of IPv4 or IPv6.
func (f *keyfile) family(name, method string, l registry.Link, in func(netip.Addr) bool) {
	f.section(name)
	f.set("method", method)
	count := 0
	for _, a := range l.Addresses {
		if in(a.Addr()) {
			count++
			f.set(fmt.Sprintf("address%d", count), a)
		}
	}
	f.routes(l, in)
	f.set("dns", listOf(l.DNS, in))
	if method != "disabled" && len(l.Search) > 0 {
		f.set("dns-search", strings.Join(l.Search, ";")+";")
	}
}

// routes writes every route, a gateway's too, since address1=...,GATEWAY knows no
// onlink.
func (f *keyfile) routes(l registry.Link, in func(netip.Addr) bool) {
	count := 0
	for _, r := range routesOf(l) {
		if !in(r.Via) {
			continue
		}
		count++
		route := fmt.Sprintf("%s,%s", r.To, r.Via)
		if r.Metric > 0 {
			route += fmt.Sprintf(",%d", r.Metric)
		}
		f.set(fmt.Sprintf("route%d", count), route)
		if onLink(l, r.Via) {
			f.set(fmt.Sprintf("route%d_options", count), "onlink=true")
		}
	}
}

// listOf is the addresses of one family, each with a semicolon behind it.
func listOf(all []netip.Addr, in func(netip.Addr) bool) (list string) {
	for _, a := range all {
		if in(a) {
			list += a.String() + ";"
		}
	}
	return list
}
