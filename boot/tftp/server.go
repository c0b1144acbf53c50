package tftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

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

	patience time.Duration // 0 means blockTimeout, but for tests
}

// Stats counts transfers. It is safe for concurrent use.
type Stats struct {
	Sent    atomic.Uint64 // files sent whole
	Probed  atomic.Uint64 // ended by the client once it knew the size, which is usual
	Refused atomic.Uint64 // names that are not served, and clients above the limit
	Evicted atomic.Uint64 // made room for another before the client acknowledged anything
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
	// which outlasts the retries of known ROMs. Nobody but an unproven client that makes
	// room for another has less.
	blockTimeout = time.Second
	retries      = 5
	// warnEvery is how often the log tells that transfers are being evicted.
	warnEvery = time.Minute
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
// that are under way end then, too.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	defer conn.Close() // here only, so that the port is free when Serve returns
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	t := &transfers{Server: s, table: newTable(cmp.Or(s.MaxTransfers, DefaultTransfers), cmp.Or(s.MaxPerClient, DefaultPerClient))}
	requests := ipv4.NewPacketConn(conn)
	// Without it answers come from whichever address the system chooses.
	if err := requests.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		s.Log.Debug("tftp is not told where requests arrive", "err", err)
	}
	packet := make([]byte, maxRequest)
	for {
		n, control, from, err := requests.ReadFrom(packet)
		if err == nil {
			t.answer(ctx, packet[:n], t.arrival(control, from))
		} else if !s.readFailed(ctx, err) {
			return endOf(ctx, err)
		}
	}
}

// readFailed reports whether reading may be tried again: an interface that goes down
// fails one read and works again when it comes back.
func (s *Server) readFailed(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	s.Stats.Failed.Add(1)
	s.Log.Warn("tftp clients were not heard", "err", err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Second):
		return true
	}
}

// endOf is nil where ctx ended a Serve.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve tftp: %w", err)
}

// transfers is what the transfers of one Serve share.
type transfers struct {
	*Server
	*table
	warned seldom
}

// arrival is a transfer between the two ends that a request came over.
func (t *transfers) arrival(control *ipv4.ControlMessage, from net.Addr) *transfer {
	client := from.(*net.UDPAddr).AddrPort()
	x := &transfer{client: netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), patience: cmp.Or(t.patience, blockTimeout)}
	if control != nil {
		local, _ := netip.AddrFromSlice(control.Dst)
		x.local, x.link = local.Unmap(), control.IfIndex
	}
	return x
}

// answer begins a transfer, or tells the client why not.
func (t *transfers) answer(ctx context.Context, packet []byte, x *transfer) {
	var err error
	if x.request, err = parseRequest(packet); err != nil {
		t.refuse(x, err)
		return
	}
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.proved = func() { t.prove(x) }
	if err := t.enter(x); err != nil {
		x.cancel(nil)
		t.refuse(x, err)
		return
	}
	go t.carryOut(ctx, x)
}

// refuse answers what has no transfer. Nothing is said to what is no request, as it may
// be another server's answer, nor to a request that is being answered already.
func (t *transfers) refuse(x *transfer, err error) {
	t.Log.Debug("tftp packet refused", "remote", x.client.Addr(), "err", err)
	if errors.Is(err, errRepeated) {
		return
	}
	t.Stats.Refused.Add(1)
	if errors.Is(err, errMalformed) || x.listen() != nil {
		return
	}
	defer x.conn.Close()
	x.fail(codeOf(err), err)
}

func codeOf(err error) errorCode {
	switch {
	case errors.Is(err, errWrite):
		return accessViolation
	case errors.Is(err, errBusy):
		return notDefined
	}
	return fileNotFound
}

// carryOut is one transfer from its place in the table to its end.
func (t *transfers) carryOut(ctx context.Context, x *transfer) {
	defer x.cancel(nil)
	defer t.leave(x)
	if err := x.listen(); err != nil {
		t.finish(x, err)
		return
	}
	defer x.conn.Close()
	content, size, err := t.open(x.name, x.local)
	if err != nil {
		t.Stats.Refused.Add(1)
		t.Log.Debug("tftp refused", "remote", x.client.Addr(), "name", fmt.Sprintf("%.64q", x.name), "err", err)
		x.fail(codeOf(err), err)
		return
	}
	defer content.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, transferTime, errTooLong)
	defer cancel()
	err = x.send(ctx, content, size)
	if err != nil && x.proven { // whoever acknowledged nothing may not be who asked
		x.fail(notDefined, err)
	}
	t.finish(x, err)
}

// finish counts a transfer and tells of it.
func (t *transfers) finish(x *transfer, err error) {
	log := t.Log.With("remote", x.client.Addr(), "name", x.name, "bytes", x.bytes)
	_, said := errors.AsType[clientError](err)
	switch {
	case err == nil:
		t.Stats.Sent.Add(1)
		log.Debug("tftp sent")
		t.sight(x)
	case errors.Is(err, errEvicted):
		t.finishEvicted(log)
	case errors.Is(err, errSilent) && !x.proven:
		t.Stats.Failed.Add(1)
		log.Warn("tftp asked for and never acknowledged; a firewall may let port 69 pass and not the transfer's own", "err", err)
	case said && x.bytes == 0:
		// OVMF asks for the size first, and then breaks off with error 8, "User
		// aborted the transfer", to come back for the file.
		t.Stats.Probed.Add(1)
		log.Debug("tftp size asked", "err", err)
	default:
		t.Stats.Failed.Add(1)
		log.Warn("tftp broken off", "err", err)
	}
}

// finishEvicted counts a transfer that made room. The log says so once in a while: there
// may be thousands a second, and who is named in them is likely not who sent them.
func (t *transfers) finishEvicted(log *slog.Logger) {
	evicted := t.Stats.Evicted.Add(1)
	log.Debug("tftp made room for another")
	if t.warned.due(time.Now()) {
		t.Log.Warn("tftp is asked for more than it can serve at once by clients that acknowledge nothing, and the oldest of them make room; "+
			"their addresses may be forged", "evicted", evicted)
	}
}

func (t *transfers) sight(x *transfer) {
	if t.Sight != nil {
		t.Sight(registry.Sighting{At: time.Now(), Remote: x.client.Addr(),
			Stage: registry.StageProgram, Detail: x.name + " by TFTP"})
	}
}

// seldom is due once in [warnEvery].
type seldom struct {
	mu   sync.Mutex
	next time.Time
}

func (s *seldom) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		return false
	}
	s.next = now.Add(warnEvery)
	return true
}
