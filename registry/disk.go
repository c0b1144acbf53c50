package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Contents says in one word what was found on a disk.
type Contents string

// What may be found on a disk. An empty one was not looked at.
const (
	Blank      Contents = "blank"      // nothing
	Ours       Contents = "ours"       // what Dragonfly installed, see [MarkSignature]
	Foreign    Contents = "foreign"    // partitions, file systems or data of someone else
	Member     Contents = "member"     // a part of an array, a volume group or a pool: erasing it may destroy what other disks hold
	Unreadable Contents = "unreadable" // reading it failed
)

// Signature is one thing found on a disk, by what it is recognised.
type Signature struct {
	On     string `json:"on,omitempty" doc:"kernel name of the partition; empty for the disk as a whole"`
	Role   string `json:"role,omitempty" doc:"what the partition table says of it: its name, or its type"`
	Type   string `json:"type,omitempty" doc:"as blkid names it: gpt, dos, ext4, xfs, LVM2_member, linux_raid_member, zfs_member, ..."`
	Label  string `json:"label,omitempty" doc:"of the file system; the name of the array, volume group or pool"`
	UUID   string `json:"uuid,omitempty" doc:"of the array, volume group or pool"`
	Member bool   `json:"member,omitempty" doc:"it is a part of something that may reach over other disks"`
	Parts  int    `json:"parts,omitempty" doc:"how many disks that reaches over, where it is known"`
}

// MarkSignature is the type of the mark that Dragonfly leaves on a disk: its label
// is the ID of the machine, its UUID that of the deployment.
const MarkSignature = "dragonfly"

// String is such as "sda2 ext4 root".
func (s Signature) String() string {
	if s.Type == MarkSignature {
		return "installed by Dragonfly on " + s.Label
	}
	return words(s.On, cmp.Or(s.Type, s.Role), s.Label)
}

// Describe says what is on the disk in a line, such as "gpt, sda1 vfat EFI, sda2
// ext4"; systems are those that were found on the machine.
func (d Disk) Describe(systems []OSFound) string {
	var parts []string
	for _, s := range systems {
		if s.Disk == d.Name && !slices.Contains(parts, s.Name) {
			parts = append(parts, s.Name)
		}
	}
	for _, s := range d.Found {
		parts = append(parts, s.String())
	}
	if len(parts) == 0 {
		return string(cmp.Or(d.Contents, "unknown"))
	}
	return strings.Join(parts, ", ")
}

// Hold is why erasing the disk for a machine waits until somebody has confirmed
// that; empty where it need not.
func (d Disk) Hold(machine string) string {
	mark, marked := d.mark()
	switch {
	case d.Contents == Blank, d.Contents == Foreign:
		return ""
	case d.Contents == Member:
		return "it belongs to " + d.memberships() + ", which may reach over other disks"
	case d.Contents == Ours && marked && mark.Label == machine:
		return ""
	case d.Contents == Ours && marked:
		return "it was installed by Dragonfly on another machine, " + mark.Label
	case d.Contents == Unreadable:
		return "it could not be read, so nobody knows what is on it"
	}
	return "nobody has looked at what is on it"
}

func (d Disk) mark() (Signature, bool) {
	i := slices.IndexFunc(d.Found, func(s Signature) bool { return s.Type == MarkSignature })
	if i < 0 {
		return Signature{}, false
	}
	return d.Found[i], true
}

// memberships are such as "linux_raid_member data (of 4 disks)".
func (d Disk) memberships() string {
	var all []string
	for _, s := range d.Found {
		if !s.Member {
			continue
		}
		text := words(s.Type, s.Label)
		if s.Parts > 0 {
			text += fmt.Sprintf(" (of %d)", s.Parts)
		}
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return cmp.Or(strings.Join(all, ", "), "something")
}

// Size is the size as the disk's label has it, such as "3.84 TB".
func (d Disk) Size() string { return decimal(d.Bytes) }

// decimal keeps three digits.
func decimal(bytes int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, i := float64(bytes), 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}

// String names the disk for people: kernel name, size, model and serial number.
func (d Disk) String() string { return words(d.Name, d.Size(), d.Model, d.Serial) }

// samePath reports whether two names stand for one disk that is attached twice.
func (d Disk) samePath(other Disk) bool {
	return d.WWN != "" && d.WWN == other.WWN && d.Serial == other.Serial && d.Bytes == other.Bytes
}

// Find is the disk that was chosen before, among those there are now; an error
// says why none is surely it. Kernel names change from boot to boot, so a disk is
// known by its serial number, its WWN and its size; only one that has neither
// number is known by its name.
func (c DeploymentDisk) Find(disks []Disk) (Disk, error) {
	var found []Disk
	for _, d := range disks {
		same := d.Serial == c.Serial && d.WWN == c.WWN && (c.Serial != "" || c.WWN != "" || d.Name == c.Name)
		if !same || slices.ContainsFunc(found, d.samePath) {
			continue
		}
		found = append(found, d)
	}
	what := words(c.Name, c.Model, c.Serial)
	switch {
	case len(found) == 0:
		return Disk{}, fmt.Errorf("the disk %s is not in the machine any more", what)
	case len(found) > 1:
		return Disk{}, fmt.Errorf("the disk %s is there %d times: its serial number does not tell it from others", what, len(found))
	case found[0].Bytes != c.Bytes || found[0].Model != c.Model:
		return Disk{}, fmt.Errorf("the disk %s of %s is now %s", what, decimal(c.Bytes), found[0])
	}
	return found[0], nil
}
