package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// bootInterface is one that network boots are answered on.
type bootInterface struct {
	Name string
	Addr netip.Addr // the first IPv4 address; what clients are told to come to
}

func (b bootInterface) String() string { return b.Name + " " + b.Addr.String() }

// bootInterfaces returns the interfaces named; with none named, every one that
// is up, has an IPv4 address and leads to real machines.
func bootInterfaces(names []string) ([]bootInterface, error) {
	if len(names) == 0 {
		return defaultInterfaces()
	}
	var found []bootInterface
	for _, name := range names {
		nic, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("boot interface %q: there is none of that name; `ip -brief address` lists them", name)
		}
		addr, ok := firstIPv4(nic)
		if !ok {
			return nil, fmt.Errorf("boot interface %s has no IPv4 address: clients could not reach this host; give it one first", name)
		}
		found = append(found, bootInterface{name, addr})
	}
	return found, nil
}

func defaultInterfaces() ([]bootInterface, error) {
	nics, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var found []bootInterface
	for _, nic := range nics {
		if nic.Flags&net.FlagLoopback != 0 || nic.Flags&net.FlagUp == 0 || isVirtual(nic.Name) {
			continue
		}
		if addr, ok := firstIPv4(&nic); ok {
			found = append(found, bootInterface{nic.Name, addr})
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no interface with an IPv4 address to answer network boots on; name one with --boot-interface")
	}
	return found, nil
}

// isVirtual reports whether an interface leads to containers or guests of this
// host only. A bridge that a physical card is part of is a real network.
func isVirtual(name string) bool {
	for _, prefix := range []string{"docker", "veth", "virbr", "vnet", "cni", "flannel", "cali", "kube", "tun", "tap", "wg", "tailscale"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	members, err := os.ReadDir("/sys/class/net/" + name + "/brif")
	if err != nil {
		return false // no bridge
	}
	for _, member := range members {
		if _, err := os.Stat("/sys/class/net/" + member.Name() + "/device"); err == nil {
			return false
		}
	}
	return true
}

func firstIPv4(nic *net.Interface) (netip.Addr, bool) {
	addrs, _ := nic.Addrs() // an interface that vanished has none
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() {
			return prefix.Addr(), true
		}
	}
	return netip.Addr{}, false
}
