package agent

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
)

func TestRender(t *testing.T) {
	view := View{
		Name: "amber-fox", State: "ready", Server: "http://10.0.0.2:3000", Doing: "waiting for instructions",
		Ports: []Port{
			{Name: "eth0", MAC: mac, Link: true, Address: netip.MustParsePrefix("10.0.0.7/24")},
			{Name: "eth1", MAC: registry.MAC{0x52, 0x54, 0, 0x77, 0, 2}},
			{Name: "eth2", MAC: registry.MAC{0x52, 0x54, 0, 0x77, 0, 3}, Link: true},
			{Name: "eth3", MAC: registry.MAC{0x52, 0x54, 0, 0x77, 0, 4}, Link: true, Problem: "no address by DHCP (try 2): timeout"},
		},
		Missing: []string{"a driver for the network device 10ec:8139 at PCI 0000:00:03.0"},
		Problem: "ask for instructions: connection refused\x1b[2J",
	}
	golden(t, "screen.txt", []byte(view.Render()+View{Doing: "looking for hardware"}.Render()))
}

func TestConsolePagesClearScreensOnly(t *testing.T) {
	var line, tty bytes.Buffer
	c := NewConsole([]io.Writer{&line}, []io.Writer{&tty})
	c.Page("page\n")
	if _, err := c.Write([]byte("log\n")); err != nil {
		t.Fatal(err)
	}
	if line.String() != "page\nlog\n" {
		t.Errorf("serial line %q", line.String())
	}
	if tty.String() != "\x1b[H\x1b[2Jpage\nlog\n" {
		t.Errorf("screen %q", tty.String())
	}
}

func TestScreenDrawsOnceForManyChangesAndNotWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		s := newScreen(NewConsole([]io.Writer{&out}, nil))
		var wg sync.WaitGroup
		wg.Go(func() { s.run(ctx) })
		s.doing("one")
		s.doing("two")
		time.Sleep(time.Second)
		s.doing("two")
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		if got := strings.Count(out.String(), " Dragonfly\n"); got != 1 || !strings.Contains(out.String(), "two") {
			t.Errorf("drew %d times:\n%s", got, out.String())
		}
	})
}

func TestPortsWithoutLinkAreMissing(t *testing.T) {
	a := &agent{screen: newScreen(NewConsole(nil, nil)), online: make(chan struct{})}
	missing := func() string { return strings.Join(a.screen.view.Missing, "; ") }
	a.showMissing(registry.Hardware{NICs: []registry.NIC{{PCI: "0000:01:00.0", PCIID: "14e4:16d7"}}})
	if want := noPort + "; a driver for the network device 14e4:16d7 at PCI 0000:01:00.0"; missing() != want {
		t.Errorf("missing %q, want %q", missing(), want)
	}
	a.showMissing(registry.Hardware{NICs: []registry.NIC{{Name: "eth0", MAC: mac}}})
	a.portsChanged([]Port{{Name: "eth0", MAC: mac}})
	a.portsChanged([]Port{{Name: "eth0", MAC: mac}})
	if missing() != noLink {
		t.Errorf("missing %q, want %q", missing(), noLink)
	}
	a.portsChanged([]Port{{Name: "eth0", MAC: mac, Link: true}})
	if missing() != "" {
		t.Errorf("missing %q", missing())
	}
}
