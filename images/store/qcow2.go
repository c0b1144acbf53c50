package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/lima-vm/go-qcow2reader/image/qcow2"
	"github.com/lima-vm/go-qcow2reader/log"

	"dragonfly/images/frame"
)

// A qcow2 file can name other files of the host and ask for memory without end, so
// its header is checked before the library that reads it sees it. The layout is
// that of QEMU's docs/interop/qcow2.txt.

// maxL1 is the bytes of the first table that QEMU takes as well.
const maxL1 = 32 << 20

// The features of a version 3 that change how a disk is read.
const (
	qcow2Dirty       = 1 << 0 // the counts of references may be wrong, which readers do not need
	qcow2Corrupt     = 1 << 1
	qcow2External    = 1 << 2
	qcow2Compression = 1 << 3
	qcow2ExtendedL2  = 1 << 4
)

// checkQcow2 refuses what is not one whole disk in one file.
func checkQcow2(head []byte, size int64) error {
	if len(head) < 104 {
		return errors.New("the qcow2 header is cut")
	}
	u32 := func(at int) uint64 { return uint64(binary.BigEndian.Uint32(head[at:])) }
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(head[at:]) }
	version, clusterBits, disk, l1, l1At := u32(4), u32(20), u64(24), u32(36), u64(40)
	switch {
	case version != 2 && version != 3:
		return fmt.Errorf("qcow2 of version %d; want 2 or 3", version)
	case u64(8) != 0:
		return errors.New("it is only what was changed of another disk (it has a backing file); flatten it first: qemu-img convert -O qcow2 IN OUT")
	case u32(32) != 0:
		return errors.New("it is encrypted; want it plain")
	case clusterBits < 9 || clusterBits > 21:
		return fmt.Errorf("qcow2 clusters of 2^%d bytes; want 2^9 to 2^21", clusterBits)
	case disk == 0 || disk > frame.MaxImageSize || disk%frame.SectorSize != 0:
		return fmt.Errorf("a disk of %d bytes; want whole sectors of %d, and at most %d bytes", disk, frame.SectorSize, int64(frame.MaxImageSize))
	}
	if version == 3 {
		if err := checkQcow2Features(u64(72)); err != nil {
			return err
		}
		if length := u32(100); length < 104 || length > headSize || (length > 104 && len(head) < 112) {
			return fmt.Errorf("a qcow2 header of %d bytes", length)
		}
	}
	cluster := uint64(1) << clusterBits
	covered := cluster * (cluster / 8) // by an entry of the first table
	if l1 < (disk+covered-1)/covered || l1*8 > maxL1 || l1At == 0 || l1At > uint64(size) || l1At+l1*8 > uint64(size) {
		return fmt.Errorf("the first table of the qcow2 file, of %d entries at %d, does not fit; the file may be cut", l1, l1At)
	}
	return nil
}

func checkQcow2Features(features uint64) error {
	switch {
	case features&qcow2External != 0:
		return errors.New("its data is in another file; put it into one: qemu-img convert -O qcow2 IN OUT")
	case features&qcow2Corrupt != 0:
		return errors.New("it is marked as corrupt; see qemu-img check")
	case features&qcow2ExtendedL2 != 0:
		return errors.New("it has subclusters (extended_l2), which are not read; convert it: qemu-img convert -O qcow2 IN OUT")
	case features&^(qcow2Dirty|qcow2Compression) != 0:
		return fmt.Errorf("it has features (%#x) that are not known", features)
	}
	return nil
}

// openQcow2 is the disk in a file.
func openQcow2(file *os.File) (io.Reader, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	head := make([]byte, headSize)
	n, err := file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, 0, err
	}
	if err := checkQcow2(head[:n], info.Size()); err != nil {
		return nil, 0, err
	}
	teachQcow2()
	disk, err := qcow2.Open(file, nil)
	if err == nil {
		err = disk.Readable()
	}
	if err != nil {
		return nil, 0, err
	}
	return &sequential{disk: disk, size: disk.Size()}, disk.Size(), nil
}

// teachQcow2 gives the library decoders, for which it has one place for all.
var teachQcow2 = sync.OnceFunc(func() {
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

// sequential reads a disk from its start to its end. Any read that brings less is a
// cut file.
type sequential struct {
	disk     io.ReaderAt
	at, size int64
}

func (s *sequential) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), s.size-s.at)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	n, err := s.disk.ReadAt(p, s.at)
	s.at += int64(n)
	if n == len(p) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the qcow2 file is cut (%v)", io.ErrUnexpectedEOF, err)
	}
	return n, fmt.Errorf("read the qcow2 disk at %d: %w", s.at, err)
}
