package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/boot"
	"dragonfly/boot/dhcp"
	"dragonfly/boot/ipxe"
	"dragonfly/registry"
)

// mountNetwork adds the routes of the network to the API. They are here because what
// they tell is what this program is made of.
func (a *appliance) mountNetwork() {
	huma.Register(a.api, huma.Operation{OperationID: "get-network", Method: http.MethodGet, Path: "/api/v1/network", Tags: []string{"network"},
		Summary:     "Where this server answers network boots, what it answered, and which other DHCP servers there are",
		Description: "It is what this server has in memory: its cluster's others have their own."},
		func(context.Context, *struct{}) (*networkOutput, error) { return &networkOutput{a.network()}, nil })
	huma.Register(a.api, huma.Operation{OperationID: "probe-network", Method: http.MethodPost, Path: "/api/v1/network/probe", Tags: []string{"network"},
		Summary: "Ask which DHCP servers there are",
		Description: "One DHCPDISCOVER is sent on each interface, as firmware does that boots from the network, and answers are waited for for four seconds. " +
			"No address is taken: no REQUEST follows. Servers that do not answer are marked as silent.", Errors: []int{409, 429}},
		func(ctx context.Context, _ *struct{}) (*networkOutput, error) {
			switch err := a.probe(ctx); {
			case errors.Is(err, dhcp.ErrProbed):
				return nil, huma.Error429TooManyRequests(err.Error())
			case err != nil:
				return nil, huma.Error409Conflict(err.Error())
			}
			return &networkOutput{a.network()}, nil
		})
}

type networkOutput struct{ Body registry.Networks }

// errNoBoots is returned where nobody can be asked.
var errNoBoots = errors.New("this server does not answer network boots, and hears no DHCP server: start it with --boot")

// probe asks on every interface which DHCP servers there are, and waits for the answers.
func (a *appliance) probe(ctx context.Context) error {
	if len(a.boot) == 0 {
		return errNoBoots
	}
	failed := make(chan error, len(a.boot))
	for _, b := range a.boot {
		go func() {
			nic, err := net.InterfaceByName(b.on)
			if err == nil && len(nic.HardwareAddr) != len(registry.MAC{}) {
				err = fmt.Errorf("%s has no Ethernet address to ask with", b.on)
			}
			if err == nil {
				err = b.dhcp.Probe(ctx, registry.MAC(nic.HardwareAddr))
			}
			failed <- err
		}()
	}
	var all []error
	for range a.boot {
		all = append(all, <-failed)
	}
	return errors.Join(all...)
}

// network is how this server stands on its networks.
func (a *appliance) network() registry.Networks {
	n := registry.Networks{Interfaces: []registry.NetworkInterface{}, Ports: a.listening(), Boots: map[string]uint64{
		"scripts": a.httpBoots.Scripts.Load(), "files": a.httpBoots.Files.Load(), "refused": a.httpBoots.Refused.Load()}}
	cards := readNeighbours()
	for _, b := range a.boot {
		n.Interfaces = append(n.Interfaces, a.onInterface(b, cards))
	}
	return n
}

func (a *appliance) onInterface(b *bootServer, cards map[netip.Addr]registry.MAC) registry.NetworkInterface {
	n := registry.NetworkInterface{Name: b.on, Address: b.dhcp.Self.Addr.String(), Addresses: []string{}, DHCP: map[string]uint64{}, TFTP: map[string]uint64{},
		Requests: []registry.NetworkRequest{}, Servers: []registry.NetworkServer{}}
	if nic, err := net.InterfaceByName(b.on); err == nil {
		n.Link = nic.Flags&net.FlagRunning != 0
		if len(nic.HardwareAddr) == len(n.Card) {
			n.Card = registry.MAC(nic.HardwareAddr)
		}
		addrs, _ := nic.Addrs() // it may have vanished
		for _, addr := range addrs {
			n.Addresses = append(n.Addresses, addr.String())
		}
	}
	for _, outcome := range dhcp.Outcomes() {
		n.DHCP[outcome.String()] = b.dhcp.Stats.Count(outcome)
	}
	for outcome, count := range b.transfers() {
		n.TFTP[outcome] = count.Load()
	}
	for _, asked := range b.dhcp.Recent() {
		n.Requests = append(n.Requests, requestOf(asked))
	}
	servers, beyond := a.neighbours(b)
	for _, s := range servers {
		if card, known := cards[netip.MustParseAddr(s.Address)]; known {
			s.Card = &card
		}
		n.Servers = append(n.Servers, s)
	}
	n.Beyond = beyond
	if b.deaf != nil {
		n.Deaf = b.deaf.Error()
	}
	n.Problems, n.Hints = judgeNeighbours(b.on, servers)
	return n
}

