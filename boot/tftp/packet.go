package tftp

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Opcodes of RFC 1350, section 5, and of RFC 2347 (OACK).
const (
	opRRQ   = 1
	opWRQ   = 2
	opDATA  = 3
	opACK   = 4
	opERROR = 5
	opOACK  = 6
)

// errorCode is one of RFC 1350's appendix.
type errorCode uint16

const (
	notDefined      errorCode = 0 // the message says it
	fileNotFound    errorCode = 1
	accessViolation errorCode = 2
)

const (
	header = 4 // of DATA, ACK and ERROR
	// maxRequest is what a request, an ACK or an ERROR may measure: RFC 2347 has requests
	// end at 512 bytes.
	maxRequest = 516

	// A block is of 512 bytes unless agreed otherwise (RFC 1350, section 2), and of
	// 65464 at most (RFC 2348). RFC 2348 allows smaller ones; they only serve to make
	// this host send more packets.
	defaultBlock, maxBlock = 512, 65464
)

// request is a read request, and those of its options that are served.
type request struct {
	name      string
	netascii  bool // RFC 1350, section 1: lines are to end with CR LF
	blockSize int  // asked for; 0 where it was not
	size      bool // tsize was asked for
}

var (
	errWrite     = errors.New("nothing can be written here")
	errMalformed = errors.New("not a TFTP request")
)

// parseRequest reads a request as RFC 1350, section 5, and RFC 2347 have it. What comes
// after the last whole option is not looked at, since some firmware pads its packets.
// windowsize (RFC 7440) and timeout (RFC 2349) are options that are not served: they are
// left out of the answer, which refuses them.
func parseRequest(packet []byte) (request, error) {
	if len(packet) < header {
		return request{}, fmt.Errorf("%w: %d bytes", errMalformed, len(packet))
	}
	switch op := binary.BigEndian.Uint16(packet); op {
	case opRRQ:
	case opWRQ:
		return request{}, errWrite
	default:
		return request{}, fmt.Errorf("%w: opcode %d", errMalformed, op)
	}
	fields := bytes.Split(packet[2:], []byte{0})
	if len(fields) < 2 {
		return request{}, fmt.Errorf("%w: no name or no mode", errMalformed)
	}
	r := request{name: string(fields[0]), netascii: strings.EqualFold(string(fields[1]), "netascii")}
	for i := 2; i+1 < len(fields); i += 2 {
		r.option(string(fields[i]), string(fields[i+1]))
	}
	return r, nil
}

// option takes in an option, the name of which may be of any case (RFC 2347).
func (r *request) option(name, value string) {
	switch strings.ToLower(name) {
	case "blksize":
		if n, err := strconv.Atoi(value); err == nil && n >= defaultBlock && n <= maxBlock {
			r.blockSize = n
		}
	case "tsize":
		r.size = true
	}
}

// negotiates reports whether the answer to a request is an OACK, and not the first block.
func (r request) negotiates() bool { return r.blockSize > 0 || r.size }

// agree is the block size of a transfer over a link that takes blocks up to most, and
// the OACK that says it, which is empty for a request without options. A smaller size
// than the one asked for is allowed (RFC 2348), and keeps packets whole: firmware often
// cannot put fragments together.
func (r request) agree(most int, size int64) (blockSize int, oack []byte) {
	blockSize = min(cmp.Or(r.blockSize, defaultBlock), max(most, defaultBlock))
	if !r.negotiates() {
		return blockSize, nil
	}
	oack = []byte{0, opOACK}
	if r.blockSize > 0 {
		oack = fmt.Appendf(oack, "blksize\x00%d\x00", blockSize)
	}
	if r.size {
		oack = fmt.Appendf(oack, "tsize\x00%d\x00", size)
	}
	return blockSize, oack
}

func errorPacket(code errorCode, text string) []byte {
	packet := binary.BigEndian.AppendUint16([]byte{0, opERROR}, uint16(code))
	return append(append(packet, text...), 0)
}

// clientError is an ERROR that a client sent.
type clientError struct {
	code errorCode
	text string
}

func (e clientError) Error() string { return fmt.Sprintf("client says: %q (code %d)", e.text, e.code) }

// acknowledges reports whether a packet is the ACK of a block, and gives back the ERROR
// that it is instead. An ACK of another block is a repeated one: to answer it would send
// every block after it twice (RFC 1123, section 4.2.3.1).
func acknowledges(packet []byte, block uint16) (bool, error) {
	if len(packet) < header {
		return false, nil
	}
	number := binary.BigEndian.Uint16(packet[2:])
	switch binary.BigEndian.Uint16(packet) {
	case opACK:
		return number == block, nil
	case opERROR:
		text, _, _ := bytes.Cut(packet[header:], []byte{0})
		return false, clientError{errorCode(number), string(text)}
	}
	return false, nil
}
