package main

import (
	"io"
	"path/filepath"
)

// startSite runs the site's own DHCP server: it gives addresses and nothing
// else, as the server of a network that knows nothing of Dragonfly does.
func startSite(n network, dir string, log io.Writer) (*process, error) {
	return start("dnsmasq", log, inside(n.site, "dnsmasq",
		"--no-daemon", "--conf-file=/dev/null", "--user=root", "--log-dhcp",
		"--port=0", // no DNS
		"--interface=eth0", "--bind-interfaces",
		"--dhcp-range=10.77.0.100,10.77.0.250,255.255.255.0,10m",
		"--dhcp-option=option:router,"+siteAddress,
		"--dhcp-leasefile="+filepath.Join(dir, "leases"),
		"--dhcp-authoritative", "--no-ping")...)
}

// startCapture keeps the start of every packet for whoever has to find out why
// a boot failed.
func startCapture(n network, dir string, log io.Writer) (*process, error) {
	return start("tcpdump", log, inside(n.lab, "tcpdump",
		"-i", "br0", "-s", "400", "-U", "-Z", "root", "-w", filepath.Join(dir, "wire.pcap"))...)
}
