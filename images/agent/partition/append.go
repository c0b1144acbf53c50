package partition

import (
	"errors"
	"fmt"
	"slices"
)

// dosTypes are the types of a DOS table that stand for those of a GPT.
var dosTypes = map[string]string{BasicDataGUID: "0e", LinuxGUID: "83", SwapGUID: "82", LVMGUID: "8e", RAIDGUID: "fd", ESPGUID: "ef"}

// Append adds a partition at the end of a disk, on whole MiB, and puts the second
// copy of a GPT where it belongs. Of p it takes the size, the type, which is that of
// a GPT, and the name, which a DOS table has no place for. It returns the partition
// as it stands in the table. With an error nothing is changed.
func Append(disk ReadWriterAt, size, sector int64, p Partition) (Partition, error) {
	t, err := ReadSector(disk, size, sector)
	if err == nil {
		err = t.rewritable()
	}
	if err != nil {
		return p, fmt.Errorf("add a partition: %w", err)
	}
	if p, err = t.place(size, p); err != nil {
		return p, fmt.Errorf("add a partition of %d bytes: %w", p.Size, err)
	}
	t.Parts = append(t.Parts, p)
	if err := t.relocate(disk, size); err != nil {
		return p, err
	}
	return p, nil
}

// place gives a new partition the first number that is free, and the last place.
func (t Table) place(size int64, p Partition) (Partition, error) {
	numbers := gptEntries
	if t.Kind == DOS {
		numbers, p.Name, p.Type = 4, "", dosTypes[p.Type]
	}
	for p.Number = 1; slices.ContainsFunc(t.Parts, func(o Partition) bool { return o.Number == p.Number }); p.Number++ {
	}
	p.Start = (t.end(size) - p.Size) / align * align
	last, _ := t.Last()
	switch {
	case p.Number > numbers:
		return p, fmt.Errorf("the table has %d partitions already", numbers)
	case p.Start < max(last.End(), align):
		return p, errors.New("there is no room behind the last partition")
	}
	return p, nil
}
