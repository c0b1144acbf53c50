package agent

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

func TestResolvers(t *testing.T) {
	ack := func(options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
		p, err := dhcpv4.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range options {
			p.UpdateOption(o)
		}
		return p
	}
	r := resolvers{file: filepath.Join(t.TempDir(), "etc/resolv.conf")}
	for _, step := range []struct {
		index int
		first bool
		ack   *dhcpv4.DHCPv4
		want  string
	}{
		{2, false, ack(), ""},
		{2, false, ack(dhcpv4.OptDNS(net.IPv4(10, 0, 0, 1), net.IPv4zero), dhcpv4.OptDomainName("lab.example")), "search lab.example\nnameserver 10.0.0.1\n"},
		{3, true, ack(dhcpv4.OptDNS(net.IPv4(10, 1, 0, 1), net.IPv4(10, 0, 0, 1)), dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"a.example", "b.example"}})),
			"search a.example b.example lab.example\nnameserver 10.1.0.1\nnameserver 10.0.0.1\n"},
		{2, false, ack(dhcpv4.OptDNS(net.IPv4(1, 1, 1, 1), net.IPv4(2, 2, 2, 2), net.IPv4(3, 3, 3, 3)), dhcpv4.OptDomainName("x\nnameserver 6.6.6.6")),
			"search a.example b.example\nnameserver 10.1.0.1\nnameserver 10.0.0.1\nnameserver 1.1.1.1\n"},
	} {
		if err := r.put(step.index, step.first, readResolver(step.ack)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(r.file); err != nil || string(got) != step.want {
			t.Errorf("got %q, %v; want %q", got, err, step.want)
		}
	}
}
