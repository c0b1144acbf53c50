package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Vars is the directory where efivarfs is mounted.
type Vars string

// Default is where the kernel's users expect it.
const Default Vars = "/sys/firmware/efi/efivars"

// The GUID of the variables that the standard defines (UEFI 3.3), and what those of
// booting are: kept, and to be read before and after the system has started.
const (
	global     = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	attributes = 7
)

// ErrNoDiskEntry says that the firmware knows no way to a disk.
var ErrNoDiskEntry = errors.New("the firmware has no boot entry for a disk")

// There reports whether the machine has such variables; one with a BIOS has not.
func (v Vars) There() bool {
	entries, err := os.ReadDir(string(v))
	return err == nil && len(entries) > 0
}

// get is the value of a variable: the kernel puts four bytes of attributes before
// it.
func (v Vars) get(name string) ([]byte, error) {
	b, err := os.ReadFile(path.Join(string(v), name+global))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) < 4 {
		return nil, fmt.Errorf("read %s: it has %d bytes", name, len(b))
	}
	return b[4:], nil
}

// set changes a variable, unless it is so already: firmware keeps them in memory
// that wears. The kernel takes a variable in one write only.
func (v Vars) set(name string, value []byte) error {
	if now, err := v.get(name); err == nil && string(now) == string(value) {
		return nil
	}
	b := append(binary.LittleEndian.AppendUint32(nil, attributes), value...)
	if err := os.WriteFile(path.Join(string(v), name+global), b, 0o644); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	if now, err := v.get(name); err != nil || string(now) != string(value) {
		return fmt.Errorf("set %s: the firmware did not keep it", name)
	}
	return nil
}

// numbers reads a list of entries.
func (v Vars) numbers(name string) ([]uint16, error) {
	b, err := v.get(name)
	var all []uint16
	for ; len(b) >= 2; b = b[2:] {
		all = append(all, binary.LittleEndian.Uint16(b))
	}
	return all, err
}

// Order is the order in which the firmware tries its entries.
func (v Vars) Order() ([]uint16, error) { return v.numbers("BootOrder") }

func (v Vars) setOrder(order []uint16) error {
	var b []byte
	for _, n := range order {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return v.set("BootOrder", b)
}

// Entry reads one entry.
func (v Vars) Entry(n uint16) (Entry, error) {
	b, err := v.get(name(n))
	if err != nil {
		return Entry{}, err
	}
	return ParseEntry(b)
}

// entries are all there are, by number; one that makes no sense is an empty one, for
// it is still somebody's.
func (v Vars) entries() map[uint16]Entry {
	all := map[uint16]Entry{}
	files, _ := os.ReadDir(string(v))
	for _, f := range files {
		var n uint16
		base, ok := strings.CutSuffix(f.Name(), global)
		if _, err := fmt.Sscanf(base, "Boot%04X", &n); !ok || err != nil || base != name(n) {
			continue
		}
		all[n], _ = v.Entry(n)
	}
	return all
}

// Next makes an entry the one to be tried next, once.
func (v Vars) Next(n uint16) error {
	return v.set("BootNext", binary.LittleEndian.AppendUint16(nil, n))
}

// NextDisk makes the first entry for a disk the one to be tried next, once.
func (v Vars) NextDisk() error {
	order, err := v.Order()
	if err != nil {
		return err
	}
	for _, n := range order {
		if e, err := v.Entry(n); err == nil && e.Active() && e.FromDisk() {
			return v.Next(n)
		}
	}
	return ErrNoDiskEntry
}

// ours ends the description of the entry that we make, so that the next deployment
// takes its place instead of adding one more: firmware has room for a few dozen.
const ours = " (Dragonfly)"

// AfterNetwork makes an entry for what was installed, right behind the one that the
// machine boots over the network with, and both first: so the machine asks the
// network before it boots its disk, every time, and can always be reached there.
// An entry that boots the same file is taken, and the one of an earlier deployment
// is replaced; all others stay, and stay in their order. It returns the entry's
// number.
func (v Vars) AfterNetwork(what string, path ...Node) (uint16, error) {
	entry := Entry{Attributes: active, Description: what + ours, Path: path}
	order, err := v.Order()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	all := v.entries()
	n, found := place(all, entry)
	if !found {
		return 0, errors.New("the firmware has no number left for a boot entry")
	}
	if old, there := all[n]; !there || !old.same(entry) || !old.Active() {
		if err := v.set(name(n), entry.Bytes()); err != nil {
			return 0, err
		}
	}
	front := []uint16{n}
	if network, ok := v.network(all, order); ok {
		front = []uint16{network, n}
	}
	rest := slices.DeleteFunc(order, func(o uint16) bool { return slices.Contains(front, o) })
	return n, v.setOrder(append(front, rest...))
}

// place is the number that an entry gets: that of the same one, that of an earlier
// one of ours, or the first that is free.
func place(all map[uint16]Entry, entry Entry) (n uint16, ok bool) {
	numbers := slices.Sorted(maps.Keys(all))
	for _, want := range []func(Entry) bool{
		entry.same,
		func(e Entry) bool { return strings.HasSuffix(e.Description, ours) },
	} {
		for _, n := range numbers {
			if want(all[n]) {
				return n, true
			}
		}
	}
	for n := range uint16(0x2000) {
		if _, taken := all[n]; !taken {
			return n, true
		}
	}
	return 0, false
}

// network is the entry that this boot came from, where that is one of the network,
// else the first of those in the order.
func (v Vars) network(all map[uint16]Entry, order []uint16) (uint16, bool) {
	current, _ := v.numbers("BootCurrent")
	for _, n := range append(current, order...) {
		if e, ok := all[n]; ok && e.FromNetwork() {
			return n, true
		}
	}
	return 0, false
}
