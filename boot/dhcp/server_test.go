package dhcp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dragonfly/boot"
	"dragonfly/registry"
)

func newServer() *Server {
	return &Server{Self: self, Log: slog.New(slog.DiscardHandler)}
}

func newDesk() *desk { return &desk{space: make([]byte, 0, MaxReply)} }

func TestJudge(t *testing.T) {
	const pxe, x64 = "\x3c\x09PXEClient", "\x5d\x02\x00\x07"
	message := func(m Message) string { return option(optMessage, string([]byte{byte(m)})) }
	server := func(a string) string { return option(optServerID, string(netip.MustParseAddr(a).AsSlice())) }
	for name, test := range map[string]struct {
		options []string
		via     Service
		want    Outcome
	}{
		"discover":                         {[]string{message(Discover), pxe, x64}, ProxyDHCP, Offered},
		"request on 67":                    {[]string{message(Ask), pxe, x64}, ProxyDHCP, NotAsked},
		"request on 67 that names us":      {[]string{message(Ask), pxe, x64, server("10.77.0.2")}, ProxyDHCP, NotAsked},
		"inform on 67":                     {[]string{message(Inform), pxe, x64}, ProxyDHCP, NotAsked},
		"release":                          {[]string{message(7), pxe, x64}, ProxyDHCP, NotAsked},
		"our agent":                        {[]string{message(Discover), option(optClass, "dragonfly-agent")}, ProxyDHCP, NotBoot},
		"discover for another":             {[]string{message(Discover), pxe, x64, server("10.77.0.9")}, ProxyDHCP, NotForUs},
		"discover on 4011":                 {[]string{message(Discover), pxe, x64}, BINL, NotAsked},
		"request on 4011":                  {[]string{message(Ask), pxe, x64}, BINL, Acked},
		"inform on 4011":                   {[]string{message(Inform), pxe, x64}, BINL, Acked},
		"request on 4011 that names us":    {[]string{message(Ask), pxe, x64, server("10.77.0.2")}, BINL, Acked},
		"request on 4011 for another":      {[]string{message(Ask), pxe, x64, server("10.77.0.9")}, BINL, NotForUs},
		"an architecture we cannot boot":   {[]string{message(Discover), pxe, "\x5d\x02\x00\x1b"}, ProxyDHCP, Unsupported},
		"a boot client without any":        {[]string{message(Discover), pxe}, ProxyDHCP, Unsupported},
		"http boot":                        {[]string{message(Discover), option(optClass, "HTTPClient"), "\x5d\x02\x00\x10"}, ProxyDHCP, Offered},
		"pxe class in the middle of words": {[]string{message(Discover), option(optClass, "not a PXEClient"), x64}, ProxyDHCP, NotBoot},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := Parse(packet(test.options...))
			if err != nil {
				t.Fatal(err)
			}
			offer, got := Judge(&req, test.via, self.Addr, boot.Policy{})
			if got != test.want || offer.Rule == "" || (offer.Serve != boot.Nothing) != (got == Offered || got == Acked) {
				t.Errorf("got %s with %+v, want %s", got, offer, test.want)
			}
		})
	}
}

