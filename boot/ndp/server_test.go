package ndp

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"dragonfly/registry"
)

var (
	mac       = registry.MAC{0x52, 0x54, 0x00, 0x77, 0x00, 0x00}
	linkLocal = netip.MustParseAddr("fe80::5054:ff:fe77:0")
	// asks is what iPXE 1.21.1 sends, captured.
	asks = []byte{133, 0, 0xd9, 0x97, 0, 0, 0, 0, 1, 1, 0x52, 0x54, 0x00, 0x77, 0x00, 0x00}
)

func TestParse(t *testing.T) {
	with := func(options ...byte) []byte { return append([]byte{133, 0, 0, 0, 0, 0, 0, 0}, options...) }
	source := asks[8:]
	for name, tt := range map[string]struct {
		message []byte
		from    netip.Addr
		hops    int
		want    string // part of the error; empty: it is accepted
	}{
		"iPXE":                       {asks, linkLocal, 255, ""},
		"another option before":      {with(append([]byte{14, 1, 1, 2, 3, 4, 5, 6}, source...)...), linkLocal, 255, ""},
		"empty":                      {nil, linkLocal, 255, "of 0 bytes"},
		"cut short":                  {asks[:7], linkLocal, 255, "of 7 bytes"},
		"cut in the option":          {asks[:15], linkLocal, 255, "does not fit"},
		"an advertisement":           {append([]byte{134}, asks[1:]...), linkLocal, 255, "type 134"},
		"another code":               {append([]byte{133, 1}, asks[2:]...), linkLocal, 255, "code 1"},
		"through a router":           {asks, linkLocal, 254, "hop limit 254"},
		"from nowhere":               {asks, netip.IPv6Unspecified(), 255, "not a link-local"},
		"from elsewhere":             {asks, netip.MustParseAddr("2001:db8::1"), 255, "not a link-local"},
		"no source address":          {with(), linkLocal, 255, "no source link-layer address"},
		"an option without a length": {with(1, 0, 1, 2, 3, 4, 5, 6), linkLocal, 255, "does not fit"},
		"an option too long":         {with(1, 2, 1, 2, 3, 4, 5, 6), linkLocal, 255, "does not fit"},
		"one byte of an option":      {with(1), linkLocal, 255, "does not fit"},
		"a longer hardware address":  {with(append([]byte{1, 2}, make([]byte, 14)...)...), linkLocal, 255, "no source link-layer address"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tt.message, tt.from, tt.hops)
			switch {
			case tt.want == "" && (err != nil || got != (Solicitation{linkLocal, mac})):
				t.Errorf("%+v, %v", got, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(asks, 255)
	f.Add(asks[:15], 255)
	f.Fuzz(func(t *testing.T, message []byte, hops int) {
		got, err := Parse(message, linkLocal, hops)
		if err == nil && (hops != 255 || !bytes.Contains(message[8:], got.MAC[:])) {
			t.Errorf("accepted %x with hop limit %d as %s", message, hops, got.MAC)
		}
	})
}

func TestRecent(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	wraps := time.Unix(1<<20-1, 0) // the last second before 16 bits wrap
	other := mac
	other[0] ^= 2 // shares the slot
	for name, tt := range map[string]struct {
		noted registry.MAC
		at    time.Time
		asks  registry.MAC
		after time.Duration
		want  bool
	}{
		"at once":             {mac, now, mac, 0, true},
		"in time":             {mac, now, mac, 29 * time.Second, true},
		"across the wrap":     {mac, wraps, mac, 2 * time.Second, true},
		"too late":            {mac, now, mac, 30 * time.Second, false},
		"before":              {mac, now, mac, -time.Second, false},
		"another machine":     {other, now, mac, 0, false},
		"nothing was noted":   {registry.MAC{}, now, mac, 0, false},
		"after a day or so":   {mac, now, mac, 26 * time.Hour, false},
		"the address of zero": {mac, now, registry.MAC{}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var r recent
			r.note(tt.noted, tt.at)
			if got := r.has(tt.asks, tt.at.Add(tt.after)); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// TestOnlyTheExpected asks as machines that were and were not given a boot file.
func TestOnlyTheExpected(t *testing.T) {
	s := &Server{}
	from := &net.IPAddr{IP: linkLocal.AsSlice(), Zone: "eth0"}
	control := &ipv6.ControlMessage{HopLimit: 255}
	if _, err := s.judge(asks, control, from, time.Now()); err == nil {
		t.Error("a machine that nobody expects is answered")
	}
	s.Expect(mac)
	if got, err := s.judge(asks, control, from, time.Now()); err != nil || got.MAC != mac {
		t.Errorf("an expected machine: %+v, %v", got, err)
	}
	if _, err := s.judge(asks, nil, from, time.Now()); err == nil {
		t.Error("a message without its hop limit is answered")
	}
	if _, err := s.judge(asks, control, &net.UDPAddr{}, time.Now()); err == nil {
		t.Error("a message from no IP address is answered")
	}
	if allocs := testing.AllocsPerRun(100, func() { s.Expect(mac) }); allocs != 0 {
		t.Errorf("Expect allocates %v times", allocs)
	}
}
