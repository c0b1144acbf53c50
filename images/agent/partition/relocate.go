package partition

import (
	"errors"
	"fmt"
)

// ErrUnfit says that a second copy of the table has no place at the end of the disk.
var ErrUnfit = errors.New("the GPT cannot be written anew")

// Relocate puts the second copy of a GPT at the end of the disk, where firmware and
// the kernel look for it: the image of a smaller disk has it in the middle. Nothing
// else is changed; it reports whether there was anything to move. [ErrNone] says
// that there is no table, and [ErrUnfit] why it stays as it is.
func Relocate(disk ReadWriterAt, size, sector int64) (moved bool, err error) {
	t, err := ReadSector(disk, size, sector)
	if err != nil {
		return false, fmt.Errorf("move the second copy of the GPT: %w", err)
	}
	if t.Kind != GPT || int64(t.gpt.other) == size/sector-1 {
		return false, nil
	}
	if err := t.rewritable(); err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if last, ok := t.Last(); ok && last.End() > t.end(size) {
		return false, fmt.Errorf("%w: partition %d reaches to the end of the disk", ErrUnfit, last.Number)
	}
	return true, t.relocate(disk, size)
}

// relocate writes both copies, and takes away the second one where it was: in a
// partition that grows over it, it would be found.
func (t Table) relocate(disk ReadWriterAt, size int64) error {
	old := int64(t.gpt.other)
	stale := old > 1 && old < size/t.Sector-1
	if stale {
		_, err := readGPTAt(disk, size, t.Sector, old)
		stale = err == nil // else whatever is there is something else
	}
	if err := t.write(disk, size, true); err != nil || !stale {
		return err
	}
	if _, err := disk.WriteAt(make([]byte, t.Sector), old*t.Sector); err != nil {
		return fmt.Errorf("erase the old copy of the GPT: %w", err)
	}
	return nil
}

// rewritable says why a table would not be the same if it were written by us.
func (t Table) rewritable() error {
	switch {
	case t.Kind == GPT && t.gpt.self != 1:
		return errors.New(t.Damage)
	case t.Kind == GPT && (t.gpt.size != entrySize || t.gpt.count > gptEntries):
		return fmt.Errorf("it has %d entries of %d bytes; want %d of %d", t.gpt.count, t.gpt.size, gptEntries, entrySize)
	}
	return nil
}
