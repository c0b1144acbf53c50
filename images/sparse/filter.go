package sparse

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// The format of a frame: RFC 8878 section 3.1.1.
const (
	frameMagic = 0xFD2FB528
	skippable  = 0x184D2A50 // to 0x184D2A5F

	// In a frame's descriptor.
	sizeFlag      = 3 << 6
	singleSegment = 1 << 5
	checksumFlag  = 1 << 2
	dictionary    = 3

	lastBlock = 1
	rleBlock  = 1

	checksumSize = 4
	maxBlock     = 128 << 10 // raw bytes of a block, which is no larger than the window either
	// toldAt is how large a hole has to be to be told before it ends.
	toldAt = 64 << 20
)

// filter takes blocks of zeros out of a stream on its way to the decoder, so far as
// nothing behind them can refer to more zeros than the decoder has been given; and all
// that the decoder makes of the rest passes it on the way out.
type filter struct {
	from io.Reader
	to   Writer // nil: nothing is taken out

	head []byte       // to be given to the decoder
	rest int64        // of the source, given after head as it is; below 0: all
	next func() error // reads on when these are given; nil: at a frame

	frame frame
	hole  int64 // zeros taken out and not told yet
}

// errCut is not io.ErrUnexpectedEOF itself, which is the decoder's to find.
var errCut = fmt.Errorf("the checksum of a zstd frame is missing: %w", io.ErrUnexpectedEOF)

// frame is what a filter knows of the frame that it is in.
type frame struct {
	window  uint64         // how far back it refers, in bytes; 0: it is given as it is
	zeros   uint64         // that were given last
	sum     *xxhash.Digest // nil: it has no checksum
	sized   bool           // it says how many bytes it has
	left    uint64         // of these
	trailer int            // bytes behind the last block of one that is given as it is
}

