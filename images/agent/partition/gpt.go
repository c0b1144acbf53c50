package partition

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// The header of a GPT (UEFI 5.3.2).
const (
	gptMagic    = "EFI PART"
	gptRevision = 0x10000
	headerSize  = 92
	entrySize   = 128
	gptEntries  = 128     // what we write
	maxEntries  = 1024    // what we read
	maxArray    = 1 << 20 // bytes
)

// gptHeader is the header; positions are in sectors.
type gptHeader struct {
	self, other uint64
	first, last uint64 // usable
	array       uint64
	count, size uint32 // of entries
	arrayCRC    uint32
}

// readGPT reads the first good copy of the table.
func readGPT(disk io.ReaderAt, size, sector int64) (Table, error) {
	first, firstErr := readGPTAt(disk, size, sector, 1)
	backup := size/sector - 1
	if firstErr == nil && first.gpt.other > 1 && first.gpt.other < uint64(backup) {
		backup = int64(first.gpt.other) // the image of a smaller disk
	}
	second, secondErr := readGPTAt(disk, size, sector, backup)
	switch {
	case firstErr == nil && secondErr == nil:
		return first, nil
	case firstErr == nil:
		first.Damage = "its second copy is damaged or missing: " + secondErr.Error()
		return first, nil
	case secondErr == nil:
		second.Damage = "its first copy is damaged or missing: " + firstErr.Error()
		return second, nil
	case errors.Is(firstErr, ErrNone) && errors.Is(secondErr, ErrNone):
		return Table{}, ErrNone
	}
	if errors.Is(firstErr, ErrNone) {
		return Table{}, secondErr
	}
	return Table{}, firstErr
}

// readGPTAt reads the copy whose header is at a sector; it is [ErrNone] where
// there is no header.
func readGPTAt(disk io.ReaderAt, size, sector, at int64) (Table, error) {
	b := make([]byte, sector)
	if _, err := disk.ReadAt(b, at*sector); err != nil {
		return Table{}, fmt.Errorf("read the GPT at %d: %w", at*sector, err)
	}
	if string(b[:8]) != gptMagic {
		return Table{}, ErrNone
	}
	length := binary.LittleEndian.Uint32(b[12:])
	if length < headerSize || int64(length) > sector {
		return Table{}, fmt.Errorf("%w: the GPT at %d has a header of %d bytes", ErrDamaged, at*sector, length)
	}
	sum := binary.LittleEndian.Uint32(b[16:])
	clear(b[16:20])
	if crc32.ChecksumIEEE(b[:length]) != sum {
		return Table{}, fmt.Errorf("%w: the GPT at %d has a wrong checksum", ErrDamaged, at*sector)
	}
	h := parseHeader(b)
	if h.self != uint64(at) {
		return Table{}, fmt.Errorf("%w: the GPT at %d says that it is at %d", ErrDamaged, at*sector, h.self)
	}
	array, err := h.readArray(disk, size, sector)
	if err != nil {
		return Table{}, fmt.Errorf("%w: the GPT at %d: %w", ErrDamaged, at*sector, err)
	}
	return Table{Kind: GPT, ID: guidText(b[56:]), Sector: sector, Parts: h.parts(array, sector), gpt: h}, nil
}

func parseHeader(b []byte) gptHeader {
	le := binary.LittleEndian
	return gptHeader{
		self: le.Uint64(b[24:]), other: le.Uint64(b[32:]), first: le.Uint64(b[40:]), last: le.Uint64(b[48:]),
		array: le.Uint64(b[72:]), count: le.Uint32(b[80:]), size: le.Uint32(b[84:]), arrayCRC: le.Uint32(b[88:]),
	}
}

func (h gptHeader) readArray(disk io.ReaderAt, size, sector int64) ([]byte, error) {
	length := int64(h.count) * int64(h.size)
	if h.count > maxEntries || h.size < entrySize || length > maxArray {
		return nil, fmt.Errorf("it has %d entries of %d bytes", h.count, h.size)
	}
	if h.array >= uint64(size/sector) || int64(h.array)*sector+length > size {
		return nil, fmt.Errorf("its entries stand at sector %d, behind the end of the disk", h.array)
	}
	array := make([]byte, length)
	if _, err := disk.ReadAt(array, int64(h.array)*sector); err != nil {
		return nil, fmt.Errorf("read its entries: %w", err)
	}
	if crc32.ChecksumIEEE(array) != h.arrayCRC {
		return nil, errors.New("its entries have a wrong checksum")
	}
	return array, nil
}

// parts are the entries in use; one whose numbers make no sense is left out.
func (h gptHeader) parts(array []byte, sector int64) (parts []Partition) {
	le := binary.LittleEndian
	for i := range int(h.count) {
		b := array[i*int(h.size):][:entrySize]
		first, last := le.Uint64(b[32:]), le.Uint64(b[40:])
		if [16]byte(b[:16]) == [16]byte{} || last < first || last >= 1<<62/uint64(sector) {
			continue
		}
		parts = append(parts, Partition{
			Number: i + 1, Start: int64(first) * sector, Size: int64(last-first+1) * sector,
			Type: guidText(b), ID: guidText(b[16:]), Name: name(b[56:entrySize]), Flags: le.Uint64(b[48:]),
		})
	}
	return parts
}

