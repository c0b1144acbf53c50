package tftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"

	"dragonfly/registry"
)

// Server serves programs. Its fields are set before [Server.Serve] and not
// changed after.
type Server struct {
	Dir      string   // folder that holds the programs
	Programs []string // the names that may be asked for
	// Autoexec makes the iPXE script for a client that reached us at local. May be nil.
	Autoexec func(local netip.Addr) []byte
	// Sight is told of every finished download; it must not block. May be nil.
	Sight func(registry.Sighting)
	Log   *slog.Logger
	Stats Stats
	// MaxTransfers bounds the transfers at one time; 0 means [DefaultTransfers].
	MaxTransfers int
	// MaxPerClient bounds those of one address; 0 means [DefaultPerClient].
	MaxPerClient int
}

// Stats counts transfers. It is safe for concurrent use.
type Stats struct {
	Sent    atomic.Uint64 // files sent whole
	Probed  atomic.Uint64 // ended by the client once it knew the size, which is usual
	Refused atomic.Uint64 // names that are not served, and clients above the limit
	Failed  atomic.Uint64 // broken off for another reason
}

const (
	// DefaultTransfers is a large rack starting at once.
	DefaultTransfers = 512
	// DefaultPerClient leaves room for transfers that firmware has given up without
	// saying so, and keeps one address from taking the place of a rack.
	DefaultPerClient = 16
	// transferTime ends a transfer that a client keeps alive without finishing.
	transferTime = 5 * time.Minute
	// blockTimeout and retries give a client six seconds to acknowledge a block,
	// which outlasts the retries of known ROMs.
	blockTimeout = time.Second
	retries      = 5
)

// Listen opens the UDP socket; addr's port is 69 in production. A port that is
// taken is an error that names it and wraps syscall.EADDRINUSE.
func Listen(addr netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP port %d of %s: %w", addr.Port(), addr.Addr(), err)
	}
	return conn, nil
}

// Serve answers until ctx ends, when it returns nil. It closes conn. Transfers
// that are under way end with their next block.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	defer conn.Close()
	t := &transfers{Server: s, ctx: ctx, total: cmp.Or(s.MaxTransfers, DefaultTransfers),
		perClient: cmp.Or(s.MaxPerClient, DefaultPerClient), of: map[netip.Addr]int{}}
	server := tftp.NewServer(t.read, nil)
	server.SetTimeout(blockTimeout)
	server.SetRetries(retries)
	server.SetBackoff(func(int) time.Duration { return 0 }) // the timeout was the wait
	server.SetHook(refusals{s})
	defer context.AfterFunc(ctx, server.Shutdown)()
	if err := server.Serve(conn); err != nil {
		return fmt.Errorf("serve tftp: %w", err)
	}
	return nil
}

// transfers is what the transfers of one Serve share.
type transfers struct {
	*Server
	ctx              context.Context // of Serve: the library hands none to its handler
	total, perClient int

	mu      sync.Mutex
	running int
	of      map[netip.Addr]int // how many of them by client
}

var errBusy = errors.New("too many transfers at once; try again in a moment")

// enter reports whether a client may begin a transfer; then leave must be called
// after.
func (t *transfers) enter(client netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running >= t.total || t.of[client] >= t.perClient {
		return false
	}
	t.running++
	t.of[client]++
	return true
}

func (t *transfers) leave(client netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if t.of[client]--; t.of[client] == 0 {
		delete(t.of, client)
	}
}

// read is one transfer. An error that it returns reaches the client as a TFTP
// error with the same text.
func (t *transfers) read(name string, to io.ReaderFrom) error {
	remote, local := ends(to)
	if !t.enter(remote) {
		t.Stats.Refused.Add(1)
		return errBusy
	}
	defer t.leave(remote)
	content, size, err := t.open(name, local)
	if err != nil {
		t.Stats.Refused.Add(1)
		t.Log.Debug("tftp refused", "remote", remote, "name", fmt.Sprintf("%.64q", name), "err", err)
		return err
	}
	defer content.Close()
	to.(tftp.OutgoingTransfer).SetSize(size)
	ctx, cancel := context.WithTimeout(t.ctx, transferTime)
	defer cancel()
	n, err := to.ReadFrom(reader{ctx, content})
	t.finish(transfer{name, remote, n, err})
	return err
}

// ends are the two addresses of a transfer; local is zero where the system did
// not tell it.
func ends(to io.ReaderFrom) (remote, local netip.Addr) {
	addr := to.(tftp.OutgoingTransfer).RemoteAddr()
	remote = addr.AddrPort().Addr().Unmap()
	if info, ok := to.(tftp.RequestPacketInfo); ok {
		local, _ = netip.AddrFromSlice(info.LocalIP())
	}
	return remote, local.Unmap()
}

// transfer is one that has ended.
type transfer struct {
	name   string
	remote netip.Addr
	bytes  int64
	err    error
}

// finish counts a transfer and tells of it.
func (t *transfers) finish(done transfer) {
	log := t.Log.With("remote", done.remote, "name", done.name, "bytes", done.bytes)
	_, silent := errors.AsType[net.Error](done.err) // the library gives back what the last wait ended with
	switch {
	case done.err == nil:
		t.Stats.Sent.Add(1)
		log.Debug("tftp sent")
	case done.bytes == 0 && silent:
		t.Stats.Failed.Add(1)
		log.Warn("tftp asked for and never acknowledged; a firewall may let port 69 pass and not the transfer's own", "err", done.err)
		return
	case done.bytes == 0:
		// OVMF asks for the size first, and then breaks off with error 8, "User
		// aborted the transfer", to come back for the file.
		t.Stats.Probed.Add(1)
		log.Debug("tftp size asked", "err", done.err)
		return
	default:
		t.Stats.Failed.Add(1)
		log.Warn("tftp broken off", "err", done.err)
		return
	}
	if t.Sight != nil {
		t.Sight(registry.Sighting{At: time.Now(), Remote: done.remote,
			Stage: registry.StageProgram, Detail: done.name + " by TFTP"})
	}
}

// reader ends a transfer with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// refusals counts the packets that the library could not read as a request.
type refusals struct{ *Server }

func (r refusals) OnSuccess(tftp.TransferStats) {}

func (r refusals) OnFailure(stats tftp.TransferStats, err error) {
	if stats.RemoteAddr == nil { // else it is a transfer, which is counted where it ends
		r.Stats.Refused.Add(1)
		r.Log.Debug("tftp packet refused", "err", err)
	}
}
