package tftp

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Requests for the program, with and without options.
const (
	plainRequest  = "\x00\x01undionly.kpxe\x00octet\x00"
	optionRequest = plainRequest + "tsize\x000\x00blksize\x001024\x00"
)

// asker is a client that does each step by hand.
type asker struct {
	*net.UDPConn
	t      *testing.T
	server *net.UDPAddr // port 69's
}

func (f *fixture) asker(t *testing.T, addr net.IP) asker {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return asker{conn, t, net.UDPAddrFromAddrPort(f.addr)}
}

// forger is a client of another address each time.
func (f *fixture) forger(t *testing.T, i int) asker {
	return f.asker(t, net.IPv4(127, 0, 1, byte(i+1)))
}

func (a asker) send(packet string, to *net.UDPAddr) {
	a.t.Helper()
	if _, err := a.WriteToUDP([]byte(packet), to); err != nil {
		a.t.Fatal(err)
	}
}

// receive returns the next packet and the address that it came from.
func (a asker) receive() (packet string, from *net.UDPAddr) {
	a.t.Helper()
	buffer := make([]byte, 2000)
	_ = a.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, from, err := a.ReadFromUDP(buffer)
	if err != nil || n < header {
		a.t.Fatalf("%d bytes, %v", n, err)
	}
	return string(buffer[:n]), from
}

// ask sends a request and leaves the answer unacknowledged.
func (a asker) ask(request string, opcode byte) (answer string, from *net.UDPAddr) {
	a.t.Helper()
	a.send(request, a.server)
	if answer, from = a.receive(); answer[1] != opcode {
		a.t.Fatalf("%q was answered by %.80q, want opcode %d", request, answer, opcode)
	}
	return answer, from
}

// ack acknowledges a block and returns what comes then.
func (a asker) ack(block byte, to *net.UDPAddr) string {
	a.t.Helper()
	a.send("\x00\x04\x00"+string(block), to)
	packet, _ := a.receive()
	return packet
}

// becomes waits for a count, since transfers end a little after their last packet.
func becomes(t *testing.T, what string, count func() uint64, want uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); count() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d %s, want %d", count(), what, want)
		}
	}
}

// TestForgedRequestsLeaveRoom has every place taken, twice over, by requests whose
// senders acknowledge nothing, each of another address as in a flood of forged ones. A
// real client is served all the same, and the log tells of the flood in one line.
func TestForgedRequestsLeaveRoom(t *testing.T) {
	const places = 8
	log := &lines{}
	f := serve(t, func(s *Server) { s.MaxTransfers, s.patience, s.Log = places, time.Minute, slog.New(log) })
	for i := range 2 * places {
		f.forger(t, i).ask(plainRequest, opDATA)
	}
	if body, err := f.get(t, "undionly.kpxe", 1432); err != nil || !bytes.Equal(body, program) {
		t.Errorf("a real client: %d bytes, %v", len(body), err)
	}
	becomes(t, "evicted", f.Stats.Evicted.Load, places+1)
	if failed, refused := f.Stats.Failed.Load(), f.Stats.Refused.Load(); failed != 0 || refused != 0 {
		t.Errorf("counted %d failed and %d refused, want none", failed, refused)
	}
	becomes(t, "lines of the log", log.count("make room"), 1)
}

// lines keeps the messages of a log from Warn on.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler               { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Message)
	return nil
}

// count counts the messages that have a part in them.
func (l *lines) count(part string) func() uint64 {
	return func() uint64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return uint64(strings.Count(strings.Join(l.all, "\n"), part))
	}
}

// TestTheOldestMakesRoom has the second of two go on, as the first is the one that went.
func TestTheOldestMakesRoom(t *testing.T) {
	f := serve(t, func(s *Server) { s.MaxTransfers, s.patience = 2, time.Minute })
	f.forger(t, 0).ask(optionRequest, opOACK)
	second := f.forger(t, 1)
	_, from := second.ask(optionRequest, opOACK)
	f.forger(t, 2).ask(optionRequest, opOACK)
	if packet := second.ack(0, from); packet[1] != opDATA {
		t.Errorf("the younger one got %.80q, want DATA", packet)
	}
	becomes(t, "evicted", f.Stats.Evicted.Load, 1)
}

// TestProvenKeepsItsPlace has the only place held by a client that acknowledged
// something, which nobody who has not may take from it.
func TestProvenKeepsItsPlace(t *testing.T) {
	for name, begin := range map[string]struct {
		request string
		answer  byte
		block   byte // that the answer is acknowledged as
	}{"options": {optionRequest, opOACK, 0}, "no options": {plainRequest, opDATA, 1}} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(s *Server) { s.MaxTransfers, s.patience = 1, time.Minute })
			client := f.forger(t, 0)
			_, from := client.ask(begin.request, begin.answer)
			if packet := client.ack(begin.block, from); packet[1] != opDATA {
				t.Fatalf("got %.80q, want DATA", packet)
			}
			for i := range 3 {
				if answer, _ := f.forger(t, i+1).ask(plainRequest, opERROR); !strings.Contains(answer, "try again") {
					t.Errorf("above the limit: %q", answer)
				}
			}
			if packet := client.ack(begin.block+1, from); packet[1] != opDATA || packet[3] != begin.block+2 {
				t.Errorf("after it: %.80q, want the next DATA", packet)
			}
			if refused, evicted := f.Stats.Refused.Load(), f.Stats.Evicted.Load(); refused != 3 || evicted != 0 {
				t.Errorf("counted %d refused and %d evicted, want 3 and 0", refused, evicted)
			}
		})
	}
}