// Read gives the decoder what it is to unpack. The next step of the format is read
// when the decoder wants more than the last one had: it has written all of that then.
func (f *filter) Read(p []byte) (int, error) {
	if f.to == nil {
		return f.from.Read(p)
	}
	for len(f.head) == 0 && f.rest == 0 {
		if err := f.step(); err != nil {
			return 0, err
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	if f.rest > 0 {
		p = p[:min(int64(len(p)), f.rest)]
	}
	n, err := f.from.Read(p)
	if f.rest > 0 {
		f.rest -= int64(n)
	}
	return n, err
}

// step reads the head of a frame, of a block, or what is behind the last one. Of a
// stream that is cut, or no zstd, the rest is given as it is: the decoder says what is
// wrong with it.
func (f *filter) step() error {
	f.head = make([]byte, 0, 32)
	next := f.next
	if next == nil {
		next = f.begin
	}
	err := next()
	if err == io.ErrUnexpectedEOF || err == io.EOF && len(f.head) > 0 {
		f.rest, err = -1, nil
	}
	return err
}

// take reads n more bytes to be given.
func (f *filter) take(n int) ([]byte, error) {
	at := len(f.head)
	got, err := io.ReadFull(f.from, f.head[at:at+n])
	f.head = f.head[:at+got]
	return f.head[at:], err
}

// begin reads the head of a frame.
func (f *filter) begin() error {
	magic, err := f.take(4)
	if err != nil {
		return err
	}
	switch kind := binary.LittleEndian.Uint32(magic); {
	case kind == frameMagic:
		return f.header()
	case kind&^0xF == skippable:
		size, err := f.take(4)
		if err == nil {
			f.rest = int64(binary.LittleEndian.Uint32(size))
		}
		return err
	}
	f.rest = -1
	return nil
}

// header reads what a frame says of itself and takes its size and its checksum away:
// of a part of it the decoder can hold neither. One of a single segment, which is in
// memory as a whole, and one that needs a dictionary, are given as they are.
func (f *filter) header() error {
	b, err := f.take(1)
	if err != nil {
		return err
	}
	descriptor := b[0]
	f.next, f.frame = f.block, frame{}
	if descriptor&(singleSegment|dictionary) != 0 {
		return f.whole(descriptor)
	}
	if b, err = f.take(1); err != nil {
		return err
	}
	base := uint64(1) << (10 + b[0]>>3)
	f.frame.window = base + base/8*uint64(b[0]&7)
	if descriptor&checksumFlag != 0 {
		f.frame.sum = xxhash.New()
	}
	size, err := f.take([]int{0, 2, 4, 8}[descriptor>>6])
	if err != nil {
		return err
	}
	f.frame.sized, f.frame.left = len(size) > 0, sizeOf(size)
	f.head = f.head[:len(f.head)-len(size)]
	f.head[4] = descriptor &^ (sizeFlag | checksumFlag)
	return nil
}

// sizeOf reads how many bytes a frame has (RFC 8878 section 3.1.1.1.4).
func sizeOf(b []byte) uint64 {
	switch len(b) {
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)) + 256
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// whole reads the rest of the head of a frame that is given as it is.
func (f *filter) whole(descriptor byte) error {
	n := []int{0, 1, 2, 4}[descriptor&dictionary] + []int{0, 2, 4, 8}[descriptor>>6]
	switch {
	case descriptor&singleSegment == 0:
		n++ // the window
	case descriptor&sizeFlag == 0:
		n++ // a size of one byte
	}
	if descriptor&checksumFlag != 0 {
		f.frame.trailer = checksumSize
	}
	_, err := f.take(n)
	return err
}

// block reads the head of a block.
func (f *filter) block() error {
	b, err := f.take(3)
	if err != nil {
		return err
	}
	head := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	last, size := head&lastBlock != 0, head>>3
	if last {
		f.next = f.end
	}
	if head>>1&3 != rleBlock {
		f.rest, f.frame.zeros = int64(size), 0
		return nil
	}
	value, err := f.take(1)
	switch {
	case err != nil:
		return err
	case value[0] != 0:
		f.frame.zeros = 0
	case last || uint64(size) > min(maxBlock, f.frame.window) || f.frame.zeros < f.frame.window:
		f.frame.zeros += uint64(size)
	default:
		f.head = f.head[:0]
		if f.hole += int64(size); f.hole >= toldAt {
			return f.tell()
		}
	}
	return nil
}

// end holds a frame against its size and its checksum.
func (f *filter) end() error {
	f.next = nil
	if f.frame.window == 0 {
		_, err := f.take(f.frame.trailer)
		return err
	}
	if err := f.tell(); err != nil {
		return err
	}
	if f.frame.sized && f.frame.left > 0 {
		return ErrSize
	}
	if f.frame.sum == nil {
		return nil
	}
	var want [checksumSize]byte
	if _, err := io.ReadFull(f.from, want[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return errCut
	} else if err != nil {
		return err
	}
	if uint32(f.frame.sum.Sum64()) != binary.LittleEndian.Uint32(want[:]) {
		return ErrChecksum
	}
	return nil
}

// Write takes what the decoder has unpacked.
func (f *filter) Write(p []byte) (int, error) {
	if err := f.tell(); err != nil {
		return 0, err
	}
	if err := f.frame.count(len(p)); err != nil {
		return 0, err
	}
	if f.frame.sum != nil {
		_, _ = f.frame.sum.Write(p)
	}
	return f.to.Write(p)
}

var zeros [64 << 10]byte

// tell tells of a hole.
func (f *filter) tell() error {
	n := f.hole
	if f.hole = 0; n == 0 {
		return nil
	}
	if err := f.frame.count(int(n)); err != nil {
		return err
	}
	for rest := n; f.frame.sum != nil && rest > 0; rest -= int64(len(zeros)) {
		_, _ = f.frame.sum.Write(zeros[:min(rest, int64(len(zeros)))])
	}
	return f.to.Hole(n)
}

// count counts raw bytes of the frame.
func (f *frame) count(n int) error {
	if f.sized && uint64(n) > f.left {
		return ErrSize
	}
	f.left -= uint64(n)
	return nil
}
