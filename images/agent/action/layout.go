package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"dragonfly/images/agent/partition"
)

// layout is how disks are to be divided: the member "storage" of an instance's
// metadata, as rootio of github.com/tinkerbell/actions reads it
// (rootio/storage/metadata.go, raid.go).
type layout struct {
	Disks        []layoutDisk   `json:"disks"`
	RAID         []layoutRAID   `json:"raid"`
	VolumeGroups []layoutGroup  `json:"volume_groups"`
	FileSystems  []layoutVolume `json:"filesystems"`
}

type layoutDisk struct {
	Device     string            `json:"device"`
	WipeTable  bool              `json:"wipe_table"`
	Partitions []layoutPartition `json:"partitions"`
}

// layoutPartition is a partition; Size is in sectors of 512 bytes, and 0 is the rest
// of the disk.
type layoutPartition struct {
	Label  string `json:"label"`
	Number int    `json:"number"`
	Size   int64  `json:"size"`
}

type layoutRAID struct {
	Name    string   `json:"name"`
	Level   string   `json:"level"`
	Devices []string `json:"devices"`
	Spare   []string `json:"spare"`
}

type layoutGroup struct {
	Name            string          `json:"name"`
	PhysicalVolumes []string        `json:"physical_volumes"`
	LogicalVolumes  []layoutLogical `json:"logical_volumes"`
	Tags            []string        `json:"tags"`
}

// layoutLogical is a logical volume; Size is in bytes, and 0 is the rest of the group.
type layoutLogical struct {
	Name string   `json:"name"`
	Size int64    `json:"size"`
	Tags []string `json:"tags"`
	Opts []string `json:"opts"`
}

type layoutVolume struct {
	Mount struct {
		Device string `json:"device"`
		Format string `json:"format"`
		Point  string `json:"point"`
		Create struct {
			Force   bool     `json:"force"` // it always is
			Options []string `json:"options"`
		} `json:"create"`
	} `json:"mount"`
}

// parseStorage reads STORAGE, in which everything is for us: a member that is not
// known is a mistake.
func parseStorage(text []byte) (l layout, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, fmt.Errorf("STORAGE is no layout in JSON: %w", err)
	}
	return l, l.check()
}

