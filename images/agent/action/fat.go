package action

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// smallFile is a file of a [fatFileSystem].
type smallFile struct{ name, contents string }

// FAT16 with one sector in a cluster (Microsoft, FAT File System Specification).
// With so many sectors it is FAT16 and nothing else: what decides is the number of
// clusters, and it is more than 4084.
const (
	fatSectors = 8192
	fatRoot    = 512 // entries of the root directory
	fatEnd     = 0xffff
)

// fatSize is how many bytes a file system has on a disk with sectors of that size.
func fatSize(sector int64) int64 { return fatSectors * sector }

// fatFileSystem is a FAT16 file system with files in its root directory, for a
// partition that begins at start.
func fatFileSystem(label string, sector, start int64, files []smallFile) ([]byte, error) {
	le := binary.LittleEndian
	fatLength := (fatSectors*2 + sector - 1) / sector * sector
	fat := make([]byte, fatLength)
	le.PutUint16(fat, 0xfff8)
	le.PutUint16(fat[2:], fatEnd)
	root := fatEntry(nil, fmt.Sprintf("%-11s", label), 8, 0, 0)
	data, next := []byte{}, uint16(2)
	first := sector + 2*fatLength + fatRoot*32
	for i, f := range files {
		used := (int64(len(f.contents)) + sector - 1) / sector
		if first+int64(len(data))+used*sector > fatSize(sector) {
			return nil, fmt.Errorf("%s has %d bytes, which is too much", f.name, len(f.contents))
		}
		begin := uint16(0) // an empty file has no cluster
		for n := range used {
			if begin == 0 {
				begin = next
			}
			follow := next + 1
			if n == used-1 {
				follow = fatEnd
			}
			le.PutUint16(fat[2*next:], follow)
			next++
		}
		data = append(data, f.contents...)
		data = append(data, make([]byte, used*sector-int64(len(f.contents)))...)
		root = fatNamed(root, i, f, begin)
	}
	disk := make([]byte, fatSize(sector))
	putFATBoot(disk, label, sector, start, fatLength)
	copy(disk[sector:], fat)
	copy(disk[sector+fatLength:], fat)
	copy(disk[sector+2*fatLength:], root)
	copy(disk[first:], data)
	return disk, nil
}

// putFATBoot is the boot sector.
func putFATBoot(b []byte, label string, sector, start, fatLength int64) {
	le := binary.LittleEndian
	copy(b, "\xeb\x3c\x90DRAGONFL")
	le.PutUint16(b[11:], uint16(sector))
	b[13], b[14], b[16] = 1, 1, 2 // sectors in a cluster, reserved, FATs
	le.PutUint16(b[17:], fatRoot)
	le.PutUint16(b[19:], fatSectors)
	b[21] = 0xf8
	le.PutUint16(b[22:], uint16(fatLength/sector))
	b[24], b[26] = 32, 64 // of a track, heads: nobody counts them
	le.PutUint32(b[28:], uint32(start/sector))
	b[36], b[38] = 0x80, 0x29
	le.PutUint32(b[39:], 0x0d4a60f1)
	copy(b[43:], fmt.Sprintf("%-11s%-8s", label, "FAT16"))
	b[510], b[511] = 0x55, 0xaa
}

// fatEntry is one of 32 bytes: a short name, an attribute, where the file begins and
// how long it is.
func fatEntry(dir []byte, short string, attribute byte, begin uint16, length int) []byte {
	b := make([]byte, 32)
	copy(b, short)
	b[11] = attribute
	for _, date := range []int{16, 18, 24} {
		b[date] = 0x21 // the first of January 1980, for a date there must be
	}
	binary.LittleEndian.PutUint16(b[26:], begin)
	binary.LittleEndian.PutUint32(b[28:], uint32(length))
	return append(dir, b...)
}

// fatNamed is the entry of a file, with the entries of its long name before it, the
// last part of it first.
func fatNamed(dir []byte, index int, f smallFile, begin uint16) []byte {
	short := fmt.Sprintf("%-8.6s", strings.ToUpper(f.name))
	short = short[:6] + fmt.Sprintf("~%d", index+1) + "   "
	sum := byte(0)
	for _, c := range []byte(short) {
		sum = sum>>1 | sum<<7
		sum += c
	}
	const units = 13
	name := append(utf16.Encode([]rune(f.name)), 0)
	parts := (len(name) - 1 + units - 1) / units
	for len(name) < parts*units {
		name = append(name, 0xffff)
	}
	for n := parts; n > 0; n-- {
		b := make([]byte, 32)
		b[0], b[11], b[13] = byte(n), 0x0f, sum
		if n == parts {
			b[0] |= 0x40
		}
		for i, unit := range name[(n-1)*units : n*units] {
			binary.LittleEndian.PutUint16(b[fatUnit(i):], unit)
		}
		dir = append(dir, b...)
	}
	return fatEntry(dir, short, 0x20, begin, len(f.contents))
}

// fatUnit is where a character of a long name stands in its entry.
func fatUnit(i int) int {
	switch {
	case i < 5:
		return 1 + 2*i
	case i < 11:
		return 14 + 2*(i-5)
	}
	return 28 + 2*(i-11)
}
