package agent

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"dragonfly/registry"
)

func TestReadGrant(t *testing.T) {
	for name, test := range map[string]struct {
		options []dhcpv4.Modifier
		want    grant
		fails   bool
	}{
		"full": {
			[]dhcpv4.Modifier{
				dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 7)), dhcpv4.WithNetmask(net.CIDRMask(22, 32)), dhcpv4.WithLeaseTime(600),
				dhcpv4.WithRouter(net.IPv4(10, 0, 0, 1)), dhcpv4.WithOption(dhcpv4.OptHostName("rack1-7\x1b")),
			},
			grant{netip.MustParsePrefix("10.0.0.7/22"), netip.MustParseAddr("10.0.0.1"), "rack1-7", 10 * time.Minute, nil}, false,
		},
		"bare": {
			[]dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 7))},
			grant{netip.MustParsePrefix("10.0.0.7/24"), netip.Addr{}, "", time.Hour, nil}, false,
		},
		"no address": {nil, grant{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ack, err := dhcpv4.New(test.options...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readGrant(&nclient4.Lease{ACK: ack})
			got.lease = nil
			if (err != nil) != test.fails || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

func TestTheBootPortIsShownAndServedFirst(t *testing.T) {
	second := registry.MAC{0x52, 0x54, 0, 0x77, 0, 2}
	var names []string
	n := &network{boot: mac, changed: func(all []Port) {
		names = nil
		for _, p := range all {
			names = append(names, p.Name)
		}
	}}
	n.ports = map[int]*port{
		2: {Port: Port{Name: "eth0", MAC: second}},
		3: {Port: Port{Name: "eth1", MAC: mac}},
		4: {Port: Port{Name: "eth2", MAC: registry.MAC{2}}},
	}
	n.show()
	if want := []string{"eth1", "eth0", "eth2"}; !slices.Equal(names, want) {
		t.Errorf("shown as %q, want %q", names, want)
	}
	synctest.Test(t, func(t *testing.T) {
		n.first = make(chan struct{})
		start := time.Now()
		n.waitTurn(context.Background(), mac)
		if time.Since(start) != 0 {
			t.Error("the boot port waits")
		}
		n.waitTurn(context.Background(), second)
		if time.Since(start) != bootFirst {
			t.Errorf("another port waited %v", time.Since(start))
		}
	})
}
