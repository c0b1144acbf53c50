package seed

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
)

const (
	anaKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqX7a8X/+6x3fDK0uku1PL8Cr+i5zHKmMp19Gg/0tmB ana@example"
	benKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVyeBmOa6YqAyLNGuMPcWqBsimCTtDYzuNI4pGILbyz ben@example"
	// anaHash is of "correct horse"; perl's crypt() says the same of it.
	anaHash = "$6$rounds=500000$q0NJxFJV.ImPIIaY$V1GBzsKZ3pjL5lXKhG6TA.pqvdpOioMxfC78HH35WsFeh6uiBJYy96kMRJ1AtKGctVQkwVn0GqdW27uv.h92C."
	url     = "http://10.0.0.2:3000/boot/metadata/c0ffee-TOKEN_x"
)

func readTestdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rack is a network with everything: a bond with addresses of both families and a
// VLAN, a port with DHCP, and one that VLANs are on.
func rack() registry.Network {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	return registry.Network{
		Ethernets: []registry.Ethernet{
			{Name: "lan0", MAC: registry.MAC{0x52, 0x54, 0, 0, 0, 1}},
			{Name: "lan1", MAC: registry.MAC{0x52, 0x54, 0, 0, 0, 2}},
			{Name: "trunk", MAC: registry.MAC{0x52, 0x54, 0, 0, 0, 3}},
			{MAC: registry.MAC{0x52, 0x54, 0, 0, 0, 4}, Link: registry.Link{DHCP4: true, DHCP6: true}},
		},
		Bonds: []registry.Bond{{Name: "bond0", Members: []string{"lan0", "lan1"}, Mode: "802.3ad", LACPRate: "fast", HashPolicy: "layer3+4", Link: registry.Link{
			Addresses: []netip.Prefix{prefix("10.1.0.17/24"), prefix("10.1.0.18/24"), prefix("fd00:1::17/64")},
			Gateways:  []netip.Addr{addr("10.1.0.1"), addr("fe80::1")},
			Routes: []registry.Route{{To: prefix("10.9.0.0/16"), Via: addr("10.1.0.254"), Metric: 50},
				{To: prefix("172.16.0.0/12"), Via: addr("192.168.7.1")}, {To: prefix("fd00:9::/32"), Via: addr("fd00:1::fe")}},
			DNS: []netip.Addr{addr("10.1.0.2"), addr("fd00:1::2")}, Search: []string{"lab.example", "example"}, MTU: 9000,
		}}},
		VLANs: []registry.VLAN{
			{Name: "bond0.42", ID: 42, On: "bond0", Link: registry.Link{Addresses: []netip.Prefix{prefix("10.42.0.17/24")}, MTU: 1500}},
			{Name: "storage", ID: 100, On: "trunk", Link: registry.Link{DHCP4: true}},
		},
	}
}

// static is one port with one address, and a gateway that is not in its network.
func static() registry.Network {
	return registry.Network{Ethernets: []registry.Ethernet{{MAC: registry.MAC{0x52, 0x54, 0, 0, 0, 1}, Link: registry.Link{
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.17/32")}, Gateways: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
		DNS: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}}}}
}

// backup is a bond of which one member waits for the other to fail.
func backup() registry.Network {
	n := rack()
	n.Ethernets, n.VLANs = n.Ethernets[:2], nil
	n.Bonds[0] = registry.Bond{Name: "bond0", Members: []string{"lan0", "lan1"}, Mode: "active-backup", Primary: "lan1", Link: registry.Link{DHCP4: true}}
	return n
}

// server is a machine of which everything is said.
func server(t *testing.T) registry.Seed {
	return registry.Seed{
		Hostname: "brave-otter", FQDN: "brave-otter.lab.example", Timezone: "Europe/Vienna", SSHKeys: []string{anaKey},
		Users: []registry.SeedUser{
			{Name: "ana", Comment: "Ana Example", Groups: []string{"adm", "docker"}, Shell: "/bin/bash", Sudo: true, PasswordHash: anaHash, SSHKeys: []string{anaKey}},
			{Name: "ben", SSHKeys: []string{benKey}},
		},
		Packages: []string{"curl", "qemu-guest-agent"}, Commands: []string{"systemctl enable --now qemu-guest-agent", "for i in 1 2; do\n  echo \"$i\"\ndone"},
		CACertificates: []string{readTestdata(t, "ca.pem")}, Network: rack(),
	}
}