// TestRepeatedRequest asks once more from the same port, as firmware does that has not
// heard the answer. Were that a second transfer, the limit would be met by it.
func TestRepeatedRequest(t *testing.T) {
	f := serve(t, func(s *Server) { s.MaxPerClient, s.patience = 2, time.Minute })
	client := f.forger(t, 0)
	_, first := client.ask(plainRequest, opDATA)
	client.send(plainRequest, client.server)
	client.send(plainRequest, client.server)
	_, other := client.ask("\x00\x01/undionly.kpxe\x00octet\x00", opDATA) // another one
	if first.Port == other.Port {
		t.Errorf("two requests are answered from port %d", other.Port)
	}
	client.ask("\x00\x01autoexec.ipxe\x00octet\x00", opERROR)
	if packet := client.ack(1, first); packet[1] != opDATA || packet[3] != 2 {
		t.Errorf("the first transfer goes on with %.80q, want block 2", packet)
	}
}

// TestOneClientLeavesRoom has an address ask for files and acknowledge nothing, as one
// does that is not its sender's.
func TestOneClientLeavesRoom(t *testing.T) {
	f := serve(t, func(s *Server) { s.MaxTransfers, s.MaxPerClient, s.patience = 5, 3, time.Minute })
	ask := func(from byte, request string, opcode byte) (asker, *net.UDPAddr) {
		t.Helper()
		a := f.asker(t, net.IPv4(127, 0, 0, from))
		_, to := a.ask(request, opcode)
		return a, to
	}
	other, of := ask(2, optionRequest, opOACK) // the oldest of all
	for range 3 {
		ask(1, plainRequest, opDATA)
	}
	ask(1, plainRequest, opERROR) // the answer would be larger than what was asked
	for range 5 {
		ask(1, optionRequest, opOACK) // in place of the oldest of the same address
	}
	becomes(t, "evicted", f.Stats.Evicted.Load, 5)
	if packet := other.ack(0, of); packet[1] != opDATA {
		t.Errorf("another address got %.80q, want DATA", packet)
	}
}

// TestSlowClient does as firmware that takes seconds to acknowledge the first packet.
func TestSlowClient(t *testing.T) {
	f := serve(t, nil)
	client := f.forger(t, 0)
	_, from := client.ask(optionRequest, opOACK)
	for range 2 {
		if packet, again := client.receive(); packet[1] != opOACK || again.Port != from.Port {
			t.Fatalf("got %.80q from port %d, want the OACK once more from %d", packet, again.Port, from.Port)
		}
	}
	packet := client.ack(0, from)
	for packet[1] == opOACK { // sent before the acknowledgement came
		packet, _ = client.receive()
	}
	if packet[1] != opDATA || packet[3] != 1 {
		t.Errorf("got %.80q, want block 1", packet)
	}
}

// TestNothingIsAcknowledged does as a firewall that lets the request pass and nothing
// else. So many packets go to whoever it was, and no more.
func TestNothingIsAcknowledged(t *testing.T) {
	for name, request := range map[string]string{"options": optionRequest, "no options": plainRequest} {
		t.Run(name, func(t *testing.T) {
			log := &lines{}
			f := serve(t, func(s *Server) { s.patience, s.Log = 10*time.Millisecond, slog.New(log) })
			client := f.forger(t, 0)
			client.send(request, client.server)
			becomes(t, "failed", f.Stats.Failed.Load, 1)
			for range 1 + retries {
				client.receive()
			}
			_ = client.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // what was sent is there
			if n, err := client.Read(make([]byte, 1)); err == nil {
				t.Errorf("%d bytes more came", n)
			}
			becomes(t, "lines of the log", log.count("never acknowledged"), 1)
			if probed := f.Stats.Probed.Load(); probed != 0 {
				t.Errorf("counted %d probes, want none", probed)
			}
		})
	}
}

// TestForeignPackets sends to a transfer's port what is not its client's (RFC 1350,
// section 4), or no acknowledgement of its block.
func TestForeignPackets(t *testing.T) {
	f := serve(t, func(s *Server) { s.patience = time.Minute })
	client, stranger, neighbour := f.forger(t, 0), f.forger(t, 1), f.forger(t, 0)
	_, from := client.ask(optionRequest, opOACK)
	for _, packet := range []string{"\x00\x04\x00\x00", "\x00\x05\x00\x00go away\x00"} {
		stranger.send(packet, from)
		neighbour.send(packet, from)
	}
	for _, packet := range []string{"", "\x00\x04", "\x00\x04\x00\x07", "\x00\x06tsize\x000\x00", plainRequest} {
		client.send(packet, from)
	}
	if packet := client.ack(0, from); packet[1] != opDATA || packet[3] != 1 {
		t.Errorf("after them: %.80q, want block 1", packet)
	}
}

// TestTransfersEndWithServe ends the server amid a transfer; the client is told.
func TestTransfersEndWithServe(t *testing.T) {
	conn, err := Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t, func(s *Server) { s.patience = time.Minute })
	f.addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Serve(ctx, conn) }()
	client := f.forger(t, 0)
	_, from := client.ask(optionRequest, opOACK)
	client.ack(0, from)
	cancel()
	if packet, _ := client.receive(); packet[1] != opERROR {
		t.Errorf("got %.80q, want an ERROR", packet)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	becomes(t, "failed", f.Stats.Failed.Load, 1)
}
