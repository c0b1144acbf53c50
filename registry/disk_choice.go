package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DiskChoice is the disk that a rule chose.
type DiskChoice struct {
	Disk   Disk
	Why    string       // such as "the smallest of 3"
	Passed []PassedDisk // the others
}

// PassedDisk is a disk that was not chosen, and why.
type PassedDisk struct {
	Disk   Disk
	Reason string
}

func (p PassedDisk) String() string { return p.Disk.String() + ": " + p.Reason }

// NoDiskError says that a rule chose no disk, and why none of those that are
// there.
type NoDiskError struct {
	Reason string // such as "no disk fits"
	Passed []PassedDisk
}

func (e *NoDiskError) Error() string {
	text := e.Reason
	for i, p := range e.Passed {
		if i == 8 {
			return text + fmt.Sprintf("; and %d more", len(e.Passed)-i)
		}
		text += "; " + p.String()
	}
	return text
}

// Choose is the disk of at least that many bytes that the rule wants. What is on
// the disks makes no difference: see [Disk.Hold]. The error is a [*NoDiskError].
func (r DiskRule) Choose(disks []Disk, atLeast int64) (DiskChoice, error) {
	var fit []Disk
	var passed []PassedDisk
	for _, d := range inOrder(disks) {
		i := slices.IndexFunc(fit, d.samePath)
		switch reason := r.unfit(d, atLeast); {
		case reason != "":
			passed = append(passed, PassedDisk{d, reason})
		case i >= 0:
			passed = append(passed, PassedDisk{d, "it is " + fit[i].Name + " by another path"})
		default:
			fit = append(fit, d)
		}
	}
	switch {
	case len(disks) == 0:
		return DiskChoice{}, &NoDiskError{Reason: "the machine has no disk"}
	case len(fit) == 0:
		return DiskChoice{}, &NoDiskError{"no disk fits", passed}
	case len(fit) > 1 && r.order == "":
		return DiskChoice{}, r.ambiguous(fit)
	}
	r.sort(fit)
	for _, d := range fit[1:] {
		passed = append(passed, PassedDisk{d, r.behind(d, fit[0])})
	}
	return DiskChoice{fit[0], r.why(fit), passed}, nil
}

// inOrder are the disks in an order that does not depend on the boot.
func inOrder(disks []Disk) []Disk {
	return slices.SortedStableFunc(slices.Values(disks), func(a, b Disk) int {
		return cmp.Or(strings.Compare(a.ByID, b.ByID), strings.Compare(a.Name, b.Name))
	})
}

// unfit is why the rule does not take the disk; empty where it may.
func (r DiskRule) unfit(d Disk, atLeast int64) string {
	for _, t := range r.terms {
		if !t.matches(d) {
			return t.value(d)
		}
	}
	switch {
	case d.Bytes == 0:
		return "it has no medium"
	case d.Bytes < atLeast:
		return fmt.Sprintf("it has %s, and %s are needed", d.Size(), decimal(atLeast))
	case d.Removable && !r.removable && !r.identifies():
		return "it is removable"
	case d.Transport == "usb" && !r.removable && !r.identifies():
		return "it is attached by USB"
	}
	return ""
}

// sort puts the disk that the rule wants first.
func (r DiskRule) sort(fit []Disk) {
	slices.SortStableFunc(fit, func(a, b Disk) int {
		switch r.order {
		case smallest:
			return cmp.Compare(a.Bytes, b.Bytes)
		case largest:
			return cmp.Compare(b.Bytes, a.Bytes)
		}
		return 0
	})
}

// why is what distinguishes the first of the disks that fit.
func (r DiskRule) why(fit []Disk) string {
	if len(fit) == 1 {
		return "the only one that fits"
	}
	equal := 0
	for _, d := range fit {
		if d.Bytes == fit[0].Bytes {
			equal++
		}
	}
	if r.order == first || equal == 1 {
		return fmt.Sprintf("the %s of %d", r.order, len(fit))
	}
	return fmt.Sprintf("the first of %d that are equally the %s", equal, r.order)
}

// behind is why a disk that fits stands behind the best.
func (r DiskRule) behind(d, best Disk) string {
	switch {
	case r.order == smallest && d.Bytes > best.Bytes:
		return "it is larger than " + best.Name
	case r.order == largest && d.Bytes < best.Bytes:
		return "it is smaller than " + best.Name
	}
	return "it comes after " + best.Name + " in the order of their by-id names"
}

// ambiguous names the disks of which the rule does not say which.
func (r DiskRule) ambiguous(fit []Disk) error {
	var passed []PassedDisk
	for _, d := range fit {
		passed = append(passed, PassedDisk{d, "it fits"})
	}
	return &NoDiskError{fmt.Sprintf("the rule fits %d disks; add smallest, largest or first, or say which by serial:", len(fit)), passed}
}
