package tftp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"dragonfly/registry"
)

// program is longer than the blocks it is sent in, and not a multiple of them.
var program = bytes.Repeat([]byte("iPXE"), 5000)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// fixture is a running server and what it tells.
type fixture struct {
	*Server
	addr  netip.AddrPort
	sight chan registry.Sighting
}

// serve starts a server with one program, with secrets beside it.
func serve(t *testing.T, change func(*Server)) *fixture {
	t.Helper()
	dir := t.TempDir()
	programs := filepath.Join(dir, "nbp")
	if err := os.MkdirAll(filepath.Join(programs, "folder.efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"secret": []byte("secret"), "nbp/notes": []byte("secret"), "nbp/undionly.kpxe": program,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(programs, "link.efi")); err != nil {
		t.Fatal(err)
	}
	f := &fixture{sight: make(chan registry.Sighting, 10)}
	f.Server = &Server{Dir: programs, Log: slog.New(slog.DiscardHandler),
		Programs: []string{"undionly.kpxe", "snponly.efi", "folder.efi", "link.efi"},
		Autoexec: func(local netip.Addr) []byte { return []byte("#!ipxe\necho " + local.String() + "\n") },
		Sight:    func(s registry.Sighting) { f.sight <- s }}
	if change != nil {
		change(f.Server)
	}
	f.start(t)
	return f
}

func (f *fixture) start(t *testing.T) {
	conn, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	f.addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Serve(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func (f *fixture) get(t *testing.T, name string, blksize int) ([]byte, error) {
	t.Helper()
	client, err := tftp.NewClient(f.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	client.SetBlockSize(blksize)
	client.RequestTSize(true)
	from, err := client.Receive(name, "octet")
	if err != nil {
		return nil, err
	}
	if size, ok := from.(tftp.IncomingTransfer).Size(); !ok || size == 0 {
		t.Errorf("%s: no size was given", name)
	}
	var body bytes.Buffer
	_, err = from.WriteTo(&body)
	return body.Bytes(), err
}

func TestGet(t *testing.T) {
	f := serve(t, nil)
	for _, name := range []string{"undionly.kpxe", "/undionly.kpxe"} {
		for _, blksize := range []int{512, 1432, 65464} {
			body, err := f.get(t, name, blksize)
			if err != nil || !bytes.Equal(body, program) {
				t.Errorf("%s in blocks of %d: %d bytes, %v; want %d", name, blksize, len(body), err, len(program))
			}
			seen := <-f.sight
			if seen.Stage != registry.StageProgram || seen.Remote != netip.MustParseAddr("127.0.0.1") ||
				!strings.Contains(seen.Detail, "undionly.kpxe") {
				t.Errorf("sighting %+v", seen)
			}
		}
	}
	if n := f.Stats.Sent.Load(); n != 6 {
		t.Errorf("counted %d, want 6", n)
	}
}

func TestAutoexec(t *testing.T) {
	f := serve(t, nil)
	body, err := f.get(t, "autoexec.ipxe", 512)
	if err != nil || string(body) != "#!ipxe\necho 127.0.0.1\n" {
		t.Errorf("got %q, %v", body, err)
	}
	text, _ := f.asker(t, net.IPv4(127, 0, 0, 1)).ask("\x00\x01autoexec.ipxe\x00netascii\x00", opDATA)
	if want := "#!ipxe\r\necho 127.0.0.1\r\n"; text[header:] != want {
		t.Errorf("as text: %q, want %q", text[header:], want)
	}
	for name, none := range map[string]func(netip.Addr) []byte{
		"none": nil, "empty": func(netip.Addr) []byte { return nil },
	} {
		f := serve(t, func(s *Server) { s.Autoexec = none })
		if _, err := f.get(t, "autoexec.ipxe", 512); err == nil || !strings.Contains(err.Error(), "not served") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

func TestRefusedNames(t *testing.T) {
	f := serve(t, nil)
	names := map[string]string{
		"snponly.efi":             "not among the installed",
		"folder.efi":              "not a file",
		"link.efi":                "cannot be read", // it leads out of the folder
		"notes":                   "not served here",
		"":                        "not served here",
		"../secret":               "not served here",
		"../nbp/undionly.kpxe":    "not served here",
		"..\\secret":              "not served here",
		"//undionly.kpxe":         "not served here",
		"./undionly.kpxe":         "not served here",
		"/etc/passwd":             "not served here",
		"UNDIONLY.KPXE":           "not served here",
		"undionly.kpxe\n":         "not served here",
		strings.Repeat("../", 99): "not served here",
	}
	for name, want := range names {
		body, err := f.get(t, name, 512)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %q, %v; want an error with %q", name, body, err, want)
		}
	}
	if n := f.Stats.Refused.Load(); n != uint64(len(names)) {
		t.Errorf("counted %d, want %d", n, len(names))
	}
}

// TestHostilePackets sends what is no request; the server lives on.
func TestHostilePackets(t *testing.T) {
	f := serve(t, nil)
	conn, err := net.Dial("udp4", f.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, packet := range []string{
		"", "\x00", "\x00\x01", "\x00\x01name", "\xff\xffname\x00octet\x00", "\x00\x04\x00\x01", "\x00\x05\x00\x01",
		"\x00\x01" + strings.Repeat("a", 60<<10),
		"\x00\x01und\x00ionly.kpxe\x00octet\x00",
		"\x00\x01undionly.kpxe\x00octet\x00blksize\x00" + strings.Repeat("9", 400) + "\x00",
		"\x00\x01undionly.kpxe\x00octet\x00tsize\x00" + strings.Repeat("9", 400) + "\x00",
		"\x00\x02undionly.kpxe\x00octet\x00", // a write
	} {
		if _, err := conn.Write([]byte(packet)); err != nil {
			t.Fatalf("%.20q: %v", packet, err)
		}
	}
	if body, err := f.get(t, "undionly.kpxe", 1432); err != nil || !bytes.Equal(body, program) {
		t.Errorf("after hostile packets: %d bytes, %v", len(body), err)
	}
	if on, err := os.ReadFile(filepath.Join(f.Dir, "undionly.kpxe")); err != nil || !bytes.Equal(on, program) {
		t.Errorf("the program was written to: %v", err)
	}
}

// TestSizeProbe does as OVMF: it asks for the size, breaks off, and comes back.
func TestSizeProbe(t *testing.T) {
	f := serve(t, nil)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(packet string, to netip.AddrPort) {
		if _, err := conn.WriteToUDPAddrPort([]byte(packet), to); err != nil {
			t.Fatal(err)
		}
	}
	send("\x00\x01undionly.kpxe\x00octet\x00tsize\x000\x00blksize\x001468\x00", f.addr)
	buffer := make([]byte, 1500)
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, from, err := conn.ReadFromUDPAddrPort(buffer)
	if err != nil || !strings.Contains(string(buffer[:n]), "tsize\x0020000\x00") {
		t.Fatalf("got %q, %v", buffer[:n], err)
	}
	send("\x00\x05\x00\x08User aborted the transfer\x00", from)
	if body, err := f.get(t, "undionly.kpxe", 1432); err != nil || !bytes.Equal(body, program) {
		t.Errorf("after the probe: %d bytes, %v", len(body), err)
	}
	<-f.sight // of the download; the probe has none, or this would be it and Sent 0
	if sent, failed := f.Stats.Sent.Load(), f.Stats.Failed.Load(); sent != 1 || failed != 0 {
		t.Errorf("counted %d sent and %d failed, want 1 and 0", sent, failed)
	}
}

func TestListenAndServeErrors(t *testing.T) {
	conn, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := Listen(addr); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "UDP port") {
		t.Errorf("a taken port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server := &Server{Log: slog.New(slog.DiscardHandler)}
	if err := server.Serve(ctx, conn); err != nil {
		t.Errorf("serve: %v", err)
	}
	if again, err := Listen(addr); err != nil {
		t.Errorf("the socket was not closed: %v", err)
	} else {
		again.Close()
	}
}

// The programs may be built while the server runs, and built again.
func TestFolderIsReplaced(t *testing.T) {
	programs := filepath.Join(t.TempDir(), "nbp")
	f := serve(t, func(s *Server) { s.Dir = programs })
	if _, err := f.get(t, "undionly.kpxe", 512); err == nil || !strings.Contains(err.Error(), "not among the installed") {
		t.Errorf("a missing folder: %v", err)
	}
	for _, content := range []string{"first build", "second build"} {
		if err := errors.Join(os.RemoveAll(programs), os.Mkdir(programs, 0o755),
			os.WriteFile(filepath.Join(programs, "undionly.kpxe"), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
		if body, err := f.get(t, "undionly.kpxe", 512); err != nil || string(body) != content {
			t.Errorf("got %q, %v, want %q", body, err, content)
		}
	}
}
