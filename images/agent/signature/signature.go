package signature

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a signature means for what is on a disk.
type Kind int

// The kinds.
const (
	FileSystem Kind = iota
	Swap
	Encrypted
	Member // of something that may reach over other disks
	Table  // a partition table
	Mark   // Dragonfly's own, see [WriteMark]
	Data   // something that is not recognised
)

// Signature is one thing recognised.
type Signature struct {
	Type  string // as blkid names it
	Kind  Kind
	Label string // of a file system; the name of an array, volume group or pool
	UUID  string // of it, as far as it has one
	Parts int    // how many disks it reaches over; 0 where that is not known
	Magic []Span // where its magic numbers stand
}

// Span is a place on a disk.
type Span struct{ Offset, Length int64 }

// edge is how much is read at the start and at the end of a device at once: all
// magic numbers but a few stand there.
const edge = 256 << 10

// probe is a device that is looked at.
type probe struct {
	r          io.ReaderAt
	size       int64
	head, tail []byte
	tailAt     int64
	err        error // the first that reading met
}

// Probe finds the signatures on a device or a partition of that size, in the order
// of the first magic number of each. A place that cannot be read is an error, beside
// what was found elsewhere.
func Probe(r io.ReaderAt, size int64) ([]Signature, error) {
	p := &probe{r: r, size: size}
	p.head = p.read(0, min(edge, size))
	p.tailAt = max(int64(len(p.head)), size-3*edge)
	p.tail = p.read(p.tailAt, size-p.tailAt)
	var found []Signature
	for _, look := range looks {
		found = append(found, look(p)...)
	}
	for _, m := range magics {
		if p.has(m.at, m.magic) {
			found = append(found, Signature{Type: m.name, Kind: m.kind, Magic: []Span{{p.offset(m.at), int64(len(m.magic))}}})
		}
	}
	slices.SortStableFunc(found, func(a, b Signature) int { return cmp.Compare(a.Magic[0].Offset, b.Magic[0].Offset) })
	return found, p.err
}

// looks are what is recognised by more than a magic number.
var looks = []func(*probe) []Signature{
	ext, xfs, btrfs, fat, exfat, ntfs, swap, luks, mdFirst, mdLast, lvm, zfs, ddf, imsm, bcache, vmfs, readMark,
}

// magics are what is recognised by one magic number; a place that is negative is
// counted from the end.
var magics = []struct {
	name  string
	kind  Kind
	at    int64
	magic string
}{
	{"BitLocker", Encrypted, 3, "-FVE-FS-"},
	{"ReFS", FileSystem, 3, "ReFS\x00\x00\x00\x00"},
	{"iso9660", FileSystem, 0x8001, "CD001"},
	{"squashfs", FileSystem, 0, "hsqs"},
	{"erofs", FileSystem, 1024, "\xe2\xe1\xf5\xe0"},
	{"f2fs", FileSystem, 1024, "\x10\x20\xf5\xf2"},
	{"jfs", FileSystem, 0x8000, "JFS1"},
	{"reiserfs", FileSystem, 0x10034, "ReIsEr"},
	{"hfsplus", FileSystem, 1024, "H+\x00\x04"},
	{"apfs", FileSystem, 32, "NXSB"},
	{"ufs", FileSystem, 65536 + 1372, "\x19\x01\x54\x19"},
	// Of several machines at once: whoever erases one takes it from all.
	{"gfs2", Member, 0x10000, "\x01\x16\x19\x70\x00\x00\x00\x01"},
	{"ocfs2", Member, 8192, "OCFSV2"},
	{"oracleasm", Member, 32, "ORCLDISK"},
	{"ceph_bluestore", Member, 0, "bluestore block device"},
	{"vdo", Member, 0, "dmvdo001"},
	{"stratis", Member, 512 + 4, "!Stra0tis\x86\xff\x02^\x41rh"},
	{"stratis", Member, 4608 + 4, "!Stra0tis\x86\xff\x02^\x41rh"},
	{"drbd", Member, -4096 + 60, "\x83\x74\x02\x6d"},
	{"drbd", Member, -4096 + 60, "\x83\x74\x02\x6e"},
	{"LVM1_member", Member, 0, "HM\x01\x00"},
	{"LVM1_member", Member, 0, "HM\x02\x00"},
	// Of RAID adapters and mainboards.
	{"adaptec_raid_member", Member, -512 + 96, "DPTM"},
	{"nvidia_raid_member", Member, -1024, "NVIDIA"},
	{"promise_fasttrack_raid_member", Member, -63 * 512, "Promise Technology, Inc."},
	{"lsi_mega_raid_member", Member, -512, "$XIDE$"},
	{"highpoint_raid_member", Member, 9*512 + 32, "\xf0\x16\x78\x5a"},
	{"highpoint_raid_member", Member, 9*512 + 32, "\xfd\x16\x78\x5a"},
}

// offset is a place counted from the start.
func (p *probe) offset(at int64) int64 {
	if at < 0 {
		return p.size + at
	}
	return at
}

// read reads from the device; what cannot be read is missing at the end.
func (p *probe) read(off, n int64) []byte {
	if off < 0 || n <= 0 || off >= p.size {
		return nil
	}
	b := make([]byte, min(n, p.size-off))
	got, err := p.r.ReadAt(b, off)
	if got < len(b) && p.err == nil {
		p.err = fmt.Errorf("read %d bytes at %d: %w", len(b), off, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return b[:max(0, got)]
}

// at is n bytes at a place; nil where there are fewer.
func (p *probe) at(at, n int64) []byte {
	off := p.offset(at)
	switch {
	case off < 0 || n <= 0 || off > p.size-n:
		return nil
	case off+n <= int64(len(p.head)):
		return p.head[off : off+n]
	case off >= p.tailAt && off-p.tailAt+n <= int64(len(p.tail)):
		return p.tail[off-p.tailAt:][:n]
	}
	if b := p.read(off, n); int64(len(b)) == n {
		return b
	}
	return nil
}

// has reports whether the bytes stand at a place.
func (p *probe) has(at int64, magic string) bool {
	return string(p.at(at, int64(len(magic)))) == magic
}

// span is where so many bytes stand.
func (p *probe) span(at, n int64) Span { return Span{p.offset(at), n} }

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// maxText bounds a label, in bytes.
const maxText = 128

// text is a label that ends at the first zero byte, fit to be shown: no control
// characters, no markup, blanks as one.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return tidy(s)
}

func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			return '('
		case r == '>':
			return ')'
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s[:min(len(s), 4*maxText)])
	s = strings.Join(strings.Fields(s), " ")
	for len(s) > maxText {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// uuid writes 16 bytes as they stand; "" for zeros.
func uuid(b []byte) string {
	if len(b) < 16 || [16]byte(b) == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// one is the result of a look that found one thing.
func one(s Signature) []Signature { return []Signature{s} }
