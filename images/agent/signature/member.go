package signature

import (
	"bytes"
	"encoding/binary"
	"strings"
)

const mdMagic = 0xa92b4efc

// mdFirst is a member of a Linux array whose super block stands first: version 1.1
// at 0, 1.2 at 4096 (include/uapi/linux/raid/md_p.h).
func mdFirst(p *probe) (found []Signature) {
	for _, at := range []int64{0, 4096} {
		found = append(found, md1(p, at)...)
	}
	return found
}

// mdLast is one whose super block stands last: version 1.0, within the last 8 to
// 12 KiB, and version 0.90, at the last multiple of 64 KiB.
func mdLast(p *probe) []Signature {
	sectors := p.size / 512
	return append(md1(p, ((sectors-16)&^7)*512), md0(p, (p.size&^0xffff)-0x10000)...)
}

func md1(p *probe, at int64) []Signature {
	if at < 0 {
		return nil
	}
	b := p.at(at, 256)
	// A super block of this version says where it is, in sectors.
	if b == nil || le32(b) != mdMagic || le32(b[4:]) != 1 || le64(b[144:]) != uint64(at/512) {
		return nil
	}
	return one(Signature{Type: "linux_raid_member", Kind: Member, UUID: uuid(b[16:32]), Label: text(b[32:64]),
		Parts: int(min(le32(b[92:]), 1<<16)), Magic: []Span{{at, 4}}})
}

func md0(p *probe, at int64) []Signature {
	if at < 0 {
		return nil
	}
	b := p.at(at, 4096)
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case b == nil:
		return nil
	case le32(b) == mdMagic:
	case binary.BigEndian.Uint32(b) == mdMagic:
		order = binary.BigEndian
	default:
		return nil
	}
	if order.Uint32(b[4:]) != 0 {
		return nil
	}
	id := bytes.Join([][]byte{b[20:24], b[52:64]}, nil)
	return one(Signature{Type: "linux_raid_member", Kind: Member, UUID: uuid(id),
		Parts: int(min(order.Uint32(b[40:]), 1<<16)), Magic: []Span{{at, 4}}})
}

// lvm is a physical volume of LVM2: a label in one of the first four sectors
// (lib/format_text/layout.h), and the name of the volume group from the text of its
// metadata.
func lvm(p *probe) []Signature {
	for at := int64(0); at < 4*512; at += 512 {
		b := p.at(at, 512)
		if b == nil || string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" {
			continue
		}
		s := Signature{Type: "LVM2_member", Kind: Member, Magic: []Span{{at, 8}, {at + 24, 8}}}
		header := int(le32(b[20:]))
		if header < 32 || header > 512-40 {
			return one(s)
		}
		s.UUID = lvmUUID(b[header:][:32])
		s.Label, s.Parts = lvmGroup(p, b[header+40:])
		return one(s)
	}
	return nil
}

// lvmUUID puts the dashes in: 6-4-4-4-4-4-6.
func lvmUUID(b []byte) string {
	s := string(b)
	if strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#") != "" {
		return ""
	}
	return s[:6] + "-" + s[6:10] + "-" + s[10:14] + "-" + s[14:18] + "-" + s[18:22] + "-" + s[22:26] + "-" + s[26:]
}

// lvmGroup is the name of the volume group and the number of its physical volumes.
// The areas are two lists of offset and size, each ended by zeros: for data, then
// for metadata.
func lvmGroup(p *probe, areas []byte) (name string, volumes int) {
	for lists := 0; len(areas) >= 16; areas = areas[16:] {
		offset, size := le64(areas), le64(areas[8:])
		if offset == 0 {
			if lists++; lists == 2 {
				return "", 0
			}
			continue
		}
		if lists == 1 && size >= 512 && offset < uint64(p.size) && size <= uint64(p.size) {
			return lvmText(p, int64(offset), int64(size))
		}
	}
	return "", 0
}

