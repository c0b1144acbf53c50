package registry

import (
	"maps"
	"net/netip"
	"reflect"
)

// Seed is what an installed system is given when it starts for the first time.
// What is left out is as the image has it. Several seeds make one: see the merge
// of package boot/seed, which also says what is valid.
type Seed struct {
	Hostname       string     `json:"hostname,omitempty" maxLength:"63" doc:"of the installed system, without a domain" example:"brave-otter"`
	FQDN           string     `json:"fqdn,omitempty" maxLength:"253" doc:"the same with its domain" example:"brave-otter.lab.example"`
	Timezone       string     `json:"timezone,omitempty" maxLength:"64" doc:"as the time zone database calls it" example:"Europe/Vienna"`
	SSHKeys        []string   `json:"ssh_keys,omitempty" maxItems:"64" doc:"public keys that may sign in as the image's own user"`
	Users          []SeedUser `json:"users,omitempty" maxItems:"64" doc:"accounts beside the image's own user"`
	Packages       []string   `json:"packages,omitempty" maxItems:"256" doc:"to be installed from the system's own repositories" example:"[\"curl\"]"`
	Commands       []string   `json:"commands,omitempty" maxItems:"64" doc:"shell commands that are run as root, once, after everything else"`
	CACertificates []string   `json:"ca_certificates,omitempty" maxItems:"32" doc:"certificates in PEM that the system shall trust"`
	Network        Network    `json:"network,omitzero"`
	UserData       string     `json:"user_data,omitempty" maxLength:"131072" doc:"cloud-init's user data of any kind, an Ignition config, or a Talos machine config, as the operating system takes it; beside what is made of the other members"`
}

// Empty reports whether s says nothing.
func (s Seed) Empty() bool { return reflect.ValueOf(s).IsZero() }

// Equal reports whether s and other say the same.
func (s Seed) Equal(other Seed) bool { return maps.Equal(seedMembers(s), seedMembers(other)) }

// SeedUser is an account of an installed system.
type SeedUser struct {
	Name         string   `json:"name" maxLength:"32" example:"ana"`
	Comment      string   `json:"comment,omitempty" maxLength:"128" doc:"full name"`
	Groups       []string `json:"groups,omitempty" maxItems:"64" doc:"beside the account's own"`
	Shell        string   `json:"shell,omitempty" maxLength:"128" example:"/bin/bash"`
	Sudo         bool     `json:"sudo,omitempty" doc:"may do everything as root, without a password"`
	PasswordHash string   `json:"password_hash,omitempty" maxLength:"256" doc:"as in shadow(5), such as $6$...; without one no password signs in"`
	SSHKeys      []string `json:"ssh_keys,omitempty" maxItems:"64"`
}

// Network is the network of an installed system. An empty one leaves it to the
// image, which as a rule asks for an address (DHCP) on the first port with a link.
type Network struct {
	Ethernets []Ethernet `json:"ethernets,omitempty" maxItems:"64"`
	Bonds     []Bond     `json:"bonds,omitempty" maxItems:"32"`
	VLANs     []VLAN     `json:"vlans,omitempty" maxItems:"256"`
}

// Empty reports whether n says nothing.
func (n Network) Empty() bool { return len(n.Ethernets)+len(n.Bonds)+len(n.VLANs) == 0 }

// Link is what ports, bonds and VLANs have in common.
type Link struct {
	DHCP4     bool           `json:"dhcp4,omitempty"`
	DHCP6     bool           `json:"dhcp6,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty" maxItems:"64" doc:"IPv4 and IPv6, with the length of the prefix" example:"[\"10.0.0.17/24\"]"`
	Gateways  []netip.Addr   `json:"gateways,omitempty" maxItems:"2" doc:"default routes: at most one of IPv4 and one of IPv6" example:"[\"10.0.0.1\"]"`
	Routes    []Route        `json:"routes,omitempty" maxItems:"64"`
	DNS       []netip.Addr   `json:"dns,omitempty" maxItems:"8" doc:"name servers"`
	Search    []string       `json:"search,omitempty" maxItems:"16" doc:"domains that short names are looked up in"`
	MTU       int            `json:"mtu,omitempty" minimum:"0" maximum:"65535" doc:"bytes"`
}

// Ethernet is a network port, known by its hardware address. One without is that which
// the machine boots from.
type Ethernet struct {
	MAC  MAC    `json:"mac,omitzero" example:"52:54:00:12:34:56" doc:"left out: the port that the machine boots from"`
	Name string `json:"name,omitempty" maxLength:"15" doc:"that the port is given; needed where a bond or a VLAN uses it" example:"lan0"`
	Link
}

// Bond is several ports that act as one.
type Bond struct {
	Name       string   `json:"name" maxLength:"15" example:"bond0"`
	Members    []string `json:"members" maxItems:"16" doc:"names of ports" example:"[\"lan0\",\"lan1\"]"`
	Mode       string   `json:"mode" enum:"balance-rr,active-backup,balance-xor,broadcast,802.3ad,balance-tlb,balance-alb" doc:"802.3ad is LACP"`
	Primary    string   `json:"primary,omitempty" maxLength:"15" doc:"member that is used while it has a link, for active-backup, balance-tlb and balance-alb"`
	LACPRate   string   `json:"lacp_rate,omitempty" enum:"slow,fast" doc:"for 802.3ad"`
	HashPolicy string   `json:"hash_policy,omitempty" enum:"layer2,layer2+3,layer3+4,encap2+3,encap3+4" doc:"what chooses the member to send on, for balance-xor, 802.3ad, balance-tlb and balance-alb"`
	Link
}

// VLAN is a tagged network (IEEE 802.1Q) on a port or a bond.
type VLAN struct {
	Name string `json:"name" maxLength:"15" example:"lan0.42"`
	ID   int    `json:"id" minimum:"1" maximum:"4094"`
	On   string `json:"on" maxLength:"15" doc:"name of the port or bond" example:"lan0"`
	Link
}

// Route is a way to a network.
type Route struct {
	To     netip.Prefix `json:"to" example:"10.1.0.0/16"`
	Via    netip.Addr   `json:"via" example:"10.0.0.254"`
	Metric int          `json:"metric,omitempty" minimum:"0" maximum:"4294967295" doc:"the lowest wins; 0: the system's own choice"`
}
