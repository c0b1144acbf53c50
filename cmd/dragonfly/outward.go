package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"dragonfly/registry"
)

// outward is what is fetched over when an operator names the URL: images, their sums
// and SSH keys. Servers of the operator's own may be anywhere, on this host too; but
// never where a cloud tells its machines their passwords, since what is imported can
// be read by whoever may boot.
func outward() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: refuseMetadata}
	transport.DialContext = dialer.DialContext
	return transport
}

// refuseMetadata is a [net.Dialer.Control]: it sees the address itself, whatever name
// or redirect led to it.
func refuseMetadata(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if addr := to.Addr().Unmap(); isMetadata(addr) {
		return fmt.Errorf("%s is an address of the link itself, or of a cloud's metadata, which is not fetched from: %w", addr, registry.ErrForbidden)
	}
	return nil
}

// isMetadata reports whether clouds have their metadata there: link-local addresses
// (RFC 3927, RFC 4291 section 2.5.6), and the ones of Amazon over IPv6, of Alibaba and
// of Azure.
func isMetadata(addr netip.Addr) bool {
	switch addr.WithZone("").String() {
	case "fd00:ec2::254", "100.100.100.200", "168.63.129.16":
		return true
	}
	return addr.IsLinkLocalUnicast()
}
