package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
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

// holderOf is a process that has a local port open, as "dnsmasq (pid 123)"; empty where
// none can be seen.
func holderOf(proto string, port int) string {
	if held := holders()[proto+" "+strconv.Itoa(port)]; len(held) > 0 {
		return held[0]
	}
	return ""
}