// name decodes UTF-16 up to the first zero.
func name(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// writeGPT writes both copies, the second one first: at every moment one of them
// is whole.
func (t Table) writeGPT(disk ReadWriterAt, size int64) error {
	arraySectors := (gptEntries*entrySize + t.Sector - 1) / t.Sector
	last := size/t.Sector - 1 // where the second header is
	h := gptHeader{first: uint64(2 + arraySectors), last: uint64(last - arraySectors - 1), count: gptEntries, size: entrySize}
	if last < 2*(2+arraySectors) {
		return fmt.Errorf("a disk of %d bytes is too small for a GPT", size)
	}
	if err := t.check(int64(h.first)*t.Sector, int64(h.last+1)*t.Sector); err != nil {
		return err
	}
	array, err := t.array(int(arraySectors * t.Sector))
	if err != nil {
		return err
	}
	h.arrayCRC = crc32.ChecksumIEEE(array[:gptEntries*entrySize])
	id, err := guidOrNew(t.ID)
	if err != nil {
		return fmt.Errorf("the disk's GUID: %w", err)
	}
	first, second := h, h
	first.self, first.other, first.array = 1, uint64(last), 2
	second.self, second.other, second.array = uint64(last), 1, uint64(last-arraySectors)
	for _, copy := range []gptHeader{second, first} {
		if _, err := disk.WriteAt(array, int64(copy.array)*t.Sector); err != nil {
			return fmt.Errorf("write the entries of the GPT: %w", err)
		}
		if _, err := disk.WriteAt(copy.bytes(id, t.Sector), int64(copy.self)*t.Sector); err != nil {
			return fmt.Errorf("write the GPT: %w", err)
		}
	}
	return nil
}

// array is the entries.
func (t Table) array(length int) ([]byte, error) {
	array := make([]byte, length)
	le := binary.LittleEndian
	for _, p := range t.Parts {
		if p.Number < 1 || p.Number > gptEntries {
			return nil, fmt.Errorf("partition %d: want a number from 1 to %d", p.Number, gptEntries)
		}
		b := array[(p.Number-1)*entrySize:][:entrySize]
		kind, err := guidBytes(p.Type)
		if err != nil {
			return nil, fmt.Errorf("partition %d: its type: %w", p.Number, err)
		}
		id, err := guidOrNew(p.ID)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		copy(b, kind[:])
		copy(b[16:], id[:])
		le.PutUint64(b[32:], uint64(p.Start/t.Sector))
		le.PutUint64(b[40:], uint64(p.End()/t.Sector-1))
		le.PutUint64(b[48:], p.Flags)
		units := utf16.Encode([]rune(p.Name))
		if len(units) > 36 {
			return nil, fmt.Errorf("partition %d: the name %q is longer than 36 characters", p.Number, p.Name)
		}
		for i, u := range units {
			le.PutUint16(b[56+2*i:], u)
		}
	}
	return array, nil
}

func (h gptHeader) bytes(id [16]byte, sector int64) []byte {
	b, le := make([]byte, sector), binary.LittleEndian
	copy(b, gptMagic)
	le.PutUint32(b[8:], gptRevision)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[24:], h.self)
	le.PutUint64(b[32:], h.other)
	le.PutUint64(b[40:], h.first)
	le.PutUint64(b[48:], h.last)
	copy(b[56:], id[:])
	le.PutUint64(b[72:], h.array)
	le.PutUint32(b[80:], h.count)
	le.PutUint32(b[84:], h.size)
	le.PutUint32(b[88:], h.arrayCRC)
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:headerSize]))
	return b
}

// writeProtective puts the one entry into the record that tells old programs that
// the disk is in use (UEFI 5.2.3). Boot code that is there stays; and where the
// table is an old one that grows, all else but the size.
func writeProtective(disk ReadWriterAt, sector, size int64, keep bool) error {
	record := make([]byte, sector)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return fmt.Errorf("read the first sector: %w", err)
	}
	covered := uint32(min(size/sector-1, maxSectors))
	if entries, _ := readEntries(record); keep {
		for i, e := range entries {
			if e.kind == typeProtective && e.start == 1 {
				binary.LittleEndian.PutUint32(record[entriesAt+16*i+12:], covered)
			}
		}
	} else {
		clear(record[signatureAt:510])
		putEntry(record[entriesAt:], typeProtective, Partition{Start: sector, Size: int64(covered) * sector}, sector)
		copy(record[entriesAt+1:], "\x00\x02\x00")
		binary.LittleEndian.PutUint16(record[510:], bootMark)
	}
	if _, err := disk.WriteAt(record, 0); err != nil {
		return fmt.Errorf("write the protective record: %w", err)
	}
	return nil
}

// guidText writes a GUID: the first three groups have their bytes swapped.
func guidText(b []byte) string {
	g := slices.Clone(b[:16])
	slices.Reverse(g[0:4])
	slices.Reverse(g[4:6])
	slices.Reverse(g[6:8])
	s := hex.EncodeToString(g)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func guidBytes(s string) (g [16]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 || len(s) != 36 {
		return g, fmt.Errorf("%q: want a GUID such as 0fc63daf-8483-4772-8e79-3d69d8477de4", s)
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	copy(g[:], b)
	if bytes.Equal(g[:], make([]byte, 16)) {
		return g, fmt.Errorf("%q is no GUID of anything", s)
	}
	return g, nil
}

// guidOrNew makes a GUID where none is given (RFC 9562 version 4).
func guidOrNew(s string) (g [16]byte, err error) {
	if s != "" {
		return guidBytes(s)
	}
	_, _ = rand.Read(g[:]) // never fails
	g[7] = g[7]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g, nil
}
