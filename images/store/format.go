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
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"dragonfly/images/frame"
	"dragonfly/images/qcow2"
)

// maxWindow is how much of what it has unpacked a decoder may keep: what the largest
// level of xz and that of zstd without --long need, and twice as much.
const maxWindow = 128 << 20

// packing is a way a file is packed.
type packing struct {
	ext   string
	magic string
	open  func(io.Reader) (io.Reader, error)
}

// packings are those that are known, by how files begin: names lie.
func packings() []packing {
	return []packing{
		{".gz", "\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{".xz", "\xfd7zXZ\x00", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, maxWindow) }},
		{".zst", "\x28\xb5\x2f\xfd", openZstd},
		{".bz2", "BZh", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	}
}

func openZstd(r io.Reader) (io.Reader, error) {
	// More cores do not make it faster, and would have to be let go in the end.
	return zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
}

// strangers are files that are no disks, or disks of a kind that is not read, by
// how they begin. Anything else is a raw disk.
var strangers = []struct {
	at          int
	magic, what string
}{
	{0, "KDMV", "a VMDK disk"},
	{0, "# Disk Descriptor", "the description of a VMDK disk"},
	{0, "vhdxfile", "a VHDX disk"},
	{0, "conectix", "a VHD disk"},
	{0x40, "\x7f\x10\xda\xbe", "a VDI disk"},
	{0, "PK\x03\x04", "a ZIP archive"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{257, "ustar", "a tar archive"},
	{0, "hsqs", "a SquashFS file system"},
	{0, "<!DOCTYPE", "a web page"},
	{0, "<!doctype", "a web page"},
	{0, "<html", "a web page"},
	{0, "<?xml", "an XML document"},
}

// headSize is how much of a disk is looked at: its first sectors, where a partition
// table is.
const headSize = 4096

// opened is a file of which it is known what it is.
type opened struct {
	packing string
	format  string // raw or qcow2, and the packing
	disk    *bufio.Reader
	head    []byte
}

// open finds out what a file is. It is an error if that is not what it is said to
// be; said is empty where nothing is.
func open(file io.Reader, said string) (*opened, error) {
	packed := bufio.NewReaderSize(file, 1<<20)
	o, disk := &opened{}, io.Reader(packed)
	magic, err := packed.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	for _, p := range packings() {
		if !bytes.HasPrefix(magic, []byte(p.magic)) || (p.ext == ".bz2" && !isBzip2(magic)) {
			continue
		}
		if disk, err = p.open(packed); err != nil {
			return nil, fmt.Errorf("unpack the %s file: %w", p.ext[1:], err)
		}
		o.packing = p.ext
		break
	}
	o.disk = bufio.NewReaderSize(disk, 1<<20)
	if o.head, err = o.disk.Peek(headSize); err != nil && err != io.EOF {
		return nil, o.broken(err)
	}
	return o, o.identify(said)
}

// isBzip2 looks at the level behind the magic, which is a digit; two letters and an
// h alone could be anything.
func isBzip2(magic []byte) bool { return len(magic) > 3 && magic[3] >= '1' && magic[3] <= '9' }

// identify says what the disk is, and compares that with what it is said to be.
func (o *opened) identify(said string) error {
	for _, s := range strangers {
		if len(o.head) >= s.at && bytes.HasPrefix(o.head[s.at:], []byte(s.magic)) {
			return fmt.Errorf("it is %s; want a raw or qcow2 disk, and .gz, .xz, .zst or .bz2 where it is packed", s.what)
		}
	}
	o.format = "raw"
	if bytes.HasPrefix(o.head, []byte(qcow2.Magic)) {
		o.format = "qcow2"
	}
	o.format += o.packing
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
	return fmt.Errorf("unpack the %s file: %w", strings.TrimPrefix(o.packing, "."), err)
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
