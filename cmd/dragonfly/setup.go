package main

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// offerSetup tells how to make the first account, while there is none. The link
// is the one secret that is ever logged: whoever reads this log may make that
// account, and afterwards it opens nothing. It is behind a #, which browsers keep
// to themselves.
func (a *appliance) offerSetup(ctx context.Context) {
	if any, err := a.accounts.Any(ctx); err != nil || any {
		return
	}
	base := strings.TrimSuffix(a.cfg.PublicURL, "/")
	if base == "" {
		base = "http://" + net.JoinHostPort(reachableHost(a.cfg.Host), strconv.Itoa(int(a.ports.httpPort())))
	}
	link := base + "/setup#" + a.accounts.SetupToken()
	a.log.Info("no account exists yet: the UI and the API answer this host only; open this link once to make the first account, or run: dragonfly user create NAME", "link", link)
}

// reachableHost is host, or where that is every address the first of this host
// that others can reach.
func reachableHost(host string) string {
	if addr, err := netip.ParseAddr(host); host != "" && (err != nil || !addr.IsUnspecified()) {
		return host
	}
	addrs, _ := net.InterfaceAddrs() // none: the loopback address will do
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && prefix.Addr().IsGlobalUnicast() {
			return prefix.Addr().String()
		}
	}
	return "127.0.0.1"
}
