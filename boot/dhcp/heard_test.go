package dhcp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"dragonfly/boot"
	"dragonfly/registry"
)

// reply is an answer of 10.0.0.1 to 52:54:00:12:34:56, with an address and a file.
func reply(address, file string, options ...string) []byte {
	p := packet(options...)
	p[0] = bootReply
	put(p[atYIAddr:], netip.MustParseAddr(address))
	copy(p[atFile:atCookie], file)
	return p
}

const (
	offer  = "\x35\x01\x02"
	server = "\x36\x04\x0a\x00\x00\x01"
)

func TestParseReply(t *testing.T) {
	for name, test := range map[string]struct {
		packet []byte
		want   Heard
		err    error
	}{
		"an address":               {reply("10.0.0.7", "", offer, server), Heard{Gives: netip.MustParseAddr("10.0.0.7")}, nil},
		"and a boot file":          {reply("10.0.0.7", "pxelinux.0", offer, server), Heard{Gives: netip.MustParseAddr("10.0.0.7"), File: "pxelinux.0", Boots: true}, nil},
		"a boot file as an option": {reply("10.0.0.7", "", offer, server, option(optBootFile, "a.efi\x00")), Heard{Gives: netip.MustParseAddr("10.0.0.7"), File: "a.efi", Boots: true}, nil},
		"a proxy":                  {reply("0.0.0.0", "", offer, server, option(optClass, "PXEClient")), Heard{Gives: netip.IPv4Unspecified(), Boots: true}, nil},
		"options in the file":      {reply("10.0.0.7", "\x0c\x02hi\xff", offer, server, option(optOverload, "\x01")), Heard{Gives: netip.MustParseAddr("10.0.0.7")}, nil},
		"a hostile file":           {reply("10.0.0.7", "<b>\x1b[2J", offer, server), Heard{Gives: netip.MustParseAddr("10.0.0.7"), File: `"<b>\x1b[2J"`, Boots: true}, nil},
		"a request":                {packet(offer), Heard{}, errNotReply},
		"a refusal":                {reply("0.0.0.0", "", "\x35\x01\x06", server), Heard{}, errMessage},
		"cut off":                  {reply("10.0.0.7", "", offer, "\x36\x04\x0a")[:atOptions+5], Heard{}, errTruncated},
		"nothing":                  {nil, Heard{}, errShort},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseReply(test.packet)
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			test.want.Message, test.want.Client, test.want.Server = Offer, registry.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}, netip.MustParseAddr("10.0.0.1")
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// FuzzParseReply holds the reader against insomniacslk/dhcp: what both accept they
// understand alike.
func FuzzParseReply(f *testing.F) {
	f.Add(reply("10.0.0.7", "pxelinux.0", offer, server))
	f.Add(reply("0.0.0.0", "", offer, server, option(optClass, "PXEClient"), option(optBootFile, "x")))
	f.Fuzz(func(t *testing.T, packet []byte) {
		heard, err := ParseReply(packet)
		if err != nil {
			return
		}
		if strings.ContainsAny(heard.File, "\x00\n\x1b") || len(heard.File) > 5*maxFile {
			t.Errorf("file %q", heard.File)
		}
		oracle, err := dhcpv4.FromBytes(packet)
		if err != nil || len(oracle.Options.Get(dhcpv4.OptionServerIdentifier)) != 4 {
			return
		}
		if !oracle.YourIPAddr.Equal(heard.Gives.AsSlice()) || oracle.ClientHWAddr.String() != heard.Client.String() {
			t.Errorf("%+v, and the library says %s", heard, oracle.Summary())
		}
	})
}

// Whoever invents servers gets no more memory than there is room for, and those that
// were there first stay.
func TestWatchIsBounded(t *testing.T) {
	var w Watch
	now := time.Now()
	mine := netip.MustParseAddr("10.0.0.1")
	w.hear(Heard{Server: mine, Gives: netip.MustParseAddr("10.0.0.7"), Boots: true, File: "a"}, mine, now)
	for i := range uint32(100_000) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+i)
		w.choose(netip.AddrFrom4(a), registry.MAC{}, now)
	}
	for _, nobody := range []string{"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "::1"} {
		w.choose(netip.MustParseAddr(nobody), registry.MAC{}, now)
	}
	all, beyond := w.Neighbours(now)
	if len(all) != maxNeighbours || beyond != 100_000-maxNeighbours+1 || all[0].Addr != mine || !all[0].Boots || all[0].File != "a" {
		t.Errorf("%d servers, %d beyond: %+v", len(all), beyond, all[0])
	}
	later := now.Add(2 * neighbourRoom)
	w.choose(mine, registry.MAC{}, later)
	if all, _ := w.Neighbours(later.Add(neighboursFor - time.Minute)); len(all) != 1 || all[0].Chosen != 1 {
		t.Errorf("%+v", all)
	}
	w.asked(later.Add(time.Second))
	if all, _ := w.Neighbours(later); all[0].Fresh(later) {
		t.Error("one that is silent counts as there")
	}
}

// The last requests are kept with their reasons, each client's once; telephones do not
// push a machine out.
func TestRecent(t *testing.T) {
	s, desk := newServer(), newDesk()
	for range 3 {
		s.answer(desk, packet(discover, option(optClass, "PXEClient"), "\x5d\x02\x00\x1b"), arrival{via: ProxyDHCP})
	}
	for i := range byte(200) {
		phone := packet(discover, option(optClass, "phone"))
		phone[atCHAddr+5] = i
		s.answer(desk, phone, arrival{via: ProxyDHCP})
	}
	all := s.Recent()
	if n := len(all); n != 17 {
		t.Fatalf("%d requests", n)
	}
	last := all[16]
	if last.Outcome != Unsupported || last.Times != 3 || last.Kind != boot.PXE || last.Rule == "" || all[0].Outcome != NotBoot || all[0].MAC[5] != 199 {
		t.Errorf("%+v, the newest %+v", last, all[0])
	}
}

// A client that takes the offer of another server gives that one away; a probe of our
// kind is not answered, and no client.
func TestNeighbourByRequest(t *testing.T) {
	s, desk := newServer(), newDesk()
	ask := option(optMessage, string([]byte{byte(Ask)}))
	s.answer(desk, packet(ask, server), arrival{via: ProxyDHCP})
	s.answer(desk, packet(ask, option(optServerID, string(self.Addr.AsSlice()))), arrival{via: ProxyDHCP})
	all, _ := s.Watch.Neighbours(time.Now())
	if len(all) != 1 || all[0].Addr != netip.MustParseAddr("10.0.0.1") || !all[0].Gives || all[0].Chosen != 1 {
		t.Errorf("%+v", all)
	}
	if _, _, answered := s.answer(desk, probe(registry.MAC{2}, 1), arrival{via: ProxyDHCP}); answered || s.Stats.Count(Probed) != 1 || len(s.Recent()) != 0 {
		t.Error("a probe counts as a client")
	}
}
