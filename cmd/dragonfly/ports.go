package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// listenTCP binds the HTTP port. A taken port is an error that names the process
// which holds it, where that can be seen.
func listenTCP(host string, port int) (net.Listener, error) {
	l, err := listenImpatiently(net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, explainTaken(err, "tcp", port)
	}
	return l, nil
}

// explainTaken adds to the error of a port that could not be bound, which is one
// of ports, what to do; and of one that is taken, which process holds it.
func explainTaken(err error, proto string, ports ...int) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; run as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; no interface of this host has that address: `ip -brief address` lists those there are", err)
	case !errors.Is(err, syscall.EADDRINUSE):
		return err
	}
	for _, port := range ports {
		if holder := holderOf(proto, port); holder != "" {
			remedy := "stop it or choose another port"
			if proto == "udp" {
				remedy = "stop it, or have it leave the port alone: machines ask on no other one"
			}
			return fmt.Errorf("%w: %s port %d is held by %s; %s", err, proto, port, holder, remedy)
		}
	}
	return fmt.Errorf("%w; `ss -lnp` run as root shows by whom", err)
}

// holderOf finds the process that has a local port bound, as "dnsmasq (pid 123)":
// the socket's inode in /proc/net, then the process with that file open.
func holderOf(proto string, port int) string {
	inodes := map[string]bool{}
	for _, table := range []string{proto, proto + "6"} {
		data, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line) // sl local_address rem_address st ... inode is the tenth
			if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && (proto == "udp" || f[3] == "0A") {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && inodes[target] {
			pid := strings.Split(link, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}