// parseMetadata reads the metadata of an instance, of which most is for others.
func parseMetadata(text []byte) (layout, error) {
	var m struct {
		Metadata struct {
			Instance struct {
				Storage layout `json:"storage"`
			} `json:"instance"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return layout{}, fmt.Errorf("the metadata are no JSON: %w", err)
	}
	return m.Metadata.Instance.Storage, m.Metadata.Instance.Storage.check()
}

// check says all that is wrong with a layout and can be known without the machine.
func (l layout) check() error {
	var errs []error
	if len(l.Disks)+len(l.RAID)+len(l.VolumeGroups)+len(l.FileSystems) == 0 {
		errs = append(errs, errors.New("the layout is empty: it has no disks and no filesystems"))
	}
	for _, d := range l.Disks {
		errs = append(errs, isDevice(d.Device), d.check())
	}
	for _, r := range l.RAID {
		errs = append(errs, r.check())
	}
	for _, g := range l.VolumeGroups {
		errs = append(errs, g.check())
	}
	for _, f := range l.FileSystems {
		errs = append(errs, f.check())
	}
	return errors.Join(errs...)
}

func isDevice(name string) error {
	if !strings.HasPrefix(name, "/dev/") || path.Clean(name) != name {
		return fmt.Errorf("device %q: want the path of a device, such as /dev/sda", name)
	}
	return nil
}

func (d layoutDisk) check() error {
	for i, p := range d.Partitions {
		switch {
		case len(utf16.Encode([]rune(p.Label))) > 36:
			return fmt.Errorf("partition %d of %s has a label of more than 36 characters", p.Number, d.Device)
		case i >= 128:
			return fmt.Errorf("%s has %d partitions; at most 128 can be", d.Device, len(d.Partitions))
		case p.Number != i+1:
			return fmt.Errorf("partition %d of %s comes where %d should: number them from 1 in their order", p.Number, d.Device, i+1)
		case p.Size < 0 || p.Size > 1<<53:
			return fmt.Errorf("partition %d of %s has size %d; want sectors of 512 bytes, or 0 for the rest of the disk", p.Number, d.Device, p.Size)
		case p.Size == 0 && i < len(d.Partitions)-1:
			return fmt.Errorf("partition %d of %s takes the rest of the disk (size 0) and is not the last", p.Number, d.Device)
		}
	}
	return nil
}

var arrayName = regexp.MustCompile(`^(/dev/)?md([0-9]{1,3}|/[A-Za-z][A-Za-z0-9_.-]{0,31})$`)

// arrayLevels are how many devices an array has at least, by its level: those of
// which the agent's kernel knows how.
var arrayLevels = map[string]int{"0": 2, "1": 2, "10": 4}

func (r layoutRAID) check() error {
	least, ok := arrayLevels[r.Level]
	switch {
	case !arrayName.MatchString(r.Name):
		return fmt.Errorf("raid %q: want a name such as md0 or /dev/md/root", r.Name)
	case !ok:
		return fmt.Errorf("raid %s: level %q; want 0, 1 or 10", r.Name, r.Level)
	case len(r.Devices) < least:
		return fmt.Errorf("raid %s: level %s takes %d devices at least, and there are %d", r.Name, r.Level, least, len(r.Devices))
	}
	return devicesOnce(slices.Concat(r.Devices, r.Spare))
}

// device is the path of the array.
func (r layoutRAID) device() string { return "/dev/" + strings.TrimPrefix(r.Name, "/dev/") }

func devicesOnce(names []string) error {
	for i, name := range names {
		if err := isDevice(name); err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("device %s is named twice", name)
		}
	}
	return nil
}

// lvmName is what the public action takes for a name or a tag.
var lvmName = regexp.MustCompile(`^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,126}$`)

func isLVMName(what, name string) error {
	if !lvmName.MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("%s %q: want letters, digits and _ + . -", what, name)
	}
	return nil
}

func (g layoutGroup) check() error {
	errs := []error{isLVMName("volume group", g.Name), devicesOnce(g.PhysicalVolumes)}
	if len(g.PhysicalVolumes) == 0 {
		errs = append(errs, fmt.Errorf("volume group %s has no physical volumes", g.Name))
	}
	for _, tag := range g.Tags {
		errs = append(errs, isLVMName("tag", tag))
	}
	for i, v := range g.LogicalVolumes {
		errs = append(errs, isLVMName("logical volume", v.Name), checkOptions(v.Name, v.Opts))
		for _, tag := range v.Tags {
			errs = append(errs, isLVMName("tag", tag))
		}
		if v.Size < 0 || v.Size == 0 && i < len(g.LogicalVolumes)-1 {
			errs = append(errs, fmt.Errorf("logical volume %s has size %d; want bytes, or 0 for the rest with the last one", v.Name, v.Size))
		}
	}
	return errors.Join(errs...)
}

// otherDevice is an option that names another device without its path: the journal
// of mke2fs by a label, or the log and the real-time part of xfs.
var otherDevice = regexp.MustCompile(`(device|logdev|rtdev)\s*=`)

// checkOptions refuses what could name another device, or a file.
func checkOptions(of string, options []string) error {
	for _, o := range options {
		if strings.ContainsAny(o, "/@\x00\n") || otherDevice.MatchString(o) {
			return fmt.Errorf("option %q of %s: one that names a path or a device is not taken", o, of)
		}
	}
	return nil
}

var pointName = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)

func (f layoutVolume) check() error {
	m := f.Mount
	if err := isDevice(m.Device); err != nil {
		return err
	}
	if _, ok := makers[m.Format]; !ok {
		return fmt.Errorf("filesystem of %s: format %q; want one of %s", m.Device, m.Format, strings.Join(formats(), ", "))
	}
	if m.Format == formatSwap {
		return nil
	}
	if m.Point != "" && (!pointName.MatchString(m.Point) || path.Clean(m.Point) != m.Point) {
		return fmt.Errorf("filesystem of %s: point %q; want an absolute path of letters, digits and . _ -, without .. in it", m.Device, m.Point)
	}
	return checkOptions(m.Device, m.Create.Options)
}

// kindOf is the type of a partition, by its label and by what it becomes a member of.
// A label of a GPT is the partition's name too.
func (l layout) kindOf(d layoutDisk, p layoutPartition) (gpt, dos string, active bool) {
	label, active := strings.CutSuffix(strings.ToUpper(p.Label), "_ACTIVE")
	for _, r := range l.RAID {
		if slices.ContainsFunc(slices.Concat(r.Devices, r.Spare), d.is(p.Number)) {
			return partition.RAIDGUID, "fd", active
		}
	}
	for _, g := range l.VolumeGroups {
		if slices.ContainsFunc(g.PhysicalVolumes, d.is(p.Number)) {
			return partition.LVMGUID, "8e", active
		}
	}
	switch label {
	case "SWAP":
		return partition.SwapGUID, "82", active
	case "BIOS":
		return partition.BIOSGUID, "83", active
	case "EFI":
		return partition.ESPGUID, "ef", active
	case "FAT32":
		return partition.BasicDataGUID, "0c", active
	}
	return partition.LinuxGUID, "83", active
}

// is reports the names of a partition of the disk.
func (d layoutDisk) is(number int) func(string) bool {
	n := strconv.Itoa(number)
	return func(name string) bool { return name == partNode(d.Device, n) || name == d.Device+"-part"+n }
}

// table is the partition table of a disk of that size: partitions begin on whole MiB,
// one behind the other.
func (l layout) table(d layoutDisk, kind partition.Kind, size, sector int64) (partition.Table, error) {
	t := partition.Table{Kind: kind, Sector: sector}
	const unit, align = 512, 1 << 20
	room := (size - align) / align * align // the second copy of a GPT is behind it
	if kind == partition.DOS {
		room = min(size, (1<<32-1)*sector) / align * align
	}
	if kind == partition.DOS && len(d.Partitions) > 4 {
		return t, fmt.Errorf("%s has %d partitions, and an MBR (MBR is set) holds 4", d.Device, len(d.Partitions))
	}
	at := int64(align)
	for _, p := range d.Partitions {
		length := roundUp(p.Size*unit, sector)
		if p.Size == 0 {
			length = room - at
		}
		if length <= 0 || length > room-at {
			return t, fmt.Errorf("partition %d of %s does not fit: from %d on there are %d bytes", p.Number, d.Device, at, max(0, room-at))
		}
		next := partition.Partition{Number: p.Number, Start: at, Size: length, Name: p.Label}
		gpt, dos, active := l.kindOf(d, p)
		if next.Type = gpt; kind == partition.DOS {
			next.Type, next.Name = dos, ""
			if active {
				next.Flags = 0x80
			}
		}
		t.Parts = append(t.Parts, next)
		at = roundUp(at+length, align)
	}
	return t, nil
}