// requests are what the documents in testdata are made of.
func requests(t *testing.T) map[string]Request {
	of := func(boot registry.FirstBoot, layers ...Layer) Request {
		return Request{FirstBoot: boot, User: "core", InstanceID: "d-7f3a9c2e1b4d", URL: url, Layers: layers}
	}
	os := Layer{"os debian-12", registry.Seed{UserData: "#cloud-config\npackages: [curl, vim]\nlocale: de_AT.UTF-8\napt:\n  sources_list: |\n    deb http://mirror.example/debian bookworm main\n"}}
	tag := Layer{"tag lab", registry.Seed{Timezone: "UTC", Packages: []string{"htop"}, UserData: "#cloud-config\nntp: {enabled: yes, servers: [10.0.0.3]}\nwrite_files:\n- {path: /etc/motd, permissions: '0644', content: \"Grüße\\n\"}\n"}}
	ignitionUser := server(t)
	ignitionUser.Packages = nil
	ignitionUser.UserData = readTestdata(t, "own.ign")
	return map[string]Request{
		"minimal":  of(registry.FirstBootCloudInit, Layer{"", registry.Seed{Hostname: "elk"}}),
		"server":   of(registry.FirstBootCloudInit, os, tag, Layer{"", server(t)}),
		"static":   of(registry.FirstBootCloudInit, Layer{"", registry.Seed{Hostname: "elk", Network: static()}}),
		"backup":   of(registry.FirstBootCloudInit, Layer{"", registry.Seed{Hostname: "elk", Network: backup()}}),
		"parts":    of(registry.FirstBootCloudInit, os, Layer{"tag lab", registry.Seed{UserData: "#!/bin/sh\necho grüß dich\n"}}, Layer{"", registry.Seed{Hostname: "elk", UserData: readTestdata(t, "own.mime")}}),
		"ignition": of(registry.FirstBootIgnition, Layer{"", ignitionUser}),
		"talos":    of(registry.FirstBootTalos, Layer{"os talos", registry.Seed{UserData: readTestdata(t, "talos.yaml")}}, Layer{"", registry.Seed{Hostname: "elk", Network: static(), UserData: "machine:\n  install: {disk: /dev/vdb}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: elk\n"}}),
		"none":     of(registry.FirstBootNone, Layer{"", registry.Seed{Hostname: "elk", SSHKeys: []string{anaKey}}}),
	}
}

// TestDocuments compares every document with testdata. UPDATE=1 writes the files.
func TestDocuments(t *testing.T) {
	for name, request := range requests(t) {
		t.Run(name, func(t *testing.T) {
			d, err := Render(request)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(name, "user-data"), d.UserData)
			golden(t, filepath.Join(name, "meta-data"), d.MetaData)
			golden(t, filepath.Join(name, "network-config"), d.NetworkConfig)
			golden(t, filepath.Join(name, "netplan.yaml"), d.Netplan)
			golden(t, filepath.Join(name, "links"), joined(d.Links))
			golden(t, filepath.Join(name, "interfaces"), d.Interfaces)
			golden(t, filepath.Join(name, "keyfiles"), joined(d.Keyfiles))
			golden(t, filepath.Join(name, "networkd"), joined(d.Networkd))
		})
	}
}

// joined is several files as one, each behind a line with its name.
func joined(files map[string]string) (all string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		all += fmt.Sprintf("-- %s --\n%s", name, files[name])
	}
	return all
}

// golden compares got with testdata/NAME, which is not there where got is empty.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		os.Remove(file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if got != "" {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && (got != "" || !os.IsNotExist(err)) {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, want)
	}
}

// What the parameters of a template say is what the metadata service serves.
func TestParametersAreTheDocuments(t *testing.T) {
	for name, request := range requests(t) {
		want, err := Render(request)
		if err != nil {
			t.Fatal(err)
		}
		parameters := want.Parameters()
		if got := FromParameters(parameters); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: got\n%q\nwant\n%q", name, got, want)
		}
		for key, value := range parameters {
			if value == "" {
				t.Errorf("%s: parameter %s is there and empty", name, key)
			}
		}
		if _, there := parameters["cloud_cfg"]; there != (request.FirstBoot == registry.FirstBootCloudInit) {
			t.Errorf("%s: cloud_cfg is there: %v", name, there)
		}
		if parameters["phone_home_url"] != url+"/phone-home" || !strings.HasSuffix(parameters["metadata_url"], "/") {
			t.Errorf("%s: %q, %q", name, parameters["phone_home_url"], parameters["metadata_url"])
		}
	}
}

// Documents are the same at every run: they are compared, hashed and frozen.
func TestDocumentsAreStable(t *testing.T) {
	for name, request := range requests(t) {
		first, err := Render(request)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if again, _ := Render(request); fmt.Sprint(again) != fmt.Sprint(first) {
				t.Fatalf("%s differs from run to run", name)
			}
		}
	}
}