func TestDestination(t *testing.T) {
	broadcast := netip.MustParseAddrPort("255.255.255.255:68")
	from := netip.MustParseAddrPort("10.77.0.201:4011")
	none := netip.MustParseAddrPort("0.0.0.0:68")
	relay := netip.MustParseAddr("10.9.0.1")
	for name, test := range map[string]struct {
		relay netip.Addr
		in    arrival
		want  netip.AddrPort
	}{
		"a client without an address":        {netip.IPv4Unspecified(), arrival{ProxyDHCP, none}, broadcast},
		"a client that has one already":      {netip.IPv4Unspecified(), arrival{ProxyDHCP, from}, broadcast},
		"a relay":                            {relay, arrival{ProxyDHCP, netip.AddrPortFrom(relay, 1067)}, netip.AddrPortFrom(relay, 67)},
		"ovmf on 4011":                       {netip.IPv4Unspecified(), arrival{BINL, from}, from},
		"4011 from a client with no address": {netip.IPv4Unspecified(), arrival{BINL, none}, broadcast},
	} {
		if got := newServer().destination(&Request{Relay: test.relay}, test.in); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// TestMemory has a ROM whose program never looks loaded, under the policy to
// replace ROMs: it is given the program three times, and then the script.
func TestMemory(t *testing.T) {
	req, err := Parse(packets(t)["seabios-ipxe2019-discover"])
	if err != nil {
		t.Fatal(err)
	}
	server, desk := newServer(), newDesk()
	server.Policy.IPXEROM = boot.ReplaceROM
	ask := func(xid uint32) boot.Serve {
		again := req
		again.XID = xid
		offer, _ := desk.memory.judge(&again, arrival{via: ProxyDHCP}, server)
		return offer.Serve
	}
	for i, test := range []struct {
		xid  uint32
		want boot.Serve
	}{
		{1, boot.ProgramByTFTP}, {1, boot.ProgramByTFTP}, {1, boot.ProgramByTFTP}, {1, boot.ProgramByTFTP}, // a packet sent again
		{2, boot.ProgramByTFTP}, {3, boot.ProgramByTFTP}, {3, boot.ProgramByTFTP},
		{4, boot.Script}, {5, boot.Script},
	} {
		if got := ask(test.xid); got != test.want {
			t.Errorf("packet %d with transaction %d: got %d, want %d", i, test.xid, got, test.want)
		}
	}
	if got := desk.memory.loads(&req, time.Now().Add(memoryFor+time.Second)); got != 0 {
		t.Errorf("after %s the memory still holds %d", memoryFor, got)
	}
	other := req
	other.Client.MAC[0] ^= 2 // the same slot
	if got := desk.memory.loads(&other, time.Now()); got != 0 {
		t.Errorf("another machine in the same slot counts as loaded %d times", got)
	}
}

func TestAnswerCountsAndTells(t *testing.T) {
	var seen []registry.Sighting
	var log strings.Builder
	server, desk := newServer(), newDesk()
	server.Sight = func(s registry.Sighting) { seen = append(seen, s) }
	var answered []boot.Kind
	server.Answered = func(c boot.Client) { answered = append(answered, c.Kind) }
	server.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	captured := packets(t)
	for _, p := range [][]byte{captured["ovmf-pxe-discover"], captured["ovmf-pxe-request"],
		captured["agent-discover"], nil, make([]byte, 64<<10)} {
		server.answer(desk, p, arrival{via: ProxyDHCP})
	}
	server.answer(desk, captured["ovmf-binl-request"], arrival{via: BINL})
	want := map[Outcome]uint64{Offered: 1, Acked: 1, NotAsked: 1, NotBoot: 1, Malformed: 2}
	for _, o := range Outcomes() {
		if got := server.Stats.Count(o); got != want[o] {
			t.Errorf("%s: counted %d, want %d", o, got, want[o])
		}
	}
	if len(seen) != 2 || seen[0].Stage != registry.StageDHCP || seen[0].MAC.String() != "52:54:00:77:00:01" ||
		!strings.Contains(seen[0].Detail, "snponly.efi") {
		t.Errorf("sightings: %+v", seen)
	}
	if !slices.Equal(answered, []boot.Kind{boot.PXE, boot.PXE}) {
		t.Errorf("told of %v", answered)
	}
	if got := strings.Count(log.String(), "level=DEBUG"); got != 6 {
		t.Errorf("%d debug lines for 6 packets:\n%s", got, &log)
	}
}

// TestAnswerAllocatesNothing holds the promise of the package comment, with the
// log at its usual level.
func TestAnswerAllocatesNothing(t *testing.T) {
	server, desk := newServer(), newDesk()
	server.Sight = func(registry.Sighting) {}
	server.Answered = func(boot.Client) {}
	for name, p := range packets(t) {
		for _, via := range []Service{ProxyDHCP, BINL} {
			if n := testing.AllocsPerRun(100, func() { server.answer(desk, p, arrival{via: via}) }); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
	hostile := packet(discover, option(optClass, "PXE", "Client"))
	if n := testing.AllocsPerRun(100, func() { server.answer(desk, hostile, arrival{}) }); n != 0 {
		t.Errorf("a malformed packet: %v allocations", n)
	}
}

func TestListen(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	_, err = listen("lo", port)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("SO_BINDTODEVICE takes CAP_NET_RAW")
	}
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "of lo") {
		t.Errorf("a taken port: got %v", err)
	}
	if _, err := listen("no-such-card", 0); err == nil || !strings.Contains(err.Error(), "of no-such-card") {
		t.Errorf("a missing interface: got %v", err)
	}
	conn, err := listen("lo", 0)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestServeEnds(t *testing.T) {
	open := func() *net.UDPConn {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	t.Run("with its context", func(t *testing.T) {
		server := newServer()
		server.Sockets = Sockets{open(), open()}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := server.Serve(ctx); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
	t.Run("with a socket", func(t *testing.T) {
		server := newServer()
		server.Sockets = Sockets{open(), open()}
		server.Sockets.BINL.Close()
		if err := server.Serve(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want the loss of the socket", err)
		}
	})
}

func TestDescribeBadPackets(t *testing.T) {
	for name, test := range map[string]struct {
		packet []byte
		want   string
	}{
		"short":    {[]byte("x"), "shorter than"},
		"cut off":  {append(packet()[:atOptions], "\x3c\x20PXE"...), "runs past the end"},
		"controls": {packet(discover, option(optClass, "\x1b[2J<b>")), `"\x1b[2J<b>"`},
		"unknown":  {packet(option(250, "\x01\x02")), "0102"},
	} {
		fields := Describe(test.packet)
		if last := fields[len(fields)-1]; !strings.Contains(last.Value, test.want) {
			t.Errorf("%s: got %+v, want %q at the end", name, fields, test.want)
		}
	}
}
