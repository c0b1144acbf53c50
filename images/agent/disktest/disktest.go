// Package disktest has disks for tests: sparse ones in memory, recordings of what
// real tools wrote, and loop devices of the kernel.
package disktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
)

const block = 4096

// Disk is a disk in memory that takes room only for what is not zero. It keeps
// count of what was read, for [Disk.Record].
type Disk struct {
	Size   int64
	blocks map[int64]*[block]byte
	read   map[int64]bool
}

// New is a blank disk.
func New(size int64) *Disk {
	return &Disk{Size: size, blocks: map[int64]*[block]byte{}, read: map[int64]bool{}}
}

// ReadAt reads; behind the end there is nothing.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= d.Size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), d.Size-off))
	clear(p[:n])
	d.each(p[:n], off, func(at int64, part []byte, from int) {
		d.read[at] = true
		if b := d.blocks[at]; b != nil {
			copy(part, b[from:])
		}
	})
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes; it does not write behind the end.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > d.Size {
		return 0, fmt.Errorf("write %d bytes at %d: the disk has %d", len(p), off, d.Size)
	}
	d.each(p, off, func(at int64, part []byte, from int) {
		b := d.blocks[at]
		if b == nil {
			b = new([block]byte)
			d.blocks[at] = b
		}
		copy(b[from:], part)
	})
	return len(p), nil
}

// each calls do with the parts of p in each block.
func (d *Disk) each(p []byte, off int64, do func(at int64, part []byte, from int)) {
	for len(p) > 0 {
		from := int(off % block)
		n := min(len(p), block-from)
		do(off/block, p[:n], from)
		p, off = p[n:], off+int64(n)
	}
}

// IsBlank reports whether all of it is zero.
func (d *Disk) IsBlank() bool {
	for _, b := range d.blocks {
		if *b != [block]byte{} {
			return false
		}
	}
	return true
}

// Copy is another disk with the same contents, of which nothing was read.
func (d *Disk) Copy() *Disk {
	c := New(d.Size)
	for at, b := range d.blocks {
		c.blocks[at] = new(*b)
	}
	return c
}

// Record encodes the blocks that were read and are not zero.
func (d *Disk) Record() ([]byte, error) {
	var raw bytes.Buffer
	put := func(n int64) { _ = binary.Write(&raw, binary.LittleEndian, n) }
	put(d.Size)
	for _, at := range slices.Sorted(maps.Keys(d.read)) {
		if b := d.blocks[at]; b != nil && *b != [block]byte{} {
			put(at)
			raw.Write(b[:])
		}
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(raw.Bytes(), nil), nil
}

// Load decodes what [Disk.Record] has encoded.
func Load(recorded []byte) (*Disk, error) {
	r, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := r.DecodeAll(recorded, nil)
	if err != nil || len(raw)%(8+block) != 8 {
		return nil, fmt.Errorf("a recorded disk of %d bytes: %w", len(raw), err)
	}
	d := New(int64(binary.LittleEndian.Uint64(raw)))
	for raw = raw[8:]; len(raw) > 0; raw = raw[8+block:] {
		b := [block]byte(raw[8 : 8+block])
		d.blocks[int64(binary.LittleEndian.Uint64(raw))] = &b
	}
	return d, nil
}
