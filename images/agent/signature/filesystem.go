package signature

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf16"
)

// ext is ext2, ext3 or ext4: the super block at 1024 (fs/ext4/ext4.h).
func ext(p *probe) []Signature {
	const (
		journal, recoverable = 0x4, 0x8               // compatible: has a journal; incompatible: is one
		onlyExt3             = 0x2 | 0x4 | 0x8 | 0x10 // incompatible features up to ext3
		onlyExt3RO           = 0x1 | 0x2 | 0x4        // read-only compatible ones
		isJournal            = recoverable
	)
	b := p.at(1024, 1024)
	if b == nil || le16(b[56:]) != 0xef53 || le32(b[24:]) > 6 || le32(b[0:]) == 0 && le32(b[96:])&isJournal == 0 {
		return nil
	}
	name := "ext2"
	switch {
	case le32(b[96:])&isJournal != 0:
		name = "jbd"
	case le32(b[96:])&^onlyExt3 != 0, le32(b[100:])&^onlyExt3RO != 0:
		name = "ext4"
	case le32(b[92:])&journal != 0:
		name = "ext3"
	}
	return one(Signature{Type: name, Label: text(b[120:136]), UUID: uuid(b[104:120]), Magic: []Span{{1024 + 56, 2}}})
}

// xfs: the super block at 0 (fs/xfs/libxfs/xfs_format.h).
func xfs(p *probe) []Signature {
	b := p.at(0, 512)
	if b == nil || string(b[:4]) != "XFSB" {
		return nil
	}
	block := binary.BigEndian.Uint32(b[4:])
	if block < 512 || block > 65536 || bits.OnesCount32(block) != 1 {
		return nil
	}
	return one(Signature{Type: "xfs", Label: text(b[108:120]), UUID: uuid(b[32:48]), Magic: []Span{{0, 4}}})
}

// btrfs: the super block at 64 KiB with copies at 64 MiB and 256 GiB
// (include/uapi/linux/btrfs_tree.h). One over several disks is a pool of them.
func btrfs(p *probe) []Signature {
	const magic = "_BHRfS_M"
	s := Signature{Type: "btrfs"}
	for _, at := range []int64{64 << 10, 64 << 20, 256 << 30} {
		if !p.has(at+64, magic) {
			continue
		}
		s.Magic = append(s.Magic, Span{at + 64, 8})
		b := p.at(at, 4096)
		if b == nil || len(s.Magic) > 1 {
			continue
		}
		s.UUID, s.Label = uuid(b[32:48]), text(b[299:299+256])
		if devices := le64(b[136:]); devices > 1 {
			s.Kind, s.Parts = Member, int(min(devices, 1<<16))
		}
	}
	if s.Magic == nil {
		return nil
	}
	return one(s)
}

// fat is FAT12, 16 or 32: what its boot sector says has to make sense, for the mark
// at its end is that of every boot sector (Microsoft's FAT specification).
func fat(p *probe) []Signature {
	b := p.at(0, 512)
	if b == nil || le16(b[510:]) != 0xaa55 {
		return nil
	}
	sector, cluster, reserved, copies, media := int(le16(b[11:])), int(b[13]), le16(b[14:]), b[16], b[21]
	sane := sector >= 512 && sector <= 4096 && bits.OnesCount(uint(sector)) == 1 && bits.OnesCount(uint(cluster)) == 1 &&
		reserved > 0 && copies > 0 && copies <= 2 && (media == 0xf0 || media >= 0xf8) && (le16(b[19:]) != 0 || le32(b[32:]) != 0)
	if !sane || string(b[3:11]) == "NTFS    " {
		return nil
	}
	at := 38 // where the extended boot signature is
	if le16(b[22:]) == 0 {
		if le32(b[36:]) == 0 {
			return nil
		}
		at = 66
	}
	// The jump and the geometry, without which it is none.
	s := Signature{Type: "vfat", Magic: []Span{{0, 16}, {510, 2}}}
	if b[at] == 0x29 {
		s.UUID = fmt.Sprintf("%04X-%04X", le16(b[at+3:]), le16(b[at+1:]))
		s.Magic = append(s.Magic, Span{int64(at) + 16, 8}) // "FAT32   "
		if label := strings.TrimRight(text(b[at+5:at+16]), " "); label != "NO NAME" {
			s.Label = label
		}
	}
	return one(s)
}

