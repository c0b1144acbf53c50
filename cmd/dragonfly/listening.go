package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// listening are the ports that this server has open, and those that network boots need
// where it has not; each with the other programs of this host that have it open.
func (a *appliance) listening() (all []registry.NetworkPort) {
	tcp := func(l net.Listener, what string) {
		if l == nil {
			return
		}
		addr := l.Addr().(*net.TCPAddr)
		on := addr.IP.String()
		if addr.IP.IsUnspecified() {
			on = "*"
		}
		all = append(all, registry.NetworkPort{Port: addr.Port, Protocol: "tcp", On: on, For: what, Ours: true})
	}
	tcp(a.ports.http, "HTTP: the UI, the API and what machines boot")
	tcp(a.ports.cluster, "the other members of the cluster")
	services := []registry.NetworkPort{{Port: 67, For: "proxyDHCP"}, {Port: tftpPort, For: "TFTP"}, {Port: 4011, For: "proxyDHCP, asked once more"}}
	for _, p := range services {
		p.Protocol, p.On = "udp", "*"
		if len(a.ports.boot) == 0 {
			all = append(all, p)
		}
		for _, b := range a.ports.boot {
			p.On, p.Ours = b.on.Name, true
			all = append(all, p)
		}
	}
	held := holders()
	for i, p := range all {
		all[i].Others = slices.DeleteFunc(held[p.Protocol+" "+strconv.Itoa(p.Port)], isThis)
	}
	return all
}

// isThis reports whether a holder is this process.
func isThis(holder string) bool {
	return strings.HasSuffix(holder, fmt.Sprintf("(pid %d)", os.Getpid()))
}

// holders are the processes of this host by the ports they have open, such as
// "udp 67": "dnsmasq (pid 123)", as far as they can be seen.
func holders() map[string][]string {
	ports := map[string]string{} // by the link to a socket
	for _, proto := range []string{"tcp", "udp"} {
		for _, table := range []string{proto, proto + "6"} {
			for inode, port := range portsIn("/proc/net/"+table, proto == "tcp") {
				ports["socket:["+inode+"]"] = fmt.Sprint(proto, " ", port)
			}
		}
	}
	held := map[string][]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || ports[target] == "" {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		text := fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		if port := ports[target]; !slices.Contains(held[port], text) {
			held[port] = append(held[port], text)
		}
	}
	return held
}

// portsIn reads a table of the kernel's sockets: local ports by inodes, of those that
// listen only where that is asked for.
func portsIn(path string, listen bool) map[string]uint64 {
	ports := map[string]uint64{}
	data, err := os.ReadFile(path)
	if err != nil {
		return ports // no IPv6
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line) // sl local_address rem_address st ... inode is the tenth
		if len(f) < 10 || listen && f[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			ports[f[9]] = port
		}
	}
	return ports
}
