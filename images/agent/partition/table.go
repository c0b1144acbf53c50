package partition

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Kind is the kind of a table, as blkid(8) names it.
type Kind string

// The kinds.
const (
	GPT Kind = "gpt"
	DOS Kind = "dos"
)

// ErrNone says that there is no partition table, ErrDamaged that there is one, and
// no copy of it is good.
var (
	ErrNone    = errors.New("there is no partition table")
	ErrDamaged = errors.New("the partition table is damaged")
)

// Table is a partition table.
type Table struct {
	Kind   Kind
	ID     string      // GPT: the disk's GUID; DOS: its signature, eight hexadecimal digits
	Sector int64       // logical sector size
	Parts  []Partition // by number
	Damage string      // what is wrong with it, though it could be read: a copy of the GPT that is not good

	gpt gptHeader // where the header that was read says things are
}

// Partition is one entry.
type Partition struct {
	Number int    // from 1; logical partitions of a DOS table from 5
	Start  int64  // from the start of the disk
	Size   int64  //
	Type   string // GPT: a GUID in lower case; DOS: two hexadecimal digits
	ID     string // GPT: its own GUID
	Name   string // GPT only
	Flags  uint64 // GPT: attributes; DOS: 0x80 for the active one
}

// End is where the partition ends: the first byte behind it.
func (p Partition) End() int64 { return p.Start + p.Size }

// GUID is the ID as it stands in the table; zeros where there is none.
func (p Partition) GUID() [16]byte {
	g, _ := guidBytes(p.ID)
	return g
}

// TypeName is what the type is called, such as "EFI System"; "" for one that has
// no name here.
func (p Partition) TypeName() string { return typeNames[p.Type] }

// IsExtended reports a partition of a DOS table that only holds others.
func (p Partition) IsExtended() bool { return p.Type == "05" || p.Type == "0f" || p.Type == "85" }

// Read reads the table of a disk of that size, with a sector size of 512 bytes or,
// where there is no table so, of 4096. A GPT that no protective record announces
// counts only where the record has no table of its own, as the kernel has it.
// Without a table it returns [ErrNone].
func Read(disk io.ReaderAt, size int64) (Table, error) {
	for _, sector := range []int64{512, 4096} {
		t, err := ReadSector(disk, size, sector)
		if !errors.Is(err, ErrNone) {
			return t, err
		}
	}
	return Table{}, ErrNone
}

// ReadSector is [Read] with the sector size of the disk.
func ReadSector(disk io.ReaderAt, size, sector int64) (Table, error) {
	if size < 2*sector {
		return Table{}, ErrNone
	}
	mbr := make([]byte, 512)
	if _, err := disk.ReadAt(mbr, 0); err != nil {
		return Table{}, fmt.Errorf("read the first sector: %w", err)
	}
	dos, isDOS := readEntries(mbr)
	if isDOS && !slices.ContainsFunc(dos, func(e entry) bool { return e.kind == typeProtective }) {
		if sector != 512 { // its numbers are in sectors, and nothing in it tells their size
			return Table{}, ErrNone
		}
		return readDOS(disk, size, sector, mbr, dos), nil
	}
	return readGPT(disk, size, sector)
}

// Last is the partition that ends last, without those that hold others.
func (t Table) Last() (Partition, bool) {
	parts := slices.DeleteFunc(slices.Clone(t.Parts), Partition.IsExtended)
	if len(parts) == 0 {
		return Partition{}, false
	}
	return slices.MaxFunc(parts, func(a, b Partition) int { return cmp.Compare(a.End(), b.End()) }), true
}

// check says what would be wrong with a table on a disk where partitions may
// stand from first up to end.
func (t Table) check(first, end int64) error {
	byStart := slices.Clone(t.Parts)
	slices.SortFunc(byStart, func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	seen := map[int]bool{}
	before := Partition{Size: first}
	for _, p := range byStart {
		switch {
		case seen[p.Number]:
			return fmt.Errorf("there are two partitions %d", p.Number)
		case p.Size <= 0 || p.Start%t.Sector != 0 || p.Size%t.Sector != 0:
			return fmt.Errorf("partition %d has %d bytes at %d; want whole sectors of %d bytes", p.Number, p.Size, p.Start, t.Sector)
		case p.Start < before.End() && before.Number == 0:
			return fmt.Errorf("partition %d starts at %d; the first place is at %d", p.Number, p.Start, first)
		case p.Start < before.End():
			return fmt.Errorf("partition %d starts at %d, inside partition %d", p.Number, p.Start, before.Number)
		case p.Size > end-p.Start:
			return fmt.Errorf("partition %d ends at %d; the disk has room up to %d", p.Number, p.End(), end)
		}
		seen[p.Number] = true
		before = p
	}
	return nil
}
