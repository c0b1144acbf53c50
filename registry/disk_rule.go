package registry

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// DiskRule chooses the disk that an operating system is written to. The server
// shows its choice before a deployment is confirmed, and the agent makes it again
// before it writes, from the same inventory.
type DiskRule struct {
	terms     []diskTerm
	order     diskOrder // empty: exactly one disk has to fit
	removable bool      // also one that is removable
}

// diskTerm is "serial:A,B" or, with Not, "-serial:A,B".
type diskTerm struct {
	not    bool
	field  string
	values []string
}

type diskOrder string

const (
	smallest diskOrder = "smallest"
	largest  diskOrder = "largest"
	first    diskOrder = "first"
)

// diskFields are what a disk may be told by. Kernel names are not among them.
var diskFields = []string{"by-id", "kind", "model", "serial", "size", "transport", "wwn"}

// maxDiskRule bounds the text of a rule, in bytes.
const maxDiskRule = 256

// DiskRuleError says what is wrong with the text of a rule, and where.
type DiskRuleError struct{ FilterError }

func (e *DiskRuleError) Error() string {
	return "disk rule" + strings.TrimPrefix(e.FilterError.Error(), "filter")
}

// ParseDiskRule reads a rule, which is much like a filter ([ParseFilter]):
//
//	                          the smallest that is large enough and not removable
//	serial:S4EVNX0R           the one of that serial number
//	by-id:nvme-Samsung_...    or of that name below /dev/disk/by-id
//	wwn:0x5000c50015ea71ac    or of that world wide name
//	first transport:nvme      the first NVMe disk, in the order of their by-id names
//	smallest kind:ssd size:200G..2T
//	largest model:"SAMSUNG MZ*",INTEL*  -transport:usb
//	removable size:..64G      a stick may be chosen too
//
// Terms are separated by spaces and all have to match; a "-" turns one round, and
// a comma stands between values of which one has to match. Models are compared
// without regard to case, with * and ? as in file names; sizes are decimal, as on
// the label of a disk. Without smallest, largest or first, exactly one disk has to
// fit. The error is a [*DiskRuleError].
func ParseDiskRule(text string) (DiskRule, error) {
	p := filterParser{text: text}
	r, err := p.diskRule()
	if wrong, ok := errors.AsType[*FilterError](err); ok {
		return DiskRule{}, &DiskRuleError{*wrong}
	}
	return r, err
}

func (p *filterParser) diskRule() (r DiskRule, err error) {
	if len(p.text) > maxDiskRule {
		return r, p.fail(maxDiskRule, fmt.Sprintf("it is longer than %d bytes", maxDiskRule), "")
	}
	for p.skipSpace(); p.pos < len(p.text); p.skipSpace() {
		if err := p.diskWord(&r); err != nil {
			return r, err
		}
	}
	if len(r.terms) == 0 {
		r.order = cmp.Or(r.order, smallest)
	}
	return r, nil
}

// diskWord reads one word of a rule or one term.
func (p *filterParser) diskWord(r *DiskRule) error {
	at, not := p.pos, p.accept('-')
	if name, ok := p.field(); ok {
		term, err := p.diskTerm(name)
		term.not = not
		r.terms = append(r.terms, term)
		return err
	}
	word, err := p.value(true)
	switch {
	case err != nil:
		return err
	case not:
	case word == "removable":
		r.removable = true
		return nil
	case slices.Contains([]diskOrder{smallest, largest, first}, diskOrder(word)):
		if r.order != "" {
			return p.fail(at, fmt.Sprintf("%s after %s; want one of them", word, r.order), "")
		}
		r.order = diskOrder(word)
		return nil
	case strings.HasPrefix(word, byID):
		r.terms = append(r.terms, diskTerm{field: "by-id", values: []string{word}})
		return nil
	}
	known := []string{string(smallest), string(largest), string(first), "removable"}
	for _, f := range diskFields {
		known = append(known, f+":")
	}
	if strings.HasPrefix(word, "/dev/") {
		return p.fail(at, fmt.Sprintf("%s may be another disk at the next boot; say serial: or by-id:", word), "")
	}
	return p.fail(at, fmt.Sprintf("%q is no part of a rule; there are %s", word, strings.Join(known, ", ")), Nearest(word, known))
}

const byID = "/dev/disk/by-id/"