func exfat(p *probe) []Signature {
	b := p.at(0, 512)
	if b == nil || string(b[3:11]) != "EXFAT   " {
		return nil
	}
	return one(Signature{Type: "exfat", UUID: fmt.Sprintf("%04X-%04X", le16(b[102:]), le16(b[100:])), Magic: []Span{{3, 8}}})
}

// ntfs: the boot sector, and the label from the file $Volume, the fourth record of
// the master file table.
func ntfs(p *probe) []Signature {
	b := p.at(0, 512)
	if b == nil || string(b[3:11]) != "NTFS    " {
		return nil
	}
	s := Signature{Type: "ntfs", UUID: fmt.Sprintf("%016X", le64(b[72:])), Magic: []Span{{3, 8}}}
	sector, cluster := int64(le16(b[11:])), int64(b[13])
	if b[13] > 128 { // a power of two, negated
		cluster = 1 << min(256-int(b[13]), 16)
	}
	record := int64(int8(b[64])) * sector * cluster
	if record <= 0 {
		record = 1 << min(-int64(int8(b[64])), 16)
	}
	if table := le64(b[48:]); record <= 64<<10 && table < uint64(p.size) {
		s.Label = ntfsLabel(p.at(int64(table)*sector*cluster+3*record, record))
	}
	return one(s)
}

// ntfsLabel is the attribute $VOLUME_NAME of a record.
func ntfsLabel(record []byte) string {
	const volumeName = 0x60
	if len(record) < 64 || string(record[:4]) != "FILE" {
		return ""
	}
	for off := int(le16(record[20:])); off >= 24 && off+24 <= len(record); {
		length := int(le32(record[off+4:]))
		if length < 24 || length > len(record)-off {
			return ""
		}
		attribute := record[off:][:length]
		if le32(attribute) == volumeName && attribute[8] == 0 {
			from, n := int(le16(attribute[20:])), int(le32(attribute[16:]))
			if n < 0 || n > length || from > length-n {
				return ""
			}
			return utf16Text(attribute[from:][:n])
		}
		off += length
	}
	return ""
}

func utf16Text(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, le16(b))
	}
	return tidy(string(utf16.Decode(units)))
}

// swap: a magic number at the end of the first page, whatever size that has. A
// system that sleeps there has another (include/linux/swap.h).
func swap(p *probe) (found []Signature) {
	marks := []string{"SWAPSPACE2", "SWAP-SPACE", "S1SUSPEND\x00", "S2SUSPEND\x00", "ULSUSPEND\x00", "LINHIB0001"}
	for _, page := range []int64{4096, 8192, 16384, 65536} {
		i := slices.Index(marks, string(p.at(page-10, 10)))
		if i < 0 {
			continue
		}
		s := Signature{Type: "swap", Kind: Swap, Magic: []Span{{page - 10, 10}}}
		if i > 1 {
			s.Type = "swsuspend"
		}
		if b := p.at(1024, 128); b != nil && i != 1 {
			s.UUID, s.Label = uuid(b[12:28]), text(b[28:44])
		}
		found = append(found, s)
	}
	return found
}

// luks: version 1 and 2, and the second header of version 2, which is found when
// the first one is gone (cryptsetup, docs/on-disk-format-luks2.pdf section 2).
func luks(p *probe) []Signature {
	s := Signature{Type: "crypto_LUKS", Kind: Encrypted}
	read := func(b []byte) {
		if len(s.Magic) == 0 {
			s.UUID = text(b[168:208])
			if binary.BigEndian.Uint16(b[6:]) == 2 {
				s.Label = text(b[24:72])
			}
		}
	}
	if b := p.at(0, 512); b != nil && string(b[:6]) == "LUKS\xba\xbe" {
		read(b)
		s.Magic = append(s.Magic, Span{0, 6})
	}
	for at := int64(0x4000); at <= 0x400000; at *= 2 {
		if b := p.at(at, 512); b != nil && string(b[:6]) == "SKUL\xba\xbe" {
			read(b)
			s.Magic = append(s.Magic, Span{at, 6})
		}
	}
	if s.Magic == nil {
		return nil
	}
	return one(s)
}
