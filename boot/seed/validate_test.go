package seed

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"dragonfly/registry"
)

// problemsOf is what is wrong, a line each.
func problemsOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	invalid, ok := errors.AsType[*registry.InvalidError](err)
	if !ok {
		t.Fatalf("error is a %T, not an InvalidError: %v", err, err)
	}
	var lines []string
	for _, f := range invalid.Fields {
		lines = append(lines, f.Pointer+": "+f.Message)
	}
	return strings.Join(lines, "\n")
}

func TestRefusedSettings(t *testing.T) {
	user := func(u registry.SeedUser) registry.Seed { return registry.Seed{Users: []registry.SeedUser{u}} }
	for name, test := range map[string]struct {
		seed registry.Seed
		want string // what the problems begin with
	}{
		"nothing":                 {registry.Seed{}, ""},
		"everything":              {server(t), ""},
		"a domain as host name":   {registry.Seed{Hostname: "a.b"}, `/hostname: "a.b": want letters, digits and dashes, at most 63; a domain goes into fqdn`},
		"a host name with a line": {registry.Seed{Hostname: "a\nb"}, `/hostname: "a\nb": want`},
		"no domain":               {registry.Seed{FQDN: "elk"}, `/fqdn: "elk": want a host name with its domain`},
		"another host":            {registry.Seed{Hostname: "elk", FQDN: "fox.example"}, `/fqdn: "fox.example" is not elk and a domain`},
		"no time zone":            {registry.Seed{Timezone: "Mars/Phobos"}, `/timezone: there is no time zone "Mars/Phobos"`},
		"a path as time zone":     {registry.Seed{Timezone: "../../etc/passwd"}, `/timezone: there is no`},
		"the server's time zone":  {registry.Seed{Timezone: "Local"}, `/timezone: there is no`},
		"no key":                  {registry.Seed{SSHKeys: []string{anaKey, "hello"}}, `/ssh_keys/1: "hello" is no public SSH key`},
		"two keys in one":         {registry.Seed{SSHKeys: []string{anaKey + "\n" + benKey}}, `/ssh_keys/0: want one key, on one line`},
		"a private key":           {registry.Seed{SSHKeys: []string{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl"}}, `/ssh_keys/0: this is a private key`},
		"a private key in lines":  {registry.Seed{SSHKeys: []string{"-----BEGIN OPENSSH PRIVATE KEY-----", "b3BlbnNzaC1r", "-----END OPENSSH PRIVATE KEY-----"}}, `/ssh_keys/0: this is a private key: keep it, and give the .pub beside it`},
		"a key of PuTTY":          {registry.Seed{SSHKeys: []string{"PuTTY-User-Key-File-3: ssh-ed25519", "Encryption: none"}}, `/ssh_keys/0: this is a private key`},
		"a line of a private key": {registry.Seed{SSHKeys: []string{"b3BlbnNzaC1r"}}, `/ssh_keys/0: base64 alone is no public SSH key`},
		"a short RSA key": {registry.Seed{SSHKeys: []string{"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDte+9wYbyJMtRDjGXPktNPLlh6DmxIPFBH4eryYvL3UK17s15fv2EF2Ij81gedDaOzWEwuZkX0VsiC1OKG84TXUBpIb9S7WzWWn+/5eLXHuXIw/qB6dBJKOYUWAj072sogQWhEzCRLfiu8s3ttb6+QoBC8KcV0mGRNw3xE4PSXww=="}},
			`/ssh_keys/0: an RSA key of 1024 bits is too short`},
		"many keys":           {registry.Seed{SSHKeys: make([]string, 65)}, `/ssh_keys: 65 entries; at most 64`},
		"no user name":        {user(registry.SeedUser{}), `/users/0/name: "": want a name such as ana`},
		"a user with a colon": {user(registry.SeedUser{Name: "ana:x"}), `/users/0/name: "ana:x"`},
		"a user twice":        {registry.Seed{Users: []registry.SeedUser{{Name: "ana"}, {Name: "ana"}}}, `/users/1/name: ana is there a second time`},
		"a comment of two":    {user(registry.SeedUser{Name: "ana", Comment: "a\nroot"}), `/users/0/comment: want a line`},
		"a shell with options": {user(registry.SeedUser{Name: "ana", Shell: "/bin/sh -c id"}),
			`/users/0/shell: "/bin/sh -c id": want a path such as /bin/bash`},
		"a password":           {user(registry.SeedUser{Name: "ana", PasswordHash: "correct horse"}), `/users/0/password_hash: want a hash as in shadow(5)`},
		"a weak hash":          {user(registry.SeedUser{Name: "ana", PasswordHash: "$1$abcdefgh$0123456789012345678901"}), `/users/0/password_hash: want a hash`},
		"a group with a comma": {user(registry.SeedUser{Name: "ana", Groups: []string{"a,b"}}), `/users/0/groups/0: "a,b": want the name of a group`},
		"a user's key":         {user(registry.SeedUser{Name: "ana", SSHKeys: []string{""}}), `/users/0/ssh_keys/0: the key is empty`},
		"an option as package": {registry.Seed{Packages: []string{"curl", "--allow-unauthenticated"}}, `/packages/1: "--allow-unauthenticated": want the name`},
		"two packages in one":  {registry.Seed{Packages: []string{"curl vim"}}, `/packages/0: "curl vim"`},
		"an empty command":     {registry.Seed{Commands: []string{" \n"}}, `/commands/0: the command is empty`},
		"a command with a NUL": {registry.Seed{Commands: []string{"echo \x00"}}, `/commands/0: the command has a control`},
		"a long command":       {registry.Seed{Commands: []string{strings.Repeat("x", maxCommand+1)}}, `/commands/0: the command has 16385 bytes`},
		"no certificate":       {registry.Seed{CACertificates: []string{"MIIB"}}, `/ca_certificates/0: want certificates in PEM`},
		"a certificate and rubbish": {registry.Seed{CACertificates: []string{readTestdata(t, "ca.pem") + "rubbish"}},
			`/ca_certificates/0: want certificates in PEM`},
		"a damaged certificate": {registry.Seed{CACertificates: []string{strings.Replace(readTestdata(t, "ca.pem"), "MIIB", "MIIA", 1)}}, `/ca_certificates/0: certificate 1 is damaged`},
		"a private key beside a certificate": {registry.Seed{CACertificates: []string{readTestdata(t, "ca.pem") + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}},
			`/ca_certificates/0: there is a private key`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := problemsOf(t, Validate(Layer{"", test.seed})); !strings.HasPrefix(got, test.want) || (got != "" && test.want == "") {
				t.Errorf("got %q, want %q...", got, test.want)
			}
			if got := problemsOf(t, Validate(Layer{"tag lab", test.seed})); test.want != "" && !strings.Contains(got, ": tag lab: ") {
				t.Errorf("the source is not named: %q", got)
			}
		})
	}
}

// link is a network of one port.
func link(l registry.Link) registry.Network {
	return registry.Network{Ethernets: []registry.Ethernet{{MAC: registry.MAC{2, 0, 0, 0, 0, 1}, Link: l}}}
}

func TestRefusedNetworks(t *testing.T) {
	prefixes := func(all ...string) (list []netip.Prefix) {
		for _, p := range all {
			list = append(list, netip.MustParsePrefix(p))
		}
		return list
	}
	addrs := func(all ...string) (list []netip.Addr) {
		for _, a := range all {
			list = append(list, netip.MustParseAddr(a))
		}
		return list
	}
	changed := func(change func(*registry.Network)) registry.Network { n := rack(); change(&n); return n }
	for name, test := range map[string]struct {
		network registry.Network
		want    string
	}{
		"no hardware address":         {registry.Network{Ethernets: []registry.Ethernet{{Name: "lan0"}}}, "/network/ethernets/0/mac: want the hardware address"},
		"one address twice":           {changed(func(n *registry.Network) { n.Ethernets[1].MAC = n.Ethernets[0].MAC }), "/network/ethernets/1/mac: 52:54:00:00:00:01 is there a second time"},
		"one name twice":              {changed(func(n *registry.Network) { n.VLANs[1].Name = "bond0" }), "/network/vlans/1/name: bond0 is the name of another link"},
		"the kernel's name":           {changed(func(n *registry.Network) { n.Ethernets[3].Name = "eth0" }), "/network/ethernets/3/name: eth0 is a name that the kernel gives"},
		"the loopback's name":         {changed(func(n *registry.Network) { n.Bonds[0].Name = "lo" }), "/network/bonds/0/name: lo is the name of another link"},
		"a long name":                 {changed(func(n *registry.Network) { n.Ethernets[3].Name = "sixteen-letters0" }), `/network/ethernets/3/name: "sixteen-letters0": want letters`},
		"a name of two lines":         {changed(func(n *registry.Network) { n.Ethernets[3].Name = "a\n[b]" }), `/network/ethernets/3/name: "a\n[b]": want letters`},
		"a bond of nothing":           {changed(func(n *registry.Network) { n.Bonds[0].Members = nil }), "/network/bonds/0/members: want the names of the ports"},
		"a member that is not there":  {changed(func(n *registry.Network) { n.Bonds[0].Members[1] = "lan7" }), `/network/bonds/0/members/1: no entry of ethernets has the name "lan7"; there are lan0, lan1, trunk`},
		"a member without a name":     {changed(func(n *registry.Network) { n.Bonds[0].Members[1] = "" }), `/network/bonds/0/members/1: no entry of ethernets has the name ""`},
		"a member twice":              {changed(func(n *registry.Network) { n.Bonds[0].Members[1] = "lan0" }), "/network/bonds/0/members/1: lan0 is a member of bond0 already"},
		"a bond in a bond":            {changed(func(n *registry.Network) { n.Bonds[0].Members[1] = "bond0" }), "/network/bonds/0/members/1: no entry of ethernets"},
		"a member with addresses":     {changed(func(n *registry.Network) { n.Ethernets[0].DHCP4 = true }), "/network/ethernets/0: lan0 is a member of bond0, which has the addresses"},
		"a mode that is none":         {changed(func(n *registry.Network) { n.Bonds[0].Mode = "lacp" }), `/network/bonds/0/mode: "lacp": want one of balance-rr`},
		"LACP without LACP":           {changed(func(n *registry.Network) { n.Bonds[0].Mode = "balance-xor" }), "/network/bonds/0/lacp_rate: the mode balance-xor has none"},
		"a primary for LACP":          {changed(func(n *registry.Network) { n.Bonds[0].Primary = "lan0" }), "/network/bonds/0/primary: the mode 802.3ad has none"},
		"a primary from elsewhere":    {changed(func(n *registry.Network) { n.Bonds[0] = backup().Bonds[0]; n.Bonds[0].Primary = "trunk" }), `/network/bonds/0/primary: "trunk": want one of lan0, lan1`},
		"a VLAN on nothing":           {changed(func(n *registry.Network) { n.VLANs[0].On = "lan9" }), `/network/vlans/0/on: no port or bond has the name "lan9"`},
		"a VLAN on a VLAN":            {changed(func(n *registry.Network) { n.VLANs[0].On = "storage" }), `/network/vlans/0/on: no port or bond`},
		"a VLAN on a member":          {changed(func(n *registry.Network) { n.VLANs[0].On = "lan0" }), "/network/vlans/0/on: lan0 is a member of bond0; put the VLAN on that"},
		"VLAN 0":                      {changed(func(n *registry.Network) { n.VLANs[0].ID = 0 }), "/network/vlans/0/id: 0: want 1 to 4094"},
		"one VLAN twice":              {changed(func(n *registry.Network) { n.VLANs[1].On, n.VLANs[1].ID = "bond0", 42 }), "/network/vlans/1/id: there is a VLAN 42 on bond0 already"},
		"a VLAN larger than its link": {changed(func(n *registry.Network) { n.VLANs[0].MTU = 9100 }), "/network/vlans/0/mtu: 9100 is more than the 9000 of bond0"},
		"no address":                  {link(registry.Link{Addresses: make([]netip.Prefix, 1)}), "/network/ethernets/0/addresses/0: want an address with the length"},
		"the network's address":       {link(registry.Link{Addresses: prefixes("10.0.0.0/24")}), "/network/ethernets/0/addresses/0: 10.0.0.0/24 is the address of the network itself"},
		"the broadcast address":       {link(registry.Link{Addresses: prefixes("10.0.0.127/25")}), "/network/ethernets/0/addresses/0: 10.0.0.127/25 is the broadcast address"},
		"a multicast address":         {link(registry.Link{Addresses: prefixes("224.0.0.5/24")}), "/network/ethernets/0/addresses/0: 224.0.0.5/24 is no address for a host"},
		"IPv4 in IPv6":                {link(registry.Link{Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 120)}}), "/network/ethernets/0/addresses/0: ::ffff:10.0.0.1/120 is no address"},
		"one address twice on a link": {link(registry.Link{Addresses: prefixes("10.0.0.1/24", "10.0.0.1/24")}), "/network/ethernets/0/addresses/1: 10.0.0.1/24 is there a second time"},
		"a gateway without address":   {link(registry.Link{Addresses: prefixes("10.0.0.9/24"), Gateways: addrs("fd00::1")}), "/network/ethernets/0/gateways/0: fd00::1: the link has no address of IPv6"},
		"a zone":                      {link(registry.Link{DHCP6: true, Gateways: addrs("fe80::1%eth0")}), "/network/ethernets/0/gateways/0: want the address of a router"},
		"two gateways":                {link(registry.Link{Addresses: prefixes("10.0.0.9/24"), Gateways: addrs("10.0.0.1", "10.0.0.2")}), "/network/ethernets/0/gateways/1: there is a default route of IPv4 already, on a port"},
		"gateways of two links":       {changed(func(n *registry.Network) { n.VLANs[0].Gateways = addrs("10.42.0.1") }), "/network/vlans/0/gateways/0: there is a default route of IPv4 already, on bond0"},
		"a route of two families":     {link(registry.Link{DHCP4: true, DHCP6: true, Routes: []registry.Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("fd00::1")}}}), "/network/ethernets/0/routes/0/via: fd00::1 cannot lead to 10.0.0.0/8"},
		"a route with bits":           {link(registry.Link{DHCP4: true, Routes: []registry.Route{{To: netip.MustParsePrefix("10.0.0.1/8"), Via: netip.MustParseAddr("10.0.0.1")}}}), "/network/ethernets/0/routes/0/to: 10.0.0.1/8 has bits behind its prefix; want 10.0.0.0/8"},
		"an empty route":              {link(registry.Link{DHCP4: true, Routes: make([]registry.Route, 1)}), "/network/ethernets/0/routes/0/to: want a network"},
		"no name server":              {link(registry.Link{DNS: make([]netip.Addr, 1)}), "/network/ethernets/0/dns/0: want the address of a name server"},
		"a search list in one":        {link(registry.Link{Search: []string{"a b"}}), `/network/ethernets/0/search/0: "a b": want a domain`},
		"a small MTU":                 {link(registry.Link{MTU: 68}), "/network/ethernets/0/mtu: 68 bytes: want 576 to 65535"},
		"an MTU too small for IPv6":   {link(registry.Link{MTU: 1000, DHCP6: true}), "/network/ethernets/0/mtu: 1000 bytes: IPv6 needs 1280"},
		"many links":                  {registry.Network{VLANs: make([]registry.VLAN, 513)}, "/network: 513 links; at most 512"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := problemsOf(t, Validate(Layer{"", registry.Seed{Network: test.network}})); !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q...", got, test.want)
			}
		})
	}
	for name, n := range map[string]registry.Network{"rack": rack(), "static": static(), "backup": backup(), "none": {}, "DHCP with a router beside": link(registry.Link{DHCP4: true, Gateways: addrs("10.0.0.1")})} {
		if got := problemsOf(t, Validate(Layer{"", registry.Seed{Network: n}})); got != "" {
			t.Errorf("%s is refused: %s", name, got)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	bad := registry.Seed{Packages: make([]string, 200), Commands: make([]string, 60)}
	err := Validate(Layer{"", bad})
	if invalid, ok := errors.AsType[*registry.InvalidError](err); !ok || len(invalid.Fields) != maxProblems {
		t.Errorf("got %v", err)
	}
	if got := problemsOf(t, Validate(make([]Layer, maxLayers+1)...)); !strings.Contains(got, "65 layers; at most 64") {
		t.Errorf("got %q", got)
	}
}