func (p *filterParser) diskTerm(name string) (t diskTerm, err error) {
	if name == "name" {
		return t, p.fail(p.pos, "the kernel's names of disks change from boot to boot; say serial: or by-id:", "")
	}
	if !slices.Contains(diskFields, name) {
		return t, p.fail(p.pos, fmt.Sprintf("%q is nothing that a disk is told by; there are %s", name, strings.Join(diskFields, ", ")), Nearest(name, diskFields))
	}
	t.field = name
	for p.pos += len(name) + 1; ; {
		at := p.pos
		value, err := p.value(false)
		if err != nil {
			return t, err
		}
		if wrong := checkDiskValue(name, value); wrong != "" {
			return t, p.fail(at, wrong, "")
		}
		t.values = append(t.values, value)
		if !p.accept(',') {
			return t, nil
		}
	}
}

func checkDiskValue(field, value string) string {
	switch field {
	case "model":
		if _, err := path.Match(value, ""); err != nil {
			return fmt.Sprintf("%q is no pattern; want one such as SAMSUNG*", value)
		}
	case "size":
		if _, _, err := sizeRange(value); err != nil {
			return err.Error()
		}
	case "kind":
		if value != "ssd" && value != "hdd" {
			return fmt.Sprintf("kind is never %q; it is ssd or hdd", value)
		}
	}
	return ""
}

// sizeRange reads "200G..2T", "200G.." or "..2T".
func sizeRange(text string) (low, high int64, err error) {
	a, b, ok := strings.Cut(text, "..")
	if !ok || a == "" && b == "" {
		return 0, 0, fmt.Errorf("%q is no range of sizes; want 200G..2T, 200G.. or ..2T", text)
	}
	high = maxBytes
	if a != "" {
		if low, err = diskSize(a); err != nil {
			return 0, 0, err
		}
	}
	if b != "" {
		if high, err = diskSize(b); err != nil {
			return 0, 0, err
		}
	}
	if low > high {
		return 0, 0, fmt.Errorf("%q begins with the larger size", text)
	}
	return low, high, nil
}

// diskSize reads "480G", "1.92T" or "500000M", in powers of 1000.
func diskSize(text string) (int64, error) {
	const units = "MGTP"
	unit := strings.TrimLeft(strings.ToUpper(text), "0123456789.")
	n, err := strconv.ParseFloat(text[:len(text)-len(unit)], 64)
	i := strings.Index(units, strings.TrimSuffix(unit, "B"))
	if err != nil || i < 0 || len(strings.TrimSuffix(unit, "B")) != 1 || n > 1e6 {
		return 0, fmt.Errorf("%q is no size; want one such as 480G or 1.92T", text)
	}
	for range i + 2 {
		n *= 1000
	}
	return int64(min(n, maxBytes)), nil
}

// matches reports whether the term lets the disk pass.
func (t diskTerm) matches(d Disk) bool {
	return slices.ContainsFunc(t.values, func(v string) bool { return t.is(d, v) }) != t.not
}

func (t diskTerm) is(d Disk, value string) bool {
	switch t.field {
	case "serial":
		return d.Serial != "" && strings.EqualFold(d.Serial, value)
	case "wwn":
		return d.WWN != "" && strings.EqualFold(d.WWN, value)
	case "by-id":
		return d.ByID != "" && strings.TrimPrefix(d.ByID, byID) == strings.TrimPrefix(value, byID)
	case "transport":
		return strings.EqualFold(d.Transport, value)
	case "model":
		ok, _ := path.Match(strings.ToLower(value), strings.ReplaceAll(strings.ToLower(d.Model), "/", " "))
		return ok
	case "kind":
		return d.Rotational == (value == "hdd")
	case "size":
		low, high, err := sizeRange(value)
		return err == nil && d.Bytes >= low && d.Bytes <= high
	}
	return false
}

// value is what the disk has where the term wants another.
func (t diskTerm) value(d Disk) string {
	switch t.field {
	case "serial":
		return "its serial number is " + cmp.Or(d.Serial, "not known")
	case "wwn":
		return "its WWN is " + cmp.Or(d.WWN, "not known")
	case "by-id":
		return "its name is " + cmp.Or(strings.TrimPrefix(d.ByID, byID), "not known")
	case "transport":
		return "it is attached by " + cmp.Or(d.Transport, "something unknown")
	case "model":
		return "its model is " + cmp.Or(d.Model, "not known")
	case "kind":
		if d.Rotational {
			return "it is a hard disk"
		}
		return "it is no hard disk"
	}
	return "it has " + d.Size()
}

// identifies reports whether the rule names one disk that cannot be mistaken.
func (r DiskRule) identifies() bool {
	return slices.ContainsFunc(r.terms, func(t diskTerm) bool {
		return !t.not && (t.field == "serial" || t.field == "wwn" || t.field == "by-id")
	})
}
