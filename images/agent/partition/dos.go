package partition

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The master boot record: four entries of 16 bytes at 446, a signature of the disk
// at 440, and the mark that ends it.
const (
	entriesAt   = 446
	signatureAt = 440
	bootMark    = 0xaa55

	typeProtective = 0xee
	maxLogical     = 60 // as the kernel: 64 in all
)

// entry is one of four: its numbers are in sectors.
type entry struct {
	active       bool
	kind         byte
	start, count uint32
}

// readEntries reads the four entries; ok is false where the record has no table.
// The boot sector of a FAT or NTFS file system has the same mark at its end, but
// text or code where the first byte of each entry may only be 0 or 0x80.
func readEntries(record []byte) (entries []entry, ok bool) {
	if len(record) < 512 || binary.LittleEndian.Uint16(record[510:]) != bootMark {
		return nil, false
	}
	for i := range 4 {
		b := record[entriesAt+16*i:]
		e := entry{b[0] == 0x80, b[4], binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])}
		if b[0]&0x7f != 0 {
			return nil, false
		}
		ok = ok || e.used()
		entries = append(entries, e)
	}
	return entries, ok
}

func (e entry) used() bool { return e.kind != 0 && e.count != 0 && e.start != 0 }

func (e entry) isExtended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

// partition is the entry as one whose numbers count from base, in sectors.
func (e entry) partition(number int, base, sector int64) Partition {
	p := Partition{
		Number: number, Start: (base + int64(e.start)) * sector, Size: int64(e.count) * sector,
		Type: fmt.Sprintf("%02x", e.kind),
	}
	if e.active {
		p.Flags = 0x80
	}
	return p
}

func readDOS(disk io.ReaderAt, size, sector int64, record []byte, entries []entry) Table {
	t := Table{Kind: DOS, ID: fmt.Sprintf("%08x", binary.LittleEndian.Uint32(record[signatureAt:])), Sector: sector}
	var logical []Partition
	for i, e := range entries {
		if !e.used() {
			continue
		}
		t.Parts = append(t.Parts, e.partition(i+1, 0, sector))
		if e.isExtended() && logical == nil {
			logical = readLogical(disk, size, sector, int64(e.start))
		}
	}
	t.Parts = append(t.Parts, logical...)
	return t
}

// readLogical follows the chain of an extended partition, whose start is in
// sectors: each record has one partition, counted from itself, and the next
// record, counted from the start. The chain ends where it does not lead forward.
func readLogical(disk io.ReaderAt, size, sector, start int64) (parts []Partition) {
	record := make([]byte, 512)
	for at := start; at*sector < size && len(parts) < maxLogical; {
		if _, err := disk.ReadAt(record, at*sector); err != nil {
			return parts
		}
		entries, ok := readEntries(record)
		if !ok {
			return parts
		}
		next := int64(0)
		for _, e := range entries {
			switch {
			case !e.used():
			case e.isExtended():
				next = start + int64(e.start)
			default:
				parts = append(parts, e.partition(5+len(parts), at, sector))
			}
		}
		if next <= at {
			return parts
		}
		at = next
	}
	return parts
}

// maxSectors is how far a DOS table reaches.
const maxSectors = 1<<32 - 1

// writeDOS writes the table into the record of the disk, which keeps its boot code.
// Only the four primary partitions can be written.
func (t Table) writeDOS(disk ReadWriterAt, size int64) error {
	if err := t.check(t.Sector, min(size, maxSectors*t.Sector)); err != nil {
		return err
	}
	record := make([]byte, t.Sector)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return fmt.Errorf("read the first sector: %w", err)
	}
	clear(record[entriesAt : entriesAt+64])
	for _, p := range t.Parts {
		if p.Number < 1 || p.Number > 4 {
			return fmt.Errorf("partition %d: a DOS table has partitions 1 to 4; use a GPT for more", p.Number)
		}
		kind, err := dosType(p.Type)
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
		putEntry(record[entriesAt+16*(p.Number-1):], kind, p, t.Sector)
	}
	if t.ID != "" {
		var id uint32
		if _, err := fmt.Sscanf(t.ID, "%08x", &id); err != nil {
			return fmt.Errorf("the disk's signature is %q; want eight hexadecimal digits", t.ID)
		}
		binary.LittleEndian.PutUint32(record[signatureAt:], id)
	}
	binary.LittleEndian.PutUint16(record[510:], bootMark)
	_, err := disk.WriteAt(record, 0)
	return err
}

func putEntry(b []byte, kind byte, p Partition, sector int64) {
	b[0] = byte(p.Flags & 0x80)
	// Cylinders, heads and sectors mean nothing today; this says so.
	copy(b[1:4], "\xfe\xff\xff")
	b[4] = kind
	copy(b[5:8], "\xfe\xff\xff")
	binary.LittleEndian.PutUint32(b[8:], uint32(p.Start/sector))
	binary.LittleEndian.PutUint32(b[12:], uint32(p.Size/sector))
}

func dosType(s string) (kind byte, err error) {
	if n, err := fmt.Sscanf(s, "%02x", &kind); err != nil || n != 1 || len(s) != 2 || kind == 0 {
		return 0, fmt.Errorf("type %q: want two hexadecimal digits, such as 83", s)
	}
	return kind, nil
}
