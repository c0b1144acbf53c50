package signature

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
	"dragonfly/registry"
)

const (
	mib = 1 << 20
	id  = "11111111-2222-3333-4444-555555555555"
)

// made are disks that the real tools wrote. Arrays need a kernel that has them:
// testdata/arrays says how those are made, and $ARRAYS is where they lie.
var made = []struct {
	name     string
	size     int64
	commands string
	want     string // type, label, UUID, parts of the first signature
}{
	{"ext4", 64 * mib, `mkfs.ext4 -q -L root -U ` + id + ` $DISK`, "ext4 root " + id},
	{"ext3", 64 * mib, `mkfs.ext3 -q -L root -U ` + id + ` $DISK`, "ext3 root " + id},
	{"ext2", 64 * mib, `mkfs.ext2 -q -U ` + id + ` $DISK`, "ext2  " + id},
	{"xfs", 320 * mib, `mkfs.xfs -q -L data -m uuid=` + id + ` $DISK`, "xfs data " + id},
	{"btrfs", 128 * mib, `mkfs.btrfs -q -L tree -U ` + id + ` $DISK`, "btrfs tree " + id},
	{"btrfs-two", 128 * mib, `truncate -s 128M $DISK.2; a=$(losetup -f --show $DISK); b=$(losetup -f --show $DISK.2); mkfs.btrfs -q -L tree -U ` + id + ` $a $b; losetup -d $a $b`, "btrfs tree " + id + " member of 2"},
	{"fat32", 64 * mib, `mkfs.vfat -F 32 -n EFI -i 1234abcd $DISK`, "vfat EFI 1234-ABCD"},
	{"fat16", 64 * mib, `mkfs.vfat -F 16 -i 1234abcd $DISK`, "vfat  1234-ABCD"},
	{"ntfs", 64 * mib, `mkfs.ntfs -q -F -f -L "Windows Größe" $DISK; printf '\1\2\3\4\5\6\7\10' | dd of=$DISK bs=1 seek=72 conv=notrunc`, "ntfs Windows Größe 0807060504030201"},
	{"swap", 64 * mib, `mkswap -q -L swap1 -U ` + id + ` $DISK`, "swap swap1 " + id},
	{"luks1", 64 * mib, `printf secret | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 --uuid ` + id + ` $DISK -; dd if=/dev/zero of=$DISK bs=4096 seek=1 count=600 conv=notrunc`, "crypto_LUKS  " + id},
	{"luks2", 64 * mib, `printf secret | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label vault --uuid ` + id + ` $DISK -; dd if=/dev/zero of=$DISK bs=32768 seek=1 count=600 conv=notrunc`, "crypto_LUKS vault " + id},
	{"lvm", 64 * mib, `l=$(losetup -f --show $DISK); lvm pvcreate -q -ff -y -u 111111-2222-3333-4444-5555-6666-777777 --norestorefile --config 'devices{use_devicesfile=0}' $l 2>/dev/null; lvm vgcreate -q --config 'devices{use_devicesfile=0}' vg0 $l; losetup -d $l`,
		"LVM2_member vg0 111111-2222-3333-4444-5555-6666-777777 member of 1"},
	{"lvm-two", 64 * mib, `truncate -s 64M $DISK.2; a=$(losetup -f --show $DISK); b=$(losetup -f --show $DISK.2); export LVM_SUPPRESS_FD_WARNINGS=1; for l in $a $b; do lvm pvcreate -q -ff -y --config 'devices{use_devicesfile=0}' $l; done; lvm vgcreate -q --config 'devices{use_devicesfile=0}' vg0 $a $b; for i in 1 2 3; do lvm vgchange -q --addtag t$i --config 'devices{use_devicesfile=0}' vg0; done; losetup -d $a $b`, "LVM2_member vg0 * member of 2"},
	{"lvm-no-group", 64 * mib, `l=$(losetup -f --show $DISK); lvm pvcreate -q -ff -y --config 'devices{use_devicesfile=0}' $l; losetup -d $l`, "LVM2_member  * member"},
	{"zfs", 64 * mib, `mkdir $DISK.d; ztest -f $DISK.d -v 1 -m 1 -s 64m -T 5 >/dev/null 2>&1 || true; cp $DISK.d/ztest.0a $DISK`, "zfs_member ztest * member"},
	{"bcache", 64 * mib, `l=$(losetup -f --show $DISK); make-bcache -B $l; losetup -d $l`, "bcache  * member"},
	{"md-0.90", 64 * mib, `cp $ARRAYS/da $DISK`, "linux_raid_member  " + "11111111-2222-2222-3333-333344444444 member of 2"},
	{"md-1.0", 64 * mib, `cp $ARRAYS/dc $DISK`, "linux_raid_member node1:data 11111111-2222-2222-3333-333344444444 member of 2"},
	{"md-1.1", 64 * mib, `cp $ARRAYS/de $DISK`, "linux_raid_member node1:data 11111111-2222-2222-3333-333344444444 member of 2"},
	{"md-1.2", 64 * mib, `cp $ARRAYS/dg $DISK`, "linux_raid_member node1:root 11111111-2222-2222-3333-333344444444 member of 2"},
	{"imsm", 64 * mib, `cp $ARRAYS/di $DISK`, "isw_raid_member   member"},
	{"ddf", 64 * mib, `cp $ARRAYS/dk $DISK`, "ddf_raid_member Linux-MD  member"},
	{"iso", 16 * mib, `printf '\1CD001\1' | dd of=$DISK bs=1 seek=32768 conv=notrunc`, "iso9660  "},
}

