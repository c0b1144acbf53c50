package signature

import (
	"encoding/binary"
	"fmt"
)

// A disk of a pool has four labels of 256 KiB: two first, two last, where the last
// 256 KiB are whole. Each has, at 16 KiB, what the pool is, as an XDR list of names
// and values, and from 128 KiB on a ring of uberblocks (OpenZFS, vdev_impl.h,
// "ZFS On-Disk Specification" section 1.3).
const (
	zfsLabel     = 256 << 10
	zfsList      = 16 << 10
	zfsListSize  = 112 << 10
	zfsRing      = 128 << 10
	zfsUberMagic = 0x00bab10c
)

// zfs is a disk of a pool. It is recognised by its uberblocks, of which a stray one
// does not count, or by the list of a label.
func zfs(p *probe) []Signature {
	s := Signature{Type: "zfs_member", Kind: Member}
	end := p.size &^ (zfsLabel - 1)
	for i, at := range []int64{0, zfsLabel, end - 2*zfsLabel, end - zfsLabel} {
		if at < 0 || i == 2 && at < 2*zfsLabel {
			break
		}
		ring := p.at(at+zfsRing, zfsLabel-zfsRing)
		s.Magic = append(s.Magic, uberblocks(ring, at+zfsRing)...)
		pool := nvlist(p.at(at+zfsList, zfsListSize))
		if pool["name"] == nil {
			continue
		}
		s.Magic = append(s.Magic, Span{at + zfsList, 24}) // the head of the list, without which there is none
		s.Label = text([]byte(fmt.Sprint(pool["name"])))
		if guid, ok := pool["pool_guid"].(uint64); ok {
			s.UUID = fmt.Sprint(guid)
		}
		if children, ok := pool["vdev_children"].(uint64); ok && children > 1 {
			s.Parts = int(min(children, 1<<16))
		}
	}
	if len(s.Magic) < 4 && s.Label == "" {
		return nil
	}
	return one(s)
}

// uberblocks are the places of the magic numbers of a ring; the smallest of its
// slots is 1 KiB.
func uberblocks(ring []byte, at int64) (found []Span) {
	for off := 0; off+8 <= len(ring); off += 1024 {
		if b := ring[off:]; le64(b) == zfsUberMagic || binary.BigEndian.Uint64(b) == zfsUberMagic {
			found = append(found, Span{at + int64(off), 8})
		}
	}
	return found
}

// nvlist reads the strings and 64-bit numbers of the outermost level of an XDR
// list (module/nvpair/nvpair.c): a header of four bytes, version and flags, then
// for each pair its length, its length in memory, its name, its type, the count of
// its values and the values. A length of 0 ends it.
func nvlist(b []byte) map[string]any {
	const number, word = 8, 9 // the types we read
	list := map[string]any{}
	if len(b) < 12 || b[0] != 1 { // 1: XDR
		return list
	}
	for b = b[12:]; len(b) >= 8 && len(list) < 64; {
		length := int(binary.BigEndian.Uint32(b))
		if length < 20 || length > len(b) {
			return list
		}
		pair := b[8:length]
		b = b[length:]
		name, rest := xdrString(pair)
		if len(rest) < 8 {
			continue
		}
		kind, value := binary.BigEndian.Uint32(rest), rest[8:]
		switch {
		case kind == number && len(value) >= 8:
			list[name] = binary.BigEndian.Uint64(value)
		case kind == word:
			list[name], _ = xdrString(value)
		}
	}
	return list
}

// xdrString reads a length and so many bytes, padded to four; rest is nil where
// there are fewer.
func xdrString(b []byte) (s string, rest []byte) {
	if len(b) < 4 {
		return "", nil
	}
	n := int(binary.BigEndian.Uint32(b))
	padded := (n + 3) &^ 3
	if n < 0 || n > 256 || padded > len(b)-4 {
		return "", nil
	}
	return string(b[4:][:n]), b[4+padded:]
}
