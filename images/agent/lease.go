package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dragonfly/registry"
)

// vendorClass is what we call ourselves in option 60 (RFC 2132 section 9.13).
const vendorClass = "dragonfly-agent"

// grant is what a DHCP server gave a port.
type grant struct {
	Address  netip.Prefix
	Router   netip.Addr
	Hostname string
	For      time.Duration
	lease    *nclient4.Lease
}

// keepLease asks for an address until there is one, and keeps it alive, until
// ctx ends because the link or the agent did.
func (n *network) keepLease(ctx context.Context, index int) {
	p, ok := n.port(index)
	if !ok {
		return
	}
	n.waitTurn(ctx, p.MAC)
	var current grant
	for try := 1; ctx.Err() == nil; try++ {
		granted, err := n.ask(ctx, p.Name, current.lease)
		if err == nil {
			err = n.configure(index, current, granted)
		}
		if err != nil {
			current = n.refused(ctx, index, current, fmt.Errorf("no address by DHCP (try %d): %w", try, err))
			continue
		}
		current, try = granted, 0
		n.log.Info("address", "port", p.Name, "address", granted.Address, "router", granted.Router)
		n.once.Do(func() { close(n.first) })
		n.update(index, func(p *Port) {
			p.Address, p.Hostname, p.Problem = granted.Address, granted.Hostname, ""
		})
		if err := n.resolvers.put(index, p.MAC == n.boot, readResolver(granted.lease.ACK)); err != nil {
			n.log.Warn("name servers", "err", err)
		}
		pause(ctx, max(granted.For/2, time.Minute)) // T1, RFC 2131 section 4.4.5
	}
}

// refused shows why there is no lease and waits a little. What is asked for next
// is a new lease, for a server that forgot the old one may not answer for it.
func (n *network) refused(ctx context.Context, index int, current grant, err error) grant {
	if ctx.Err() != nil {
		return current
	}
	n.log.Warn("address", "err", err)
	n.update(index, func(p *Port) { p.Problem = err.Error() })
	pause(ctx, 2*time.Second)
	current.lease = nil
	return current
}

func (n *network) port(index int) (Port, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.ports[index]
	if p == nil {
		return Port{}, false
	}
	return p.Port, true
}

// ask takes one lease, or renews old where there is one. The first answer is
// waited for 1 s, then 2, 4 and 8 s: a switch may hold a fresh link back for 30
// s (spanning tree), and whoever calls asks again.
func (n *network) ask(ctx context.Context, name string, old *nclient4.Lease) (grant, error) {
	client, err := nclient4.New(name, nclient4.WithTimeout(time.Second), nclient4.WithRetry(4))
	if err != nil {
		return grant{}, err
	}
	defer client.Close()
	options := []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(vendorClass)),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionHostName,
			dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName, dhcpv4.OptionDNSDomainSearchList),
	}
	n.log.Info("ask for an address", "port", name) // before the first random number, which may block
	var lease *nclient4.Lease
	if old != nil {
		lease, err = client.Renew(ctx, old, options...)
	} else {
		lease, err = client.Request(ctx, options...)
	}
	if err != nil {
		return grant{}, err
	}
	return readGrant(lease)
}

// readGrant takes from an ACK what we use.
func readGrant(lease *nclient4.Lease) (grant, error) {
	ack := lease.ACK
	addr, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || addr.IsUnspecified() {
		return grant{}, errors.New("the DHCP server gave no address")
	}
	bits := 24
	if mask := ack.SubnetMask(); mask != nil {
		if ones, size := mask.Size(); size == 32 {
			bits = ones
		}
	}
	g := grant{
		Address: netip.PrefixFrom(addr, bits), Hostname: clean(ack.HostName()),
		For: ack.IPAddressLeaseTime(time.Hour), lease: lease,
	}
	if routers := ack.Router(); len(routers) > 0 {
		g.Router, _ = netip.AddrFromSlice(routers[0].To4())
	}
	return g, nil
}

// configure sets the address and the way out. The address stays until the next
// replaces it: a machine whose DHCP server is away for a while keeps working.
func (n *network) configure(index int, old, g grant) error {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	if old.Address.IsValid() && old.Address != g.Address {
		_ = netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(old.Address)})
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(g.Address)}); err != nil {
		return fmt.Errorf("set address %s: %w", g.Address, err)
	}
	if !g.Router.IsValid() {
		return nil
	}
	route := &netlink.Route{
		LinkIndex: index, Gw: g.Router.AsSlice(), Priority: 1000 + index,
		Flags: unix.RTNH_F_ONLINK, // some networks give a router outside the subnet
	}
	if registry.MAC(link.Attrs().HardwareAddr) == n.boot {
		route.Priority = 100 // the way we came is known to work
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("set router %s: %w", g.Router, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
