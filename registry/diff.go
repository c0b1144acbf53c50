package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Difference is one part of a machine that changed between two registrations.
type Difference struct {
	Part   string // what it is, such as "DIMM A1" or "disk S4EVNX0R"
	Before string // empty where it is new
	After  string // empty where it is gone
}

// String is the difference as a line, such as "DIMM A1 is gone (32 GiB Samsung)".
func (d Difference) String() string {
	switch {
	case d.Before == "":
		return d.Part + " is new (" + d.After + ")"
	case d.After == "":
		return d.Part + " is gone (" + d.Before + ")"
	}
	return d.Part + " was " + d.Before + " and is " + d.After
}

// Diff is what changed from before to after, in the order of their parts: a module
// gone, a disk swapped, firmware updated. What changes by itself, such as a link
// or an address, is no difference. A part is the same when its slot is (a DIMM),
// its serial number or WWN (a disk), or its hardware address (a port).
func Diff(before, after Hardware) []Difference {
	was, is := parts(before), parts(after)
	var found []Difference
	for _, p := range was {
		now, _ := find(is, p.name)
		if p.value != now {
			found = append(found, Difference{p.name, p.value, now})
		}
	}
	for _, p := range is {
		if _, known := find(was, p.name); !known {
			found = append(found, Difference{p.name, "", p.value})
		}
	}
	return found
}

// part is something in a machine that may be swapped or updated.
type part struct{ name, value string }

func find(all []part, name string) (string, bool) {
	i := slices.IndexFunc(all, func(p part) bool { return p.name == name })
	if i < 0 {
		return "", false
	}
	return all[i].value, true
}

// parts lists what a machine is made of. What was not reported is not a part, so
// that an agent that learns to read more is no change of hardware.
func parts(h Hardware) []part {
	all := []part{
		{"serial number", h.System.Serial},
		{"mainboard UUID", h.System.UUID},
		{"firmware", words(h.Firmware.Mode, h.Firmware.Version, h.Firmware.Date)},
		{"Secure Boot", h.Firmware.SecureBoot},
		{"TPM", h.Firmware.TPM},
		{"CPU", words(fmt.Sprint(h.CPU.Sockets), "x", h.CPU.Model)},
	}
	for _, d := range h.Memory.DIMMs {
		all = append(all, part{"DIMM " + d.Slot, words(gib(d.Bytes), d.Type, d.Vendor, d.Part, d.Serial)})
	}
	for _, d := range h.Disks {
		if !d.Removable {
			all = append(all, part{"disk " + cmp.Or(d.Serial, d.WWN, d.Name), words(gib(d.Bytes), d.Model)})
		}
	}
	for _, n := range h.NICs {
		if n.MAC != (MAC{}) {
			all = append(all, part{"port " + n.MAC.String(), words(n.PCI, n.PCIID)})
		}
	}
	if h.BMC != nil {
		all = append(all, part{"BMC firmware", h.BMC.Version})
	}
	return slices.DeleteFunc(all, func(p part) bool { return p.value == "" })
}

func words(parts ...string) string {
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

func gib(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(bytes)/(1<<30)), ".0") + " GiB"
}
