// Package qcow2 reads disk images in QEMU's format from wherever they can be read
// at any place: a file, or a server that serves ranges.
//
// Reading is the work of github.com/lima-vm/go-qcow2reader. What is here is what an
// image from somewhere else makes necessary: its header can name other files of the
// host and ask for memory without end, so it is checked before the library sees it;
// and what the library gives is held to be all that was asked for. The layout is that
// of QEMU's docs/interop/qcow2.txt.
package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/lima-vm/go-qcow2reader/image/qcow2"
	"github.com/lima-vm/go-qcow2reader/log"
)

// Magic is how an image begins.
const Magic = "QFI\xfb"

// Sizes in bytes.
const (
	headSize = 4096     // what of the header is read
	maxL1    = 32 << 20 // of the first table; QEMU takes no more either
	maxDisk  = 1 << 40
	sector   = 512
)

// Disk is the disk that an image has in it. It may be read by one goroutine at a
// time.
type Disk struct{ image *qcow2.Qcow2 }

// Open reads the header and the first table of an image of size bytes.
func Open(image io.ReaderAt, size int64) (*Disk, error) {
	head := make([]byte, min(headSize, size))
	if n, err := image.ReadAt(head, 0); n < len(head) {
		return nil, fmt.Errorf("read the qcow2 header: %w", early(err))
	}
	if err := check(head, size); err != nil {
		return nil, err
	}
	teach()
	disk, err := qcow2.Open(image, nil)
	if err == nil {
		err = disk.Readable()
	}
	if err != nil {
		return nil, fmt.Errorf("open the qcow2 image: %w", early(err))
	}
	return &Disk{disk}, nil
}

// Size is that of the disk.
func (d *Disk) Size() int64 { return d.image.Size() }

// ReadAt fills p; what is less is an error.
func (d *Disk) ReadAt(p []byte, at int64) (int, error) {
	n, err := d.image.ReadAt(p, at)
	if n == len(p) {
		return n, nil
	}
	if at+int64(len(p)) <= d.Size() || err == nil {
		err = early(err)
	}
	return n, fmt.Errorf("read the qcow2 disk at %d: %w", at+int64(n), err)
}

// Extent is how the disk goes on at a place: with length bytes of zeros, or of data;
// never more than n.
func (d *Disk) Extent(at, n int64) (length int64, zeros bool, err error) {
	e, err := d.image.Extent(at, min(n, d.Size()-at))
	if err == nil && (e.Length <= 0 || e.Length > n) {
		err = fmt.Errorf("an extent of %d bytes", e.Length)
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the tables of the qcow2 disk at %d: %w", at, early(err))
	}
	return e.Length, e.Zero, nil
}

// early makes an end that comes too early a failure.
func early(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the image is cut", io.ErrUnexpectedEOF)
	}
	return err
}

// The features of a version 3 that change how a disk is read.
const (
	dirty       = 1 << 0 // the counts of references may be wrong, which readers do not need
	corrupt     = 1 << 1
	external    = 1 << 2
	compression = 1 << 3
	extendedL2  = 1 << 4
)

// check refuses what is not one whole disk in one file.
func check(head []byte, size int64) error {
	if len(head) < 104 {
		return fmt.Errorf("%w: the qcow2 header is cut", io.ErrUnexpectedEOF)
	}
	u32 := func(at int) uint64 { return uint64(binary.BigEndian.Uint32(head[at:])) }
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(head[at:]) }
	version, clusterBits, disk, l1, l1At := u32(4), u32(20), u64(24), u32(36), u64(40)
	switch {
	case string(head[:4]) != Magic:
		return errors.New("it is no qcow2 image")
	case version != 2 && version != 3:
		return fmt.Errorf("qcow2 of version %d; want 2 or 3", version)
	case u64(8) != 0:
		return errors.New("it is only what was changed of another disk (it has a backing file); flatten it first: qemu-img convert -O qcow2 IN OUT")
	case u32(32) != 0:
		return errors.New("it is encrypted; want it plain")
	case clusterBits < 9 || clusterBits > 21:
		return fmt.Errorf("qcow2 clusters of 2^%d bytes; want 2^9 to 2^21", clusterBits)
	case disk == 0 || disk > maxDisk || disk%sector != 0:
		return fmt.Errorf("a disk of %d bytes; want whole sectors of %d, and at most %d bytes", disk, sector, int64(maxDisk))
	}
	if version == 3 {
		if err := checkFeatures(u64(72)); err != nil {
			return err
		}
		if length := u32(100); length < 104 || length > headSize || (length > 104 && len(head) < 112) {
			return fmt.Errorf("a qcow2 header of %d bytes", length)
		}
	}
	cluster := uint64(1) << clusterBits
	covered := cluster * (cluster / 8) // by an entry of the first table
	if l1 < (disk+covered-1)/covered || l1*8 > maxL1 || l1At == 0 || l1At > uint64(size) || l1At+l1*8 > uint64(size) {
		return fmt.Errorf("the first table of the qcow2 image, of %d entries at %d, does not fit; the image may be cut", l1, l1At)
	}
	return nil
}

func checkFeatures(features uint64) error {
	switch {
	case features&external != 0:
		return errors.New("its data is in another file; put it into one: qemu-img convert -O qcow2 IN OUT")
	case features&corrupt != 0:
		return errors.New("it is marked as corrupt; see qemu-img check")
	case features&extendedL2 != 0:
		return errors.New("it has subclusters (extended_l2), which are not read; convert it: qemu-img convert -O qcow2 IN OUT")
	case features&^(dirty|compression) != 0:
		return fmt.Errorf("it has features (%#x) that are not known", features)
	}
	return nil
}

// teach gives the library decoders, for which it has one place for all.
var teach = sync.OnceFunc(func() {
	log.SetWarnFunc(nil) // what it would say on standard error has been checked
	inflaters := sync.Pool{New: func() any { return flate.NewReader(nil) }}
	qcow2.SetDecompressor(qcow2.CompressionTypeZlib, func(r io.Reader) (io.ReadCloser, error) {
		d := inflaters.Get().(io.ReadCloser)
		err := d.(flate.Resetter).Reset(r, nil)
		return &cluster{d, func() { inflaters.Put(d) }}, err
	})
	decoders := sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(4<<20))
		if err != nil {
			panic(err) // by the options, which are constant
		}
		return d
	}}
	qcow2.SetDecompressor(qcow2.CompressionTypeZstd, func(r io.Reader) (io.ReadCloser, error) {
		d := decoders.Get().(*zstd.Decoder)
		err := d.Reset(r)
		return &cluster{d, func() { decoders.Put(d) }}, err
	})
})

// cluster decodes a cluster, and gives its decoder back when it is closed.
type cluster struct {
	from io.Reader
	done func()
}

// Read reads as much as is asked for: the library takes the first read for all of
// it, and decodes again for the rest.
func (c *cluster) Read(p []byte) (int, error) { return io.ReadFull(c.from, p) }

func (c *cluster) Close() error {
	c.done()
	return nil
}