// lvmText reads a metadata area: its header, and the text where that says. The
// area is a ring, of which the header is no part.
func lvmText(p *probe, area, size int64) (name string, volumes int) {
	const header, most = 512, 256 << 10
	b := p.at(area, header)
	if b == nil || string(b[4:20]) != " LVM2 x[5A%r0N*>" {
		return "", 0
	}
	offset, length := int64(le64(b[40:])), int64(le64(b[48:]))
	if offset < header || offset >= size || length <= 0 || length > size-header {
		return "", 0
	}
	length = min(length, most)
	first := min(length, size-offset)
	body := bytes.Clone(p.at(area+offset, first))
	body = append(body, p.at(area+header, length-first)...)
	head, _, ok := bytes.Cut(body, []byte(" {"))
	if !ok || bytes.ContainsAny(head, "\n\x00") {
		return "", 0
	}
	_, rest, _ := bytes.Cut(body, []byte("\nphysical_volumes {"))
	return text(head), sections(rest)
}

// sections counts the sections of a metadata text up to the end of the one around
// them.
func sections(body []byte) (n int) {
	depth := 0
	for line := range bytes.Lines(body) {
		switch line = bytes.TrimSpace(line); {
		case bytes.HasSuffix(line, []byte("{")):
			if depth++; depth == 1 {
				n++
			}
		case bytes.Equal(line, []byte("}")):
			if depth--; depth < 0 {
				return n
			}
		}
	}
	return n
}

// ddf is the format of RAID adapters (SNIA Common RAID Disk Data Format 2.0, section
// 4.1): an anchor in the last sector, or where Adaptec has it.
func ddf(p *probe) []Signature {
	for _, at := range []int64{-512, -257 * 512, -4096} {
		b := p.at(at, 512)
		if b == nil || binary.BigEndian.Uint32(b) != 0xde11de11 && le32(b) != 0xde11de11 {
			continue
		}
		return one(Signature{Type: "ddf_raid_member", Kind: Member, Label: text(b[8:16]), Magic: []Span{p.span(at, 4)}})
	}
	return nil
}

// imsm is Intel's format for mainboards (mdadm's super-intel.c): an anchor in the
// last sector but one.
func imsm(p *probe) []Signature {
	const magic = "Intel Raid ISM Cfg Sig. "
	for _, at := range []int64{-1024, -8192} {
		if p.has(at, magic) {
			return one(Signature{Type: "isw_raid_member", Kind: Member, Magic: []Span{p.span(at, int64(len(magic)))}})
		}
	}
	return nil
}

// bcache and bcachefs share a place and half of a magic number. A backing device
// has in its cache what it does not have itself.
func bcache(p *probe) []Signature {
	b := p.at(4096, 512)
	if b == nil {
		return nil
	}
	s := Signature{Kind: Member, UUID: uuid(b[40:56]), Label: text(b[72:104]), Magic: []Span{{4096 + 24, 16}}}
	switch string(b[24:40]) {
	case "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81":
		s.Type = "bcache"
	case "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef":
		s.Type, s.Parts, s.UUID = "bcachefs", int(b[123]), uuid(b[56:72])
		if s.Parts <= 1 {
			s.Kind = FileSystem
		}
	default:
		return nil
	}
	return one(s)
}

// vmfs is VMware's file system, which several hosts use at once: the volume's
// header at 1 MiB, the file system's at 2 MiB.
func vmfs(p *probe) (found []Signature) {
	if b := p.at(1<<20, 512); b != nil && le32(b) == 0xc001d00d {
		found = append(found, Signature{Type: "VMFS_volume_member", Kind: Member, UUID: uuid(b[130:146]), Magic: []Span{{1 << 20, 4}}})
	}
	if b := p.at(2<<20, 512); b != nil && le32(b) == 0x2fabf15e {
		found = append(found, Signature{Type: "VMFS", Kind: Member, UUID: uuid(b[9:25]), Label: text(b[29:157]), Magic: []Span{{2 << 20, 4}}})
	}
	return found
}