func requestOf(asked dhcp.Asked) registry.NetworkRequest {
	r := registry.NetworkRequest{At: asked.At, MAC: asked.MAC, Client: asked.Kind.String(), Port: 67, Why: asked.Rule, Times: asked.Times,
		Outcome: strings.ReplaceAll(asked.Outcome.String(), "_", " ")}
	if asked.Kind != boot.Other {
		r.Client += ", " + asked.Arch.String()
	}
	if asked.Via == dhcp.BINL {
		r.Port = 4011
	}
	return r
}

// neighbours are the other DHCP servers on the network of b.
func (a *appliance) neighbours(b *bootServer) (all []registry.NetworkServer, beyond uint64) {
	heard, beyond := b.dhcp.Watch.Neighbours(time.Now())
	members := a.memberHosts()
	for _, n := range heard {
		s := registry.NetworkServer{Address: n.Addr.String(), First: n.First, Last: n.Last, Answers: n.Answers, Chosen: n.Chosen,
			Addresses: n.Gives, Boots: n.Boots, File: n.File, Silent: !n.Fresh(time.Now())}
		// A member is known by its address in the cluster; on this network it may have
		// another one, and is known by what it serves.
		s.Member = slices.Contains(members, s.Address) || len(members) > 1 && !n.Gives && slices.Contains(ipxe.Programs(), n.File)
		all = append(all, s)
	}
	return all, beyond
}

// memberHosts are the addresses of the members of our cluster.
func (a *appliance) memberHosts() (hosts []string) {
	if a.db.node == nil {
		return nil
	}
	for _, m := range a.db.node.Seen() {
		if host, _, err := net.SplitHostPort(m.Address); err == nil {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// judgeNeighbours is what is wrong, and what may be, where these servers are there.
func judgeNeighbours(on string, servers []registry.NetworkServer) (problems, hints []string) {
	var give []string
	for _, s := range servers {
		if s.Silent || s.Member {
			continue
		}
		if s.Boots {
			file := ""
			if s.File != "" {
				file = fmt.Sprintf(" (%s)", s.File)
			}
			problems = append(problems, fmt.Sprintf("the DHCP server %s on %s answers network boots, too%s, so a machine may boot from there instead of from here: "+
				"take the boot file and the boot server (options 66 and 67, next-server and filename; in dnsmasq dhcp-boot and pxe-service) out of its configuration, then look again: `dragonfly network probe`", s.Address, on, file))
		}
		if s.Addresses {
			give = append(give, s.Address)
		}
	}
	if len(give) > 1 {
		hints = append(hints, fmt.Sprintf("%d DHCP servers give out addresses on %s: %s. Unless they share one pool (failover), machines may be given the same address twice, or lose it: switch off all but one.",
			len(give), on, strings.Join(give, ", ")))
	}
	return problems, hints
}

// networkProblems are those of every interface.
func (a *appliance) networkProblems() (all []string) {
	for _, b := range a.boot {
		servers, _ := a.neighbours(b)
		problems, _ := judgeNeighbours(b.on, servers)
		all = append(all, problems...)
	}
	return all
}
