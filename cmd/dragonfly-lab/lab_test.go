package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func TestConsole(t *testing.T) {
	var log bytes.Buffer
	c := newConsole(&log)
	c.now = func() time.Time { return powerOn }
	boot := "\x1bcSeaBIOS\r\n" + strings.Repeat("drawing without an end ", 1000) + "\r\n" +
		"[    0.0] Command line: dragonfly.url=http://10.77.0.2:3000\r\n" +
		"dragonfly: registered as fluent-cape in 0.94s\r\n" +
		"dragonfly: registered as fluent-cape in 0.50s\r\n" // after a reboot
	for piece := range slices.Chunk([]byte(boot), 7) { // a serial line comes in pieces
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	started, guest := c.agent()
	if want := powerOn.Add(-940 * time.Millisecond); !started.Equal(want) || guest != 940*time.Millisecond {
		t.Errorf("started %v, took %v; want %v and 940ms", started, guest, want)
	}
	if log.String() != boot {
		t.Error("the log is not what the machine printed")
	}
}

func TestParseKernelLine(t *testing.T) {
	for _, c := range []struct{ script, want, err string }{
		{"#!ipxe\nset x http://s\nkernel ${x}/vmlinuz?mac=1 initrd=initramfs.zst dragonfly.token=t console=ttyS0,115200 || goto again\nboot\n",
			"dragonfly.token=t console=ttyS0,115200", ""},
		{"kernel --name agent http://s/vmlinuz panic=60", "panic=60", ""},
		{"kernel --name", "", `the script starts no kernel: "kernel --name"`},
		{"#!ipxe\nsanboot --drive 0x80\n", "", `the script starts no kernel: "#!ipxe\nsanboot --drive 0x80\n"`},
		{"", "", `the script starts no kernel: ""`},
	} {
		got, err := parseKernelLine(c.script)
		if got != c.want || errorText(err) != c.err {
			t.Errorf("%q: %q and error %q, want %q and %q", c.script, got, errorText(err), c.want, c.err)
		}
	}
}

func TestAbandoned(t *testing.T) {
	running := func(pid int) bool { return pid == 100 }
	for name, want := range map[string]bool{
		"dflab-99-bios-lab":                     true,
		"dflab-99-bios-1234567":                 true,
		"dflab-100-bios-lab":                    false, // its lab still runs
		"dflab-bios":                            false,
		"dflab-99x-lab":                         false,
		"xdflab-99-lab":                         false,
		"dflab-99999999999999999999999-overrun": false,
		"eth0":                                  false,
	} {
		if got := abandoned(name, running); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	if err != nil || len(all) != len(scenarios()) {
		t.Errorf("without names: %d scenarios, %v", len(all), err)
	}
	some, err := choose([]string{"uefi", "bios"})
	if err != nil || len(some) != 2 || some[0].Name != "bios" || some[1].Name != "uefi" {
		t.Errorf("uefi and bios: %+v, %v", some, err)
	}
	if _, err := choose([]string{"bois"}); errorText(err) !=
		`--only "bois": want some of bios, bios-ipxe, uefi, http, kernel, full-nvme, reboot, deploy-bios, deploy-uefi, once-bios, once-uefi, deploy-faults, deploy-pair, deploy-again, deploy-grub, deploy-rule, deploy-worker, tinkerbell, installer` {
		t.Errorf("a wrong name: %v", err)
	}
}

func TestVerify(t *testing.T) {
	m := newVM(1, seaBIOS)
	good := func() api.Machine {
		return api.Machine{State: registry.Ready, Online: true, MACs: []registry.MAC{m.MAC}, Hardware: &registry.Hardware{
			System: registry.System{Vendor: m.Vendor, Product: m.Product, Serial: m.Serial, UUID: m.UUID},
			Disks:  []registry.Disk{{Name: "vda", Serial: m.Disks[0].Serial, Bytes: m.Disks[0].Bytes}},
		}}
	}
	if err := m.verify(good()); err != nil {
		t.Errorf("the machine as it was booted: %v", err)
	}
	for _, c := range []struct {
		want  string
		spoil func(*api.Machine)
	}{
		{"state is installed, want ready", func(g *api.Machine) { g.State = registry.Installed }},
		{"online is false, want true", func(g *api.Machine) { g.Online = false }},
		{"hardware addresses are [], want 52:54:00:77:00:01", func(g *api.Machine) { g.MACs = nil }},
		{"hardware is missing", func(g *api.Machine) { g.Hardware = nil }},
		{"serial is X, want LAB0001", func(g *api.Machine) { g.Hardware.System.Serial = "X" }},
		{"disk LAB-DISK-1 has 5 bytes, want 4294967296", func(g *api.Machine) { g.Hardware.Disks[0].Bytes = 5 }},
		{"no disk has the serial number LAB-DISK-1", func(g *api.Machine) { g.Hardware.Disks[0].Serial = "" }},
		{"number of disks is 2, want 1", func(g *api.Machine) { g.Hardware.Disks = append(g.Hardware.Disks, registry.Disk{}) }},
	} {
		got := good()
		c.spoil(&got)
		if err := m.verify(got); !strings.Contains(errorText(err), c.want) {
			t.Errorf("error %q, want %q in it", errorText(err), c.want)
		}
	}
}

func TestDemoLine(t *testing.T) {
	names := map[registry.MAC]string{newVM(0xa, seaBIOS).MAC: "rack1-a"}
	boot := at(12, "dhcp: UEFI x86-64 firmware")
	boot.MAC = newVM(0xa, seaBIOS).MAC
	stranger := registeredAt(3725)
	stranger.MAC = newVM(9, seaBIOS).MAC
	for _, c := range []struct {
		event api.Event
		want  string
	}{
		{boot, "00:00:12 rack1-a  dhcp: UEFI x86-64 firmware"},
		{stranger, "01:02:05 52:54:00:77:00:09 registered: registered for the first time: Acme Lab Server, 1 disk"},
		{at(-1, "program: undionly.kpxe by TFTP"), "00:00:00          program: undionly.kpxe by TFTP"},
	} {
		if got := demoLine(c.event, names, powerOn); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

// TestForward passes bytes both ways between a browser and the appliance's
// socket, and ends with its context although the connection is open.
func TestForward(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "dragonfly.sock")
	server, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn)
	}()
	r := &rack{api: &appliance{socket: socket}}
	var out bytes.Buffer
	page, err := r.publish(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	browser, err := net.Dial("tcp", strings.TrimPrefix(page, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer browser.Close()
	if _, err := browser.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(browser, make([]byte, 4)); err != nil {
		t.Errorf("nothing came back: %v", err)
	}
	if err := r.undo.run(); err != nil {
		t.Error(err)
	}
	if _, err := browser.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

func TestCleanupRunsBackwardsAndGoesOn(t *testing.T) {
	var order []int
	var undo cleanup
	for i := range 3 {
		undo.add(func() error {
			order = append(order, i)
			if i == 1 {
				return errors.New("stuck")
			}
			return nil
		})
	}
	if err := undo.run(); errorText(err) != "stuck" {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("order %v", order)
	}
	if err := undo.run(); err != nil || len(order) != 3 {
		t.Errorf("a second run did something: %v, %v", order, err)
	}
}

func TestProcess(t *testing.T) {
	p, err := start("sleep", nil, "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(stopGrace); err != nil {
		t.Error(err)
	}
	if err := p.stop(stopGrace); err != nil {
		t.Errorf("stopping what is gone: %v", err)
	}
	failing, err := start("false", nil, "false")
	if err != nil {
		t.Fatal(err)
	}
	<-failing.done
	if got := errorText(failing.ended()); got != "false ended: exit status 1" {
		t.Errorf("ended: %q", got)
	}
	if _, err := start("nothing", nil, "/does/not/exist"); !strings.HasPrefix(errorText(err), "start nothing: ") {
		t.Errorf("error %v", err)
	}
}
