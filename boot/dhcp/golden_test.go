package dhcp

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/boot"
)

// self is the appliance in the captures' network.
var self = Self{Addr: netip.MustParseAddr("10.77.0.2"), HTTPPort: 3000}

// packets are captures of real clients: file name without .bin, to bytes. QEMU 7.2
// with SeaBIOS 1.16.2 and iPXE ROMs of 2019 and 2025, OVMF 2022.11, undionly.kpxe
// and snponly.efi 1.21.1.
func packets(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/packets/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured packets: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".bin")] = data
	}
	return all
}

// TestCaptured answers every captured packet and compares what was understood,
// decided and written with testdata/packets/NAME.txt. UPDATE=1 writes the files.
func TestCaptured(t *testing.T) {
	for name, packet := range packets(t) {
		t.Run(name, func(t *testing.T) {
			got := transcript(t, name, packet)
			file := filepath.Join("testdata/packets", name+".txt")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func transcript(t *testing.T, name string, packet []byte) []byte {
	t.Helper()
	req, err := Parse(packet)
	if err != nil {
		t.Fatal(err)
	}
	via := ProxyDHCP
	if strings.Contains(name, "binl") {
		via = BINL
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s from %s, %s, %s, uuid %x, features %#x, broadcast %t\n", req.Message,
		req.Client.MAC, req.Client.Kind, req.Client.Arch, req.Client.UUID, uint64(req.Client.IPXE), req.Client.Broadcast)
	for _, policy := range []boot.IPXEROM{boot.UseROM, boot.ReplaceROM} {
		offer, outcome := Judge(&req, via, self.Addr, boot.Policy{IPXEROM: policy})
		fmt.Fprintf(&out, "\npolicy %s: %s: %s\n", policy, outcome, offer.Rule)
		if outcome != Offered && outcome != Acked {
			continue
		}
		for _, field := range Describe(Reply(nil, &req, offer, self)) {
			fmt.Fprintf(&out, "%4d  %-24s %s\n", field.Option, field.Name, field.Value)
		}
	}
	return out.Bytes()
}

// TestReplyBytes pins one reply to the byte, for what Describe does not show.
func TestReplyBytes(t *testing.T) {
	req, err := Parse(packets(t)["ovmf-pxe-discover"])
	if err != nil {
		t.Fatal(err)
	}
	req.Relay, req.Hops, req.Agent = netip.MustParseAddr("10.9.0.1"), 3, []byte("\x01\x02ab")
	offer, _ := Judge(&req, ProxyDHCP, self.Addr, boot.Policy{})
	want := make([]byte, 300)
	copy(want, "\x02\x01\x06\x03\xb3\x03\x58\x5d\x00\x00\x80\x00")
	copy(want[20:], "\x0a\x4d\x00\x02\x0a\x09\x00\x01\x52\x54\x00\x77\x00\x01")
	copy(want[108:], "snponly.efi")
	copy(want[236:], "\x63\x82\x53\x63\x35\x01\x02\x36\x04\x0a\x4d\x00\x02\x3c\x09PXEClient\x2b\x04\x06\x01\x08\xff\x61\x11"+
		string(make([]byte, 17))+"\x52\x04\x01\x02ab\xff")
	if got := Reply([]byte("before"), &req, offer, self); !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("got  % x\nwant % x", got[6:], want)
	}
}
