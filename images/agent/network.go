package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dragonfly/registry"
)

// Port is a network port as the operator is shown it.
type Port struct {
	Name     string
	MAC      registry.MAC
	Link     bool
	Address  netip.Prefix // zero without a lease
	Hostname string       // as the lease names the machine
	Problem  string       // why there is no lease
}

// bootFirst is how long the other ports leave the network to the port the
// machine booted from.
const bootFirst = 2 * time.Second

// network brings up every port and keeps a lease for each that has a link. It
// follows the kernel's link messages; it never polls.
type network struct {
	root tree
	log  *slog.Logger
	boot registry.MAC // whose port goes first; zero: all at once

	resolvers resolvers

	mu      sync.Mutex
	ports   map[int]*port // by interface index
	changed func([]Port)
	first   chan struct{} // closed with the first lease
	once    sync.Once
}

// port is one port with its running client.
type port struct {
	Port
	stop context.CancelFunc // ends its DHCP client; nil while there is none
}

// run works until ctx ends and calls changed with all ports after every change,
// one call at a time.
func (n *network) run(ctx context.Context, changed func([]Port)) error {
	n.ports, n.changed, n.first = map[int]*port{}, changed, make(chan struct{})
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		if err := n.follow(ctx, &clients); ctx.Err() != nil || err != nil {
			return err
		}
		// As it does when there were more messages than the kernel keeps.
		n.log.Warn("the kernel ended its messages about links; asking anew")
		pause(ctx, time.Second)
		n.prune()
	}
}

// follow takes in how all ports are, and what happens to them until ctx or the messages
// end.
func (n *network) follow(ctx context.Context, clients *sync.WaitGroup) error {
	subscribed, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan netlink.LinkUpdate, 64)
	err := netlink.LinkSubscribeWithOptions(updates, subscribed.Done(), netlink.LinkSubscribeOptions{
		ListExisting:  true,
		ErrorCallback: func(err error) { n.log.Debug("link messages", "err", err) },
	})
	if err != nil {
		return err
	}
	for update := range updates {
		n.link(ctx, clients, update)
	}
	return nil
}

// prune lets go of ports that went away unheard.
func (n *network) prune() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for index, p := range n.ports {
		if !n.root.exists("sys/class/net", path.Base(p.Name)) {
			p.halt()
			delete(n.ports, index)
		}
	}
	n.show()
}

// link follows one message about one port.
func (n *network) link(ctx context.Context, clients *sync.WaitGroup, update netlink.LinkUpdate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	attrs := update.Attrs()
	p := n.ports[attrs.Index]
	if update.Header.Type == unix.RTM_DELLINK {
		p.halt()
		delete(n.ports, attrs.Index)
		n.show()
		return
	}
	if p == nil {
		if p = n.adopt(update.Link); p == nil {
			return
		}
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(update.Link); err != nil {
			p.Problem = "cannot be brought up: " + err.Error()
		}
	}
	link := attrs.RawFlags&unix.IFF_LOWER_UP != 0
	switch {
	case link && p.stop == nil:
		n.log.Info("link", "port", p.Name, "mac", p.MAC)
		var lease context.Context
		lease, p.stop = context.WithCancel(ctx)
		clients.Go(func() { n.keepLease(lease, attrs.Index) })
	case !link:
		p.halt()
		p.Address = netip.Prefix{}
	}
	p.Link = link
	n.show()
}

func (p *port) halt() {
	if p != nil && p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// adopt takes a port of a device; loopback and tunnels have none.
func (n *network) adopt(link netlink.Link) *port {
	attrs := link.Attrs()
	if !n.root.exists("sys/class/net", path.Base(attrs.Name), "device") || len(attrs.HardwareAddr) != 6 {
		return nil
	}
	p := &port{Port: Port{Name: attrs.Name, MAC: registry.MAC(attrs.HardwareAddr)}}
	n.ports[attrs.Index] = p
	return p
}

// update changes a port and shows the change; a port that has gone is left alone.
func (n *network) update(index int, change func(*Port)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.ports[index]; p != nil && p.stop != nil {
		change(&p.Port)
		n.show()
	}
}

// show tells of all ports, the one the machine booted from first.
func (n *network) show() {
	all := make([]Port, 0, len(n.ports))
	for _, p := range n.ports {
		all = append(all, p.Port)
	}
	slices.SortFunc(all, func(a, b Port) int {
		if (a.MAC == n.boot) != (b.MAC == n.boot) {
			if a.MAC == n.boot {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	n.changed(all)
}

// isBoot reports whether the port may go first.
func (n *network) isBoot(mac registry.MAC) bool {
	return n.boot == mac || n.boot == registry.MAC{}
}

// waitTurn lets the boot port go first, for a while.
func (n *network) waitTurn(ctx context.Context, mac registry.MAC) {
	if n.isBoot(mac) {
		return
	}
	select {
	case <-n.first:
	case <-time.After(bootFirst):
	case <-ctx.Done():
	}
}
