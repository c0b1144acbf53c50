package ui

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// defaultNet is the network that the form can say: one link on the port that a machine
// boots from. What is more than that is for the API.
type defaultNet struct {
	Mode           string // empty: as the image has it; dhcp; or [otherNet]
	VLAN, DNS, MTU string
	Other          bool // what is stored is more than the form can say
}

// otherNet is for a network that the form cannot say.
const otherNet = "other"

// portName is what a port is called that a VLAN is on.
const portName = "lan0"

// defaultsFields are the fields of the form that are always sent.
var defaultsFields = []string{"version", "timezone", "ssh_keys", "packages", "commands", "ca_certificates", "user_data", "net"}

// formOfDefaults is the form for what is stored.
func formOfDefaults(s registry.Seed) defaultsForm {
	f := defaultsForm{Timezone: s.Timezone, Keys: strings.Join(s.SSHKeys, "\n"), Packages: strings.Join(s.Packages, " "), Commands: strings.Join(s.Commands, "\n"),
		Certificates: strings.Join(s.CACertificates, "\n"), UserData: s.UserData, Network: netOfDefaults(s.Network)}
	for _, u := range s.Users {
		f.Users = append(f.Users, userFields{u.Name, u.Comment, strings.Join(u.Groups, " "), u.Shell, u.PasswordHash, strings.Join(u.SSHKeys, "\n"), u.Sudo})
	}
	return f
}

// netOfDefaults is the network as the form has it.
func netOfDefaults(n registry.Network) (f defaultNet) {
	if n.Empty() {
		return f
	}
	link := registry.Link{}
	switch {
	case len(n.VLANs) == 1 && len(n.Ethernets) == 1:
		link, f.VLAN = n.VLANs[0].Link, strconv.Itoa(n.VLANs[0].ID)
	case len(n.Ethernets) == 1:
		link = n.Ethernets[0].Link
	}
	f.Mode = "dhcp"
	for _, addr := range link.DNS {
		f.DNS = strings.TrimPrefix(f.DNS+", "+addr.String(), ", ")
	}
	if link.MTU > 0 {
		f.MTU = strconv.Itoa(link.MTU)
	}
	if again, err := f.network(); err != nil || !sameNetwork(again, n) {
		return defaultNet{Mode: otherNet, Other: true}
	}
	return f
}

// sameNetwork reports whether two networks say the same.
func sameNetwork(a, b registry.Network) bool {
	one, other := registry.Seed{Network: a}, registry.Seed{Network: b}
	return one.Equal(other)
}

// network is what the form asks for.
func (f defaultNet) network() (n registry.Network, err error) {
	if f.Mode != "dhcp" {
		return n, nil
	}
	link, err := netForm{Mode: "dhcp", DNS: f.DNS, MTU: f.MTU}.link()
	if err != nil || f.VLAN == "" {
		return registry.Network{Ethernets: []registry.Ethernet{{Link: link}}}, err
	}
	vlan, err := vlanOn(portName, f.VLAN, link)
	return registry.Network{Ethernets: []registry.Ethernet{{Name: portName}}, VLANs: []registry.VLAN{vlan}}, err
}

// defaultsIn is the form as it was sent.
func defaultsIn(r *http.Request) (f defaultsForm, err error) {
	for _, name := range defaultsFields {
		if !r.PostForm.Has(name) { // it is not empty: nobody said so
			return f, &httpError{status: http.StatusBadRequest, detail: "The form lacks its field " + name + ", so nothing was changed. Open the page again."}
		}
	}
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	text := func(name string) string { return strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n") }
	f = defaultsForm{Version: value("version"), Timezone: value("timezone"), Keys: text("ssh_keys"), Packages: value("packages"), Commands: text("commands"),
		Certificates: text("ca_certificates"), UserData: text("user_data"), Machine: value("machine"), OS: value("os"),
		Network: defaultNet{Mode: value("net"), VLAN: value("vlan"), DNS: value("dns"), MTU: value("mtu")}}
	if strings.TrimSpace(f.UserData) == "" {
		f.UserData = ""
	}
	for i := 0; r.PostForm.Has(userField(strconv.Itoa(i), "name")); i++ {
		of := func(name string) string { return text(userField(strconv.Itoa(i), name)) }
		f.Users = append(f.Users, userFields{Name: strings.TrimSpace(of("name")), Comment: strings.TrimSpace(of("comment")), Groups: strings.TrimSpace(of("groups")),
			Shell: strings.TrimSpace(of("shell")), Hash: strings.TrimSpace(of("password_hash")), Keys: strings.TrimSpace(of("ssh_keys")), Sudo: of("sudo") != ""})
	}
	f.Users = slices.DeleteFunc(f.Users, func(u userFields) bool { return u == userFields{} })
	return f, nil
}

// over is the seed that the form asks for. What the form still says as it was stored
// stays what it is, for a form may not be able to say all of it.
func (f *defaultsForm) over(stored registry.Seed) (registry.Seed, faults) {
	was := formOfDefaults(stored)
	s := registry.Seed{Timezone: f.Timezone, UserData: f.UserData, SSHKeys: lineList(f.Keys), Packages: listed(f.Packages),
		Commands: lineList(f.Commands), CACertificates: stored.CACertificates, Network: stored.Network}
	if f.Commands == was.Commands {
		s.Commands = stored.Commands
	}
	if f.Certificates != was.Certificates {
		s.CACertificates = nil
		if text := strings.TrimSpace(f.Certificates); text != "" {
			s.CACertificates = []string{text + "\n"}
		}
	}
	for _, u := range f.Users {
		s.Users = append(s.Users, registry.SeedUser{Name: u.Name, Comment: u.Comment, Groups: listed(u.Groups), Shell: u.Shell, Sudo: u.Sudo, PasswordHash: u.Hash, SSHKeys: lineList(u.Keys)})
	}
	f.Network.Other = was.Network.Other
	if f.Network.Mode == otherNet {
		return s, nil
	}
	network, err := f.Network.network()
	s.Network = network
	return s, faultsOf(err, func(string) string { return "network" })
}
