// Package sparse unpacks images of disks without making the zeros of their holes.
//
// Most of a disk's image is zeros, and packing them costs next to nothing, but
// unpacking them as much as anything else: they are made, hashed, looked through to
// find out that they are zeros, and thrown away. Zstd has a block for them, which says
// one byte and how often it comes (RFC 8878 section 3.1.1.2.2, RLE_Block). This package
// takes such blocks out of the stream before it is unpacked, and tells that there is a
// hole.
package sparse

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Writer takes a raw image in its order: bytes, and holes of n zeros.
type Writer interface {
	io.Writer
	Hole(n int64) error
}

// What a frame says of itself and is not so.
var (
	ErrChecksum = errors.New("the checksum of a zstd frame is another")
	ErrSize     = errors.New("a zstd frame has more or fewer bytes than it says")
)

// Zstd unpacks a zstd stream: one frame, or some behind one another.
type Zstd struct {
	decoder *zstd.Decoder
	filter  filter
}

// NewZstd unpacks r, which may refer back at most window bytes.
func NewZstd(r io.Reader, window uint64) (*Zstd, error) {
	z := &Zstd{filter: filter{from: r}}
	// One goroutine, which reads no further than it unpacks: what it has written is all
	// that comes before the block that it reads next.
	d, err := zstd.NewReader(&z.filter, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	z.decoder = d
	return z, err
}

// Close frees what z has.
func (z *Zstd) Close() { z.decoder.Close() }

// Read reads everything; it makes the zeros of holes.
func (z *Zstd) Read(p []byte) (int, error) { return z.decoder.Read(p) }

// WriteTo writes everything to w. If w is a [Writer], it is told of holes, and n is
// without them.
func (z *Zstd) WriteTo(w io.Writer) (n int64, err error) {
	to, ok := w.(Writer)
	if !ok {
		return z.decoder.WriteTo(w)
	}
	z.filter.to = to
	return z.decoder.WriteTo(&z.filter)
}
