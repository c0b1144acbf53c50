package tftp

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pin/tftp/v3/netascii"
)

// transfer sends one file to one client, a block at a time (RFC 1350, section 2).
type transfer struct {
	request
	client netip.AddrPort
	local  netip.Addr // that the client reached us at; zero where the system did not tell it
	link   int        // index of the interface that the request came by

	cancel  context.CancelCauseFunc
	evicted bool // under the lock of the table

	proved   func() // called once, with the first acknowledgement
	conn     *net.UDPConn
	patience time.Duration // how long a packet waits for its acknowledgement
	proven   bool
	bytes    int64 // sent, acknowledged or not
	in       [maxRequest]byte
}

var (
	errSilent  = errors.New("nothing was acknowledged for too long")
	errTooLong = errors.New("the transfer took too long")
)

// repeats reports whether old answers the very request that x does: a client that hears
// nothing asks again, from the same port.
func (x *transfer) repeats(old *transfer) bool {
	return x.client == old.client && x.request == old.request
}

// listen opens the socket that a transfer is sent from: a port of its own identifies it
// (RFC 1350, section 4).
func (x *transfer) listen() (err error) {
	local := x.local
	if local == netip.AddrFrom4([4]byte{255, 255, 255, 255}) { // it cannot be sent from
		local = netip.Addr{}
	}
	x.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	return err
}

// send sends a file until ctx ends, and returns why it ended.
func (x *transfer) send(ctx context.Context, content io.Reader, size int64) error {
	// It wakes a read that waits; await looks at ctx after it has set its own deadline,
	// so that none is missed.
	defer context.AfterFunc(ctx, func() { _ = x.conn.SetReadDeadline(time.Unix(1, 0)) })()
	if x.netascii {
		content = netascii.ToReader(content)
	}
	blockSize, oack := x.agree(blockOver(x.link), size)
	if len(oack) > 0 {
		if err := x.exchange(ctx, oack, 0); err != nil { // its ACK is that of block 0 (RFC 2347)
			return err
		}
	}
	return x.sendBlocks(ctx, content, make([]byte, header+blockSize))
}

// sendBlocks fills packet with one block after the other. The first that is not full is
// the last, so it is an empty one where the size is a multiple of the block's. Numbers
// go on with 0 after 65535.
func (x *transfer) sendBlocks(ctx context.Context, content io.Reader, packet []byte) error {
	binary.BigEndian.PutUint16(packet, opDATA)
	for block := uint16(1); ; block++ {
		n, err := io.ReadFull(content, packet[header:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		binary.BigEndian.PutUint16(packet[2:], block)
		x.bytes += int64(n)
		if err := x.exchange(ctx, packet[:header+n], block); err != nil {
			return err
		}
		if header+n < len(packet) {
			return nil
		}
	}
}

// exchange sends a packet until its block is acknowledged.
func (x *transfer) exchange(ctx context.Context, packet []byte, block uint16) error {
	for range 1 + retries {
		if _, err := x.conn.WriteToUDPAddrPort(packet, x.client); err != nil {
			return err
		}
		err := x.await(ctx, block)
		if ctx.Err() != nil && err != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err == nil && !x.proven {
			x.proven = true
			x.proved()
		}
		return err
	}
	return errSilent
}

// await waits for the acknowledgement of a block. A packet of another address or port
// is not the client's (RFC 1350, section 4); it is not answered either, since that may
// be forged, too.
func (x *transfer) await(ctx context.Context, block uint16) error {
	if err := x.conn.SetReadDeadline(time.Now().Add(x.patience)); err != nil {
		return err
	}
	for ctx.Err() == nil {
		n, from, err := x.conn.ReadFromUDPAddrPort(x.in[:])
		if err != nil {
			return err
		}
		if netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != x.client {
			continue
		}
		if done, err := acknowledges(x.in[:n], block); done || err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// fail tells the client that a transfer has ended, but for one that said so itself.
// Nothing acknowledges an ERROR (RFC 1350, section 7): where it is lost, the client waits
// until it gives up.
func (x *transfer) fail(code errorCode, err error) {
	if _, said := errors.AsType[clientError](err); said {
		return
	}
	_, _ = x.conn.WriteToUDPAddrPort(errorPacket(code, err.Error()), x.client)
}

// blockOver is the largest block that a link takes in one piece.
func blockOver(link int) int {
	const headers = 20 + 8 + header // of IPv4, UDP and DATA
	on, err := net.InterfaceByIndex(link)
	if err != nil {
		return defaultBlock
	}
	return min(on.MTU-headers, maxBlock)
}
