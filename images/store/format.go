package store

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"dragonfly/images/frame"
	"dragonfly/images/magic"
	"dragonfly/images/qcow2"
)

// maxWindow is how much of what it has unpacked a decoder may keep: what the largest
// level of xz and that of zstd without --long need, and twice as much.
const maxWindow = 128 << 20

// unpack reads a packed file.
func unpack(how magic.Packing, r io.Reader) (io.Reader, error) {
	switch how {
	case magic.Gzip:
		return gzip.NewReader(r)
	case magic.XZ:
		return xz.NewReader(r, maxWindow)
	case magic.Zstd:
		return openZstd(r)
	case magic.Bzip2:
		return bzip2.NewReader(r), nil
	}
	return r, nil
}

func openZstd(r io.Reader) (io.Reader, error) {
	// More cores do not make it faster, and would have to be let go in the end.
	return zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
}

// opened is a file of which it is known what it is.
type opened struct {
	packing magic.Packing
	format  string // raw or qcow2, and the packing
	disk    *bufio.Reader
	head    []byte
}

// open finds out what a file is. It is an error if that is not what it is said to
// be; said is empty where nothing is.
func open(file io.Reader, said string) (*opened, error) {
	packed := bufio.NewReaderSize(file, 1<<20)
	begin, err := packed.Peek(magic.Size)
	if err != nil && err != io.EOF {
		return nil, err
	}
	o := &opened{packing: magic.PackingOf(begin)}
	disk, err := unpack(o.packing, packed)
	if err != nil {
		return nil, fmt.Errorf("unpack the %s file: %w", o.packing, err)
	}
	o.disk = bufio.NewReaderSize(disk, 1<<20)
	if o.head, err = o.disk.Peek(magic.HeadSize); err != nil && err != io.EOF {
		return nil, o.broken(err)
	}
	return o, o.identify(said)
}

// identify says what the disk is, and compares that with what it is said to be.
func (o *opened) identify(said string) error {
	what := magic.Stranger(o.head)
	if bytes.HasPrefix(o.head, []byte("hsqs")) {
		what = "a SquashFS file system"
	}
	if what != "" {
		return fmt.Errorf("it is %s; want a raw or qcow2 disk, and .gz, .xz, .zst or .bz2 where it is packed", what)
	}
	o.format = "raw"
	if bytes.HasPrefix(o.head, []byte(qcow2.Magic)) {
		o.format = "qcow2"
	}
	o.format += o.packing.Ext()
	if said != "" && said != o.format {
		return fmt.Errorf("it is %s, and not %s as it is said to be", o.format, said)
	}
	return nil
}

// broken is the error of a file that does not unpack. What each decoder has to say
// of a cut file is put into one word.
func (o *opened) broken(err error) error {
	if errors.Is(err, xz.ErrBuf) {
		err = fmt.Errorf("%w (%w)", io.ErrUnexpectedEOF, err)
	}
	return fmt.Errorf("unpack the %s file: %w", o.packing, err)
}

// Read reads the disk. An end that comes too early is an error that says so.
func (o *opened) Read(p []byte) (int, error) {
	n, err := o.disk.Read(p)
	if err != nil && err != io.EOF && o.packing != "" {
		err = o.broken(err)
	}
	return n, err
}

// diskSize is how large a disk is at least, by its partition table: GPT says where
// its copy is, in the last sector (UEFI 2.10 section 5.3.2). 0: it does not say.
func diskSize(head []byte) int64 {
	const sector = frame.SectorSize
	if len(head) < 2*sector || string(head[sector:sector+8]) != "EFI PART" {
		return 0
	}
	gpt := bytes.Clone(head[sector : sector+92])
	sum := binary.LittleEndian.Uint32(gpt[16:])
	clear(gpt[16:20])
	if binary.LittleEndian.Uint32(gpt[12:]) != 92 || crc32.ChecksumIEEE(gpt) != sum {
		return 0
	}
	last := binary.LittleEndian.Uint64(gpt[32:])
	if last >= frame.MaxImageSize/sector {
		return 0
	}
	return int64(last+1) * sector
}
