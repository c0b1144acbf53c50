package partition

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// ReadWriterAt is a disk that is written to.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Write writes the table to a disk of that size. A disk's or a partition's GUID
// that is empty is made up. With an error from checking the table nothing is
// written.
func (t Table) Write(disk ReadWriterAt, size int64) error { return t.write(disk, size, false) }

// write writes the table; keep says that it is there already, and only changed.
func (t Table) write(disk ReadWriterAt, size int64, keep bool) error {
	if t.Sector != 512 && t.Sector != 4096 {
		return fmt.Errorf("write a partition table: sectors of %d bytes; want 512 or 4096", t.Sector)
	}
	var err error
	switch t.Kind {
	case GPT:
		if err = t.writeGPT(disk, size); err == nil {
			err = writeProtective(disk, t.Sector, size, keep)
		}
	case DOS:
		err = t.writeDOS(disk, size)
	default:
		err = fmt.Errorf("%q is no kind of table; want %s or %s", t.Kind, GPT, DOS)
	}
	if err != nil {
		return fmt.Errorf("write a partition table: %w", err)
	}
	return nil
}

// align is what partitions end on: it suits every disk, and what stands on one.
const align = 1 << 20

// Grow gives the last partition of a disk the room behind it, up to whole MiB, and
// puts the second copy of a GPT where it belongs, at the end of the disk: the
// image of a smaller disk has it in the middle. Partitions that are fixed (nil: none)
// stay where they are, and the last one before them grows up to them. It returns the
// partition and how many bytes it has gained; 0 where there is no room to gain, which
// is no error. On a disk with a damaged table nothing is changed.
func Grow(disk ReadWriterAt, size, sector int64, fixed func(Partition) bool) (Partition, int64, error) {
	t, err := ReadSector(disk, size, sector)
	if err != nil {
		return Partition{}, 0, fmt.Errorf("grow the last partition: %w", err)
	}
	end := t.end(size)
	last, ok := t.Last()
	for ok && fixed != nil && fixed(last) {
		end = last.Start
		last, ok = t.before(end)
	}
	if err := t.growable(last, ok); err != nil {
		return last, 0, fmt.Errorf("grow the last partition: %w", err)
	}
	moved := t.Kind == GPT && int64(t.gpt.other) != size/sector-1
	grown := last
	grown.Size = max(last.Size, end/align*align-last.Start)
	if grown.Size == last.Size && !moved {
		return last, 0, nil
	}
	for i := range t.Parts {
		if t.Parts[i].Number == last.Number {
			t.Parts[i] = grown
		}
	}
	if err := t.relocate(disk, size); err != nil {
		return last, 0, err
	}
	return grown, grown.Size - last.Size, nil
}

// before is the last partition that ends before a place.
func (t Table) before(end int64) (Partition, bool) {
	t.Parts = slices.DeleteFunc(slices.Clone(t.Parts), func(p Partition) bool { return p.End() > end })
	return t.Last()
}

// growable says why the last partition cannot get more room.
func (t Table) growable(last Partition, ok bool) error {
	switch name := last.TypeName(); {
	case !ok:
		return errors.New("the partition table is empty")
	case t.Kind == DOS && last.Number > 4:
		return fmt.Errorf("partition %d is a logical one, in an extended partition", last.Number)
	case name == typeSwap || name == typeESP || name == typeBIOS:
		return fmt.Errorf("partition %d is %s, which has no use for more room", last.Number, name)
	}
	return t.rewritable()
}

// end is how far partitions may reach.
func (t Table) end(size int64) int64 {
	if t.Kind == DOS {
		return min(size, maxSectors*t.Sector)
	}
	return size - t.Sector - max(gptEntries*entrySize, t.Sector)
}
