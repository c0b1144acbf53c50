package signature

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"

	"dragonfly/images/agent/partition"
	"dragonfly/registry"
)

// Disk is what is on a whole disk.
type Disk struct {
	Table partition.Table // Kind is empty where there is none
	Whole []Signature     // of the disk itself, with those of its table
	Parts []Part
}

// Part is what is on one partition.
type Part struct {
	partition.Partition
	Found []Signature
}

// Examine looks at a disk of that size and at each of its partitions. A place that
// cannot be read is an error, beside what was found elsewhere.
func Examine(r io.ReaderAt, size int64) (Disk, error) {
	whole, err := Probe(r, size)
	d := Disk{Whole: whole}
	table, tableErr := partition.Read(r, size)
	if tableErr == nil {
		d.Table = table
		d.Whole = append(tableMarks(table, size), d.Whole...)
	} else if errors.Is(tableErr, partition.ErrDamaged) {
		d.Whole = append(tableMarks(partition.Table{Kind: partition.GPT, Sector: 512}, size), d.Whole...)
	}
	for i, p := range d.Table.Parts {
		if p.IsExtended() || p.Start >= size || i >= maxParts {
			continue
		}
		length := min(p.Size, size-p.Start)
		found, partErr := Probe(io.NewSectionReader(r, p.Start, length), length)
		err = errors.Join(err, partErr)
		d.Parts = append(d.Parts, Part{p, found})
	}
	d.Whole = slices.DeleteFunc(d.Whole, d.inPart)
	if err == nil && len(d.Whole) == 0 && !isBlank(r, size) {
		d.Whole = one(Signature{Type: "data", Kind: Data, Magic: []Span{{0, 1}}})
	}
	return d, err
}

// tableMarks is the signature of a table: both copies of a GPT and the record that
// announces it, or the mark at the end of a master boot record.
func tableMarks(t partition.Table, size int64) []Signature {
	s := Signature{Type: string(t.Kind), Kind: Table, UUID: t.ID, Magic: []Span{{510, 2}}}
	if t.Kind == partition.GPT {
		s.Magic = append(s.Magic, Span{t.Sector, 8}, Span{size - t.Sector, 8})
	}
	return one(s)
}

// inPart reports a signature that was found at the end of the disk, but is that of
// a partition which ends there too, or nearly.
func (d Disk) inPart(s Signature) bool {
	return slices.ContainsFunc(d.Parts, func(p Part) bool {
		inside := !slices.ContainsFunc(s.Magic, func(m Span) bool { return m.Offset < p.Start || m.Offset >= p.End() })
		return inside && slices.ContainsFunc(p.Found, func(o Signature) bool { return o.Type == s.Type })
	})
}

// isBlank reports whether the start and the end of a device hold nothing: only
// zeros, or only ones, which is what some erase to.
func isBlank(r io.ReaderAt, size int64) bool {
	for _, at := range []int64{0, max(0, size-edge)} {
		b := make([]byte, min(edge, size))
		n, _ := r.ReadAt(b, at)
		if b = b[:n]; len(bytes.Trim(b, "\x00")) > 0 && len(bytes.Trim(b, "\xff")) > 0 {
			return false
		}
	}
	return true
}

// maxParts bounds how many partitions are looked at.
const maxParts = 128

// maxReported bounds what is said of one disk.
const maxReported = 16

// Report is what was found, for the inventory: name is the kernel's name of the
// disk, and err that of [Examine].
func (d Disk) Report(name string, err error) (registry.Contents, []registry.Signature) {
	var all []registry.Signature
	for _, s := range d.Whole {
		all = append(all, report(s))
	}
	for _, p := range d.Parts {
		on, role := partName(name, p.Number), p.role()
		spans := p.Type == partition.StorageSpacesGUID || p.Type == partition.LDMGUID || p.Type == "42"
		if len(p.Found) == 0 {
			all = append(all, registry.Signature{On: on, Role: role, Member: spans})
		}
		for _, s := range p.Found {
			r := report(s)
			r.On, r.Role = on, role
			all = append(all, r)
		}
	}
	return contents(all, err), shorten(all)
}

func report(s Signature) registry.Signature {
	r := registry.Signature{Type: s.Type, Label: s.Label, Member: s.Kind == Member, Parts: s.Parts}
	if s.Kind == Member || s.Kind == Mark {
		r.UUID = s.UUID
	}
	return r
}

// role is what the table calls a partition.
func (p Part) role() string {
	if name := tidy(p.Name); name != "" {
		return name
	}
	return p.TypeName()
}

// partName is the kernel's name of a partition: sda1, nvme0n1p1.
func partName(disk string, number int) string {
	if disk != "" && disk[len(disk)-1] >= '0' && disk[len(disk)-1] <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(number)
}

// contents is the one word for all of it. A volume group that we installed and that
// reaches over one disk only is a part of what we installed.
func contents(all []registry.Signature, err error) registry.Contents {
	ours := slices.ContainsFunc(all, func(s registry.Signature) bool { return s.Type == registry.MarkSignature })
	switch {
	case slices.ContainsFunc(all, func(s registry.Signature) bool { return s.Member && !(ours && s.Parts == 1) }):
		return registry.Member
	case ours:
		return registry.Ours
	case len(all) > 0:
		return registry.Foreign
	case err != nil:
		return registry.Unreadable
	}
	return registry.Blank
}

// shorten leaves out what matters least where there is too much.
func shorten(all []registry.Signature) []registry.Signature {
	matters := func(s registry.Signature) bool { return s.Member || s.Type == registry.MarkSignature }
	for i := len(all) - 1; i >= 0 && len(all) > maxReported; i-- {
		if !matters(all[i]) {
			all = slices.Delete(all, i, i+1)
		}
	}
	return all[:min(len(all), maxReported)]
}