func brief(s Signature) string {
	out := fmt.Sprintf("%s %s %s", s.Type, s.Label, s.UUID)
	if s.Kind == Member {
		out += " member"
	}
	if s.Parts > 0 {
		out += fmt.Sprintf(" of %d", s.Parts)
	}
	return out
}

// like compares, where a "*" stands for one word.
func like(got, pattern string) bool {
	a, b := strings.Split(got, " "), strings.Split(pattern, " ")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && b[i] != "*" {
			return false
		}
	}
	return true
}

func load(t testing.TB, name string) *disktest.Disk {
	t.Helper()
	for _, m := range made {
		if m.name == name {
			return disktest.Made(t, name, m.size, m.commands, func(d *disktest.Disk) { _, _ = Examine(d, d.Size) })
		}
	}
	t.Fatalf("there is no disk %s", name)
	return nil
}

func TestProbeWhatToolsWrite(t *testing.T) {
	for _, m := range made {
		t.Run(m.name, func(t *testing.T) {
			disk := load(t, m.name)
			found, err := Probe(disk, disk.Size)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || !like(brief(found[0]), m.want) {
				t.Errorf("found %+v, want %q", found, m.want)
			}
		})
	}
}

// TestMagicIsWhatRecognises erases the magic numbers, and nothing is recognised any
// more.
func TestMagicIsWhatRecognises(t *testing.T) {
	for _, m := range made {
		disk := load(t, m.name)
		found, _ := Probe(disk, disk.Size)
		for _, s := range found {
			for _, span := range s.Magic {
				if _, err := disk.WriteAt(make([]byte, span.Length), span.Offset); err != nil {
					t.Fatal(err)
				}
			}
		}
		if left, _ := Probe(disk, disk.Size); len(left) > 0 {
			t.Errorf("%s: %+v is left", m.name, left)
		}
	}
}

// place copies what is on one disk into another.
func place(t *testing.T, to *disktest.Disk, at int64, from *disktest.Disk) {
	t.Helper()
	for off := int64(0); off < from.Size; off += mib {
		b := make([]byte, mib)
		_, _ = from.ReadAt(b, off)
		if _, err := to.WriteAt(b, at+off); err != nil {
			t.Fatal(err)
		}
	}
}

// partitioned has a GPT and on its partitions those disks.
func partitioned(t *testing.T, names ...string) *disktest.Disk {
	t.Helper()
	table, at := partition.Table{Kind: partition.GPT, Sector: 512}, int64(mib)
	disk := disktest.New(1 << 30)
	for i, name := range names {
		p := partition.Partition{Number: i + 1, Start: at, Size: 64 * mib, Type: partition.LinuxGUID}
		if name != "" {
			from := load(t, name)
			p.Size = from.Size
			place(t, disk, at, from)
		}
		table.Parts = append(table.Parts, p)
		at = p.End()
	}
	table.Parts[0].Type, table.Parts[0].Name = partition.ESPGUID, "boot"
	if at > disk.Size-mib {
		t.Fatal("the disk is too small")
	}
	disk.Size = at + 33*512 // so that the last partition ends where the table does
	if err := table.Write(disk, disk.Size); err != nil {
		t.Fatal(err)
	}
	return disk
}

