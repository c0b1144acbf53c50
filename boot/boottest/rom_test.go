package boottest_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/boot"
	"dragonfly/boot/boottest"
	"dragonfly/boot/dhcp"
	"dragonfly/boot/ipxe"
	"dragonfly/boot/tftp"
	"dragonfly/registry"
)

var mac = registry.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// appliance is the real boot services on loopback.
type appliance struct {
	dhcp   *dhcp.Server
	rom    boottest.ROM // knows where everything is
	sights chan registry.Sighting
}

func start(t *testing.T, policy boot.Policy) *appliance {
	t.Helper()
	a := &appliance{sights: make(chan registry.Sighting, 100)}
	log, dir := slog.New(slog.DiscardHandler), files(t)
	sight := func(s registry.Sighting) { a.sights <- s }
	web := httptest.NewServer(&ipxe.Handler{Dir: dir, Log: log, Sight: sight,
		Lookup: func(registry.MAC) (registry.Entry, bool) { return registry.Entry{}, false },
		Token:  func(registry.MAC) string { return "token" }})
	t.Cleanup(web.Close)
	http := web.Listener.Addr().(*net.TCPAddr).AddrPort()
	sockets, programs := dhcp.Sockets{ProxyDHCP: udp(t, 1), BINL: udp(t, 1)}, udp(t, 1)
	card := udp(t, 68) // where no transfer can take its port
	local := addrOf(card)
	card.Close() // the ROM opens it again for each answer
	a.dhcp = &dhcp.Server{Sockets: sockets, Self: dhcp.Self{Addr: http.Addr(), HTTPPort: http.Port()},
		Policy: policy, Sight: sight, Log: log, Client: local}
	loader := &tftp.Server{Dir: filepath.Join(dir, "nbp"), Programs: ipxe.Programs(), Sight: sight, Log: log}
	serve(t, a.dhcp.Serve)
	serve(t, func(ctx context.Context) error { return loader.Serve(ctx, programs) })
	a.rom = boottest.ROM{MAC: mac, UUID: [16]byte{1, 2, 3}, Local: local, HTTP: web.Client(),
		DHCP: addrOf(sockets.ProxyDHCP), BINL: addrOf(sockets.BINL), TFTP: addrOf(programs)}
	return a
}

