package main

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"dragonfly/boot"
	"dragonfly/boot/dhcp"
	"dragonfly/boot/ipxe"
	"dragonfly/boot/ndp"
	"dragonfly/boot/tftp"
	"dragonfly/registry"
)

const tftpPort = 69

// ports is every socket, bound.
type ports struct {
	http    net.Listener
	control net.Listener
	cluster net.Listener // nil for a host that is not in a cluster
	tink    net.Listener // nil where Tink server's protocol is not served
	boot    []*bootSockets
}

// bootSockets is the sockets that answer network boots on one interface.
type bootSockets struct {
	on   bootInterface
	dhcp dhcp.Sockets
	tftp *net.UDPConn
	ndp  *ndp.Socket // nil where iPXE is left to wait
	slow error       // why ndp is nil, where it should not be

	replies *net.IPConn // hears other DHCP servers; nil where it cannot be had
	deaf    error       // why
}

// bind binds every port of the configuration, or none.
func bind(cfg config) (_ *ports, err error) {
	p := &ports{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.http, err = listenTCP(cfg.Host, cfg.Port); err != nil {
		return nil, err
	}
	if p.control, err = listenControl(cfg.DataDir); err != nil {
		return nil, err
	}
	if p.cluster, err = listenCluster(cfg); err != nil {
		return nil, err
	}
	if p.tink, err = listenTink(cfg.TinkListen); err != nil {
		return nil, err
	}
	if !cfg.Boot {
		return p, nil
	}
	interfaces, err := bootInterfaces(cfg.BootInterfaces)
	if err != nil {
		return nil, err
	}
	for _, on := range interfaces {
		service, err := bindBoot(on, cfg.HurryIPXE)
		if err != nil {
			return nil, err
		}
		p.boot = append(p.boot, service)
	}
	return p, nil
}

// bindBoot opens the sockets of one interface. Without IPv6 boots take a few
// seconds longer, which is no reason not to start.
func bindBoot(on bootInterface, hurry bool) (*bootSockets, error) {
	sockets, err := dhcp.Listen(on.Name)
	if err != nil {
		return nil, explainTaken(err, "udp", 67, 4011)
	}
	conn, err := tftp.Listen(netip.AddrPortFrom(on.Addr, tftpPort))
	if err != nil {
		sockets.Close()
		return nil, explainTaken(err, "udp", tftpPort)
	}
	b := &bootSockets{on: on, dhcp: sockets, tftp: conn}
	b.replies, b.deaf = dhcp.ListenReplies(on.Name)
	if hurry {
		b.ndp, b.slow = ndp.Listen(on.Name)
	}
	return b, nil
}

func (p *ports) close() {
	for _, l := range []net.Listener{p.http, p.control, p.cluster, p.tink} {
		if l != nil {
			l.Close()
		}
	}
	for _, b := range p.boot {
		b.dhcp.Close()
		b.tftp.Close()
		if b.ndp != nil {
			b.ndp.Close()
		}
		if b.replies != nil {
			b.replies.Close()
		}
	}
}

// httpPort is the port that HTTP is really served on, for port 0 picks one.
func (p *ports) httpPort() uint16 { return uint16(p.http.Addr().(*net.TCPAddr).Port) }

// bootServer answers network boots on one interface.
type bootServer struct {
	on   string
	dhcp *dhcp.Server
	tftp *tftp.Server
	conn *net.UDPConn // of tftp
	ndp  *ndp.Server  // may be nil
	deaf error        // why other DHCP servers cannot be heard; nil where they can
}

// newBootServers makes the servers of every boot interface.
func (a *appliance) newBootServers() (all []*bootServer) {
	for _, b := range a.ports.boot {
		log := a.log.With("interface", b.on.Name)
		server := &bootServer{on: b.on.Name, conn: b.tftp, deaf: b.deaf,
			dhcp: &dhcp.Server{Sockets: b.dhcp, Self: dhcp.Self{Addr: b.on.Addr, HTTPPort: a.ports.httpPort()},
				Policy: a.policy(), Sight: a.registry.Sight, Log: log, Replies: b.replies},
			tftp: &tftp.Server{Dir: filepath.Join(a.cfg.ImageDir, "nbp"), Programs: ipxe.Programs(),
				Sight: a.registry.Sight, Log: log, Autoexec: a.autoexec},
		}
		if b.slow != nil {
			log.Info("iPXE waits for an IPv6 router at every boot, since it cannot be told that there is none", "err", b.slow)
		}
		if b.deaf != nil {
			log.Warn("other DHCP servers are not heard, but where a client names them", "err", b.deaf)
		}
		if b.ndp != nil {
			server.ndp = &ndp.Server{Socket: b.ndp, Log: log}
			server.dhcp.Answered = server.expect
		}
		all = append(all, server)
	}
	return all
}

// expect has the iPXE that was just answered told that there is no IPv6 router.
func (b *bootServer) expect(c boot.Client) {
	if c.Kind == boot.IPXE {
		b.ndp.Expect(c.MAC)
	}
}

// serve answers until ctx ends.
func (b *bootServer) serve(ctx context.Context, group *errgroup.Group) {
	if b.ndp != nil {
		group.Go(func() error { return b.ndp.Serve(ctx) })
	}
	group.Go(func() error { return b.dhcp.Serve(ctx) })
	group.Go(func() error { return b.tftp.Serve(ctx, b.conn) })
}

func (a *appliance) policy() boot.Policy { return boot.Policy{IPXEROM: boot.IPXEROM(a.cfg.IPXEROM)} }

func (a *appliance) autoexec(local netip.Addr) []byte {
	script, err := ipxe.Autoexec("http://" + netip.AddrPortFrom(local, a.ports.httpPort()).String())
	if err != nil {
		a.log.Error("boot script", "err", err)
	}
	return script
}

// bootFiles serves everything under /boot/.
func (a *appliance) bootFiles() *ipxe.Handler {
	return &ipxe.Handler{Dir: a.cfg.ImageDir, Lookup: a.registry.Lookup, Token: a.tokens.Boot, Boots: a.registry,
		Sight: a.registry.Sight, Tinkerbell: a.cfg.osie(), Log: a.log, Stats: &a.httpBoots}
}

// neighbours is the kernel's neighbour table, read again when it is older than
// [neighboursFor]. It is for one goroutine.
type neighbours struct {
	at    time.Time
	cards map[netip.Addr]registry.MAC
}

const neighboursFor = 200 * time.Millisecond

// card is the hardware address of an IP address on one of our links; the zero
// address where it is behind a router.
func (n *neighbours) card(addr netip.Addr) registry.MAC {
	if now := time.Now(); n.cards == nil || now.Sub(n.at) > neighboursFor {
		n.at, n.cards = now, readNeighbours()
	}
	return n.cards[addr]
}

func readNeighbours() map[netip.Addr]registry.MAC {
	cards := map[netip.Addr]registry.MAC{}
	list, _ := netlink.NeighList(0, netlink.FAMILY_ALL) // of IPv4 and IPv6; without it nobody is known
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) == len(registry.MAC{}) {
			cards[ip.Unmap()] = registry.MAC(n.HardwareAddr)
		}
	}
	return cards
}
