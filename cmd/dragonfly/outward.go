package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
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
// (RFC 3927, RFC 4291 section 2.5.6), and those of [metadataElsewhere].
func isMetadata(addr netip.Addr) bool {
	addr = addr.WithZone("")
	return addr.IsLinkLocalUnicast() || slices.ContainsFunc(metadataElsewhere(), func(p netip.Prefix) bool { return p.Contains(addr) })
}

// metadataElsewhere is where clouds have it that is not link-local.
func metadataElsewhere() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"fd00:ec2::/32",                            // Amazon: metadata, and the credentials of pods
		"fd20:ce::254/128",                         // Google
		"168.63.129.16/32",                         // Azure
		"192.0.0.192/32", "fd00:c1::a9fe:a9fe/128", // Oracle
		"100.100.100.200/32", "fd00:100::100:200/128", // Alibaba
		"fd00:42::42/128",       // Scaleway
		"fd00:a9fe:a9fe::1/128", // Linode
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