func reported(t *testing.T, disk *disktest.Disk) string {
	t.Helper()
	d, err := Examine(disk, disk.Size)
	contents, found := d.Report("sda", err)
	lines := []string{string(contents)}
	for _, s := range found {
		line := fmt.Sprintf("%s|%s|%s|%s|%s", s.On, s.Role, s.Type, s.Label, s.UUID)
		if s.Member {
			line += fmt.Sprintf("|member of %d", s.Parts)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestExamine(t *testing.T) {
	mark := func(disk *disktest.Disk) *disktest.Disk {
		if err := WriteMark(disk, disk.Size, "m-1", "d-1"); err != nil {
			t.Fatal(err)
		}
		return disk
	}
	noise := disktest.New(64 * mib)
	_, _ = noise.WriteAt([]byte("something"), 5000)
	ones := disktest.New(mib)
	_, _ = ones.WriteAt([]byte(strings.Repeat("\xff", mib)), 0)
	damaged := disktest.New(64 * mib)
	_, _ = damaged.WriteAt([]byte("EFI PART"), 512)
	for name, test := range map[string]struct {
		disk *disktest.Disk
		want string
	}{
		"blank":           {disktest.New(mib), "blank"},
		"ones":            {ones, "blank"},
		"tiny":            {disktest.New(512), "blank"},
		"something":       {noise, "foreign\n||data||"},
		"no table":        {load(t, "xfs"), "foreign\n||xfs|data|"},
		"a damaged table": {damaged, "foreign\n||gpt||"},
		"a system":        {partitioned(t, "fat32", "", "ext4"), "foreign\n||gpt||\nsda1|boot|vfat|EFI|\nsda2|Linux filesystem|||\nsda3|Linux filesystem|ext4|root|"},
		"ours":            {mark(partitioned(t, "fat32", "ext4")), "ours\n||gpt||\n||dragonfly|m-1|d-1\nsda1|boot|vfat|EFI|\nsda2|Linux filesystem|ext4|root|"},
		"ours, with lvm":  {mark(partitioned(t, "fat32", "lvm")), "ours\n||gpt||\n||dragonfly|m-1|d-1\nsda1|boot|vfat|EFI|\nsda2|Linux filesystem|LVM2_member|vg0|111111-2222-3333-4444-5555-6666-777777|member of 1"},
		"lvm":             {partitioned(t, "", "lvm"), "member\n||gpt||\nsda1|boot|||\nsda2|Linux filesystem|LVM2_member|vg0|111111-2222-3333-4444-5555-6666-777777|member of 1"},
		"an array of the last partition is not the disk's": {mark(partitioned(t, "", "md-0.90")),
			"member\n||gpt||\n||dragonfly|m-1|d-1\nsda1|boot|||\nsda2|Linux filesystem|linux_raid_member||11111111-2222-2222-3333-333344444444|member of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reported(t, test.disk); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestReportIsShort(t *testing.T) {
	disk := disktest.New(2 << 30)
	table := partition.Table{Kind: partition.GPT, Sector: 512}
	for i := range 100 {
		table.Parts = append(table.Parts, partition.Partition{Number: i + 1, Start: int64(1+i) * mib, Size: mib, Type: partition.LinuxGUID, Name: "part <b>\x1b[2J"})
	}
	table.Parts[99].Type = partition.LDMGUID
	if err := table.Write(disk, disk.Size); err != nil {
		t.Fatal(err)
	}
	d, err := Examine(disk, disk.Size)
	contents, found := d.Report("nvme0n1", err)
	if len(found) != maxReported || contents != registry.Member {
		t.Fatalf("%s, %d reported", contents, len(found))
	}
	if last := found[len(found)-1]; last.On != "nvme0n1p100" || !last.Member || last.Role != "part (b)[2J" {
		t.Errorf("%+v", last)
	}
}

// sick cannot be read from a place on.
type sick struct {
	*disktest.Disk
	from, to int64
}

func (s sick) ReadAt(p []byte, off int64) (int, error) {
	if off < s.to && off+int64(len(p)) > s.from {
		n, _ := s.Disk.ReadAt(p[:max(0, s.from-off)], off)
		return n, errors.New("input/output error")
	}
	return s.Disk.ReadAt(p, off)
}

func TestUnreadable(t *testing.T) {
	for name, test := range map[string]struct {
		disk sick
		want registry.Contents
	}{
		"all of it":          {sick{load(t, "ext4"), 0, 64 * mib}, registry.Unreadable},
		"its end":            {sick{load(t, "lvm"), 63 * mib, 64 * mib}, registry.Member},
		"the end of a blank": {sick{disktest.New(64 * mib), 63 * mib, 64 * mib}, registry.Unreadable},
	} {
		d, err := Examine(test.disk, test.disk.Size)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if got, found := d.Report("sda", err); got != test.want {
			t.Errorf("%s: %s, %+v", name, got, found)
		}
	}
}

func TestMark(t *testing.T) {
	disk := partitioned(t, "", "ext4")
	for _, deployment := range []string{"d-1", "d-2"} { // the second replaces the first
		if err := WriteMark(disk, disk.Size, "m-1", deployment); err != nil {
			t.Fatal(err)
		}
		if got := readMark(&probe{r: disk, size: disk.Size}); len(got) != 1 || got[0].Label != "m-1" || got[0].UUID != deployment {
			t.Errorf("read %+v", got)
		}
	}
	b := []byte{0}
	_, _ = disk.WriteAt(b, markAt+33)
	if readMark(&probe{r: disk, size: disk.Size}) != nil {
		t.Error("a damaged mark was read")
	}
	if err := WriteMark(disk, disk.Size, "m-1", "d-3"); !errors.Is(err, errMark) || !strings.Contains(err.Error(), "something else stands there") {
		t.Error(err)
	}
	early := disktest.New(64 * mib)
	table := partition.Table{Kind: partition.DOS, Sector: 512, Parts: []partition.Partition{{Number: 1, Start: 63 * 512, Size: 32 * mib, Type: "83"}}}
	if err := table.Write(early, early.Size); err != nil {
		t.Fatal(err)
	}
	for name, disk := range map[string]*disktest.Disk{"no table": load(t, "ext4"), "an old table": early, "blank": disktest.New(mib)} {
		before := disk.Copy()
		if err := WriteMark(disk, disk.Size, "m-1", "d-1"); !errors.Is(err, errMark) {
			t.Errorf("%s: %v", name, err)
		}
		a, b := make([]byte, 4096), make([]byte, 4096)
		_, _ = disk.ReadAt(a, markAt)
		_, _ = before.ReadAt(b, markAt)
		if string(a) != string(b) {
			t.Errorf("%s: something was written", name)
		}
	}
}

// FuzzExamine lays pieces over a small disk: 4 bytes of place, from the start or,
// with the highest bit, from the end, then 60 of contents.
// Fuzz it with -fuzzminimizetime 10x: what it keeps is large, and making each smaller
// takes the minute that is given by default.
func FuzzExamine(f *testing.F) {
	for _, m := range made {
		disk, seed := load(f, m.name), []byte{}
		found, _ := Probe(disk, disk.Size)
		for _, s := range found {
			for _, span := range s.Magic[:1] {
				for _, off := range []int64{span.Offset - 60, span.Offset, span.Offset + 60, 4096, 4608} {
					piece, at := make([]byte, 60), uint32(max(0, off))
					_, _ = disk.ReadAt(piece, int64(at))
					if off > disk.Size/2 {
						at = 1<<31 | uint32(disk.Size-off)
					}
					seed = append(append(seed, byte(at), byte(at>>8), byte(at>>16), byte(at>>24)), piece...)
				}
			}
		}
		f.Add(seed)
	}
	// One disk for all, in one piece: a new one each time, or one of many blocks, takes
	// ten times longer than looking at it.
	const size = 3 * mib
	disk := make([]byte, size)
	f.Fuzz(func(t *testing.T, pieces []byte) {
		for ; len(pieces) >= 64; pieces = pieces[64:] {
			at := int64(le32(pieces) &^ (1 << 31))
			if le32(pieces)>>31 != 0 {
				at = size - at
			}
			place := disk[max(0, min(at, size-60)):][:60]
			copy(place, pieces[4:64])
			defer clear(place)
		}
		d, err := Examine(bytes.NewReader(disk), size)
		_, found := d.Report("sda", err)
		for _, s := range found {
			r := registry.Registration{MAC: registry.MAC{2}, MACs: nil, Hardware: registry.Hardware{Disks: []registry.Disk{{Name: "sda", Found: []registry.Signature{s}}}}}
			if err := r.Validate(); err != nil {
				t.Errorf("%+v: %v", s, err)
			}
		}
		for _, s := range d.Whole {
			for _, span := range s.Magic {
				if span.Offset < 0 || span.Length <= 0 || span.Offset+span.Length > size {
					t.Errorf("%+v is not on the disk", s)
				}
			}
		}
	})
}