// files is a folder with every program and a full image.
func files(t *testing.T) string {
	dir := t.TempDir()
	names := []string{"amd64/vmlinuz", "amd64/initramfs.zst", "arm64/vmlinuz", "arm64/initramfs.zst"}
	for _, program := range ipxe.Programs() {
		names = append(names, "nbp/"+program)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(name, 1000)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// udp opens a port of 127.0.0.HOST.
func udp(t *testing.T, host byte) *net.UDPConn {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, host)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func addrOf(conn *net.UDPConn) netip.AddrPort { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func serve(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestChain boots every sort of machine from the first packet to its script.
func TestChain(t *testing.T) {
	replace := boot.Policy{IPXEROM: boot.ReplaceROM}
	for name, test := range map[string]struct {
		policy   boot.Policy
		rom      func(*boottest.ROM)
		program  string // the end of its name or URL
		arch     string // in the script's URL
		requests int
	}{
		"bios":             {boot.Policy{}, firmware(boot.PXE, boot.BIOS), "undionly.kpxe", "bios", 2},
		"uefi x64":         {boot.Policy{}, firmware(boot.PXE, boot.UEFIX64), "snponly.efi", "uefi-x64", 2},
		"uefi x64 as 9":    {boot.Policy{}, firmware(boot.PXE, boot.UEFIX64Spec), "snponly.efi", "uefi-x64", 2},
		"uefi arm64":       {boot.Policy{}, firmware(boot.PXE, boot.UEFIARM64), "ipxe-arm64.efi", "uefi-arm64", 2},
		"http x64":         {boot.Policy{}, firmware(boot.HTTPBoot, boot.HTTPX64), "/boot/nbp/snponly.efi", "uefi-x64", 2},
		"http arm64":       {boot.Policy{}, firmware(boot.HTTPBoot, boot.HTTPARM64), "/boot/nbp/ipxe-arm64.efi", "uefi-arm64", 2},
		"by way of 4011":   {boot.Policy{}, func(r *boottest.ROM) { r.Kind, r.Arch, r.AskBINL = boot.PXE, boot.UEFIX64, true }, "snponly.efi", "uefi-x64", 3},
		"ipxe rom":         {boot.Policy{}, ipxeROM(boot.HTTP), "", "bios", 1},
		"ipxe rom, old":    {boot.Policy{}, ipxeROM(0), "undionly.kpxe", "bios", 2},
		"ipxe rom, faulty": {replace, ipxeROM(boot.HTTP), "undionly.kpxe", "bios", 2},
		"firmware, rom policy": {replace,
			firmware(boot.PXE, boot.BIOS), "undionly.kpxe", "bios", 2},
		"ipxe rom, faulty, that forgets its lease": {replace, func(r *boottest.ROM) {
			ipxeROM(boot.HTTP)(r)
			r.ForgetLease = true
		}, "undionly.kpxe", "bios", 4},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, test.policy)
			test.rom(&a.rom)
			got, err := a.rom.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(got.Program, test.program) || (got.Size == 0) != (test.program == "") || got.Requests != test.requests {
				t.Errorf("loaded %q of %d bytes with %d requests, want %q and %d", got.Program, got.Size, got.Requests, test.program, test.requests)
			}
			if !strings.HasSuffix(got.URL, "/boot/52-54-00-12-34-56/auto.ipxe?arch="+test.arch) {
				t.Errorf("script at %s", got.URL)
			}
			if !strings.HasPrefix(got.Script, "#!ipxe\n") || !strings.Contains(got.Script, "dragonfly.token=token ") {
				t.Errorf("script:\n%s", got.Script)
			}
		})
	}
}

func firmware(kind boot.Kind, arch boot.Arch) func(*boottest.ROM) {
	return func(r *boottest.ROM) { r.Kind, r.Arch = kind, arch }
}

func ipxeROM(features boot.Features) func(*boottest.ROM) {
	return func(r *boottest.ROM) { r.Kind, r.Arch, r.Features = boot.IPXE, boot.BIOS, features }
}

// TestTimeline has one boot tell every step once, in order.
func TestTimeline(t *testing.T) {
	a := start(t, boot.Policy{})
	a.rom.Kind, a.rom.Arch = boot.PXE, boot.UEFIX64
	if _, err := a.rom.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stages := map[registry.Stage]int{}
	for range 4 {
		stages[(<-a.sights).Stage]++
	}
	if stages[registry.StageDHCP] != 2 || stages[registry.StageProgram] != 1 || stages[registry.StageScript] != 1 {
		t.Errorf("stages %v", stages)
	}
}

// TestLeftAlone has clients that must get no answer; the one after them gets it,
// so that the silence is not a dead server's.
func TestLeftAlone(t *testing.T) {
	a := start(t, boot.Policy{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what is left alone is not waited for
	a.rom.Kind, a.rom.Arch = boot.PXE, boot.Arch(2)
	if _, err := a.rom.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an Itanium: got %v", err)
	}
	a.rom.Arch = boot.UEFIX64
	if _, err := a.rom.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if got := a.dhcp.Stats.Count(dhcp.Unsupported); got != 1 {
		t.Errorf("counted %d unsupported clients, want 1", got)
	}
}

// TestRelay sends through a relay: the answer goes to port 67 of the relay, which
// needs the right to open it.
func TestRelay(t *testing.T) {
	a := start(t, boot.Policy{})
	relay := netip.MustParseAddrPort("127.0.0.77:67")
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(relay))
	if err != nil {
		t.Skip("port 67 of a loopback address: ", err)
	}
	conn.Close()
	a.rom.Kind, a.rom.Arch, a.rom.Relay, a.rom.Local = boot.PXE, boot.UEFIX64, relay.Addr(), relay
	if _, err := a.rom.Discover(t.Context()); err != nil {
		t.Error(err)
	}
}
