package action

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
)

// partitioned is a disk of 64 MiB with a table for one of 32, as after the image of
// a smaller disk; the kernel knows the partitions.
func partitioned(t *testing.T, table partition.Table) (device string) {
	t.Helper()
	device, _ = disktest.Loop(t, 64<<20)
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	table.Sector = 512
	must(t, table.Write(f, 32<<20))
	for _, p := range table.Parts {
		must(t, blkpg(int(f.Fd()), unix.BLKPG_ADD_PARTITION, p))
	}
	t.Cleanup(func() {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		for _, p := range table.Parts {
			if err := blkpg(int(f.Fd()), unix.BLKPG_DEL_PARTITION, p); err != nil {
				t.Errorf("take partition %d away: %v", p.Number, err)
			}
		}
	})
	return device
}

// oneAndRoot are a small partition, and a system's behind it.
func oneAndRoot(kind partition.Kind, small, root string) partition.Table {
	return partition.Table{Kind: kind, Parts: []partition.Partition{
		{Number: 1, Start: 4 << 20, Size: 24 << 20, Type: root}, {Number: 2, Start: 1 << 20, Size: 2 << 20, Type: small}}}
}

func TestGrowpart(t *testing.T) {
	for name, test := range map[string]struct {
		table partition.Table
		want  int64
	}{
		"gpt": {oneAndRoot(partition.GPT, partition.BIOSGUID, partition.LinuxGUID), 63<<20 - 4<<20},
		"dos": {oneAndRoot(partition.DOS, "83", "83"), 60 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			device := partitioned(t, test.table)
			disktest.Run(t, "mkfs.ext4", "-q", "-F", device+"p1")
			grows := true
			for range 2 { // the second time there is nothing to do
				env, devices := asked(t, "DEST_DISK="+device)
				if err := do(t, env, "growpart"); errors.Is(err, unix.EPERM) {
					t.Logf("NOT CHECKED: a mounted ext4 grows only with CAP_SYS_RESOURCE: %v", err)
					grows = false
				} else if err != nil {
					t.Fatal(err)
				}
				if len(*devices) == 0 || (*devices)[0] != device {
					t.Errorf("asked to write to %q", *devices)
				}
			}
			f, err := os.Open(device)
			must(t, err)
			defer f.Close()
			table, err := partition.Read(f, 64<<20)
			if err != nil || table.Damage != "" || table.Parts[0].Size != test.want {
				t.Errorf("the table is %+v, %v; want %d bytes", table, err, test.want)
			}
			disktest.Run(t, "e2fsck", "-fn", device+"p1")
			if !grows {
				return
			}
			inside(t, device+"p1", func(root string) {
				var s unix.Statfs_t
				must(t, unix.Statfs(root, &s))
				if size := int64(s.Blocks) * s.Bsize; size < test.want*8/10 {
					t.Errorf("the file system has %d bytes of %d", size, test.want)
				}
			})
		})
	}
}

// What is no file system that can grow stays as it is, in a larger partition.
func TestGrowpartLeavesWhatCannotGrow(t *testing.T) {
	device := partitioned(t, oneAndRoot(partition.GPT, partition.BIOSGUID, partition.LinuxGUID))
	env, _ := asked(t, "DEST_DISK="+device)
	var log []string
	env.Log = func(line string) { log = append(log, line) }
	if err := do(t, env, "growpart"); err != nil || !strings.Contains(strings.Join(log, "\n"), "no file system on") {
		t.Errorf("%v, %q", err, log)
	}
}

func TestGrowpartRefuses(t *testing.T) {
	blank, _ := disktest.Loop(t, 4<<20)
	swap := partitioned(t, oneAndRoot(partition.GPT, partition.BIOSGUID, partition.SwapGUID))
	for says, vars := range map[string][]string{
		"DEST_DISK is not set":        nil,
		"there is no partition table": {"DEST_DISK=" + blank},
		"partition 1 is Linux swap":   {"DEST_DISK=" + swap},
	} {
		env, _ := asked(t, vars...)
		if err := do(t, env, "growpart"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	cancelled := errors.New("it was cancelled")
	env, _ := asked(t, "DEST_DISK="+swap)
	env.Writing = func(string) error { return cancelled }
	if err := do(t, env, "growpart"); !errors.Is(err, cancelled) {
		t.Error(err)
	}
}

// The seed of cloud-init stays at the end, and what is before it grows.
func TestGrowpartBeforeASeed(t *testing.T) {
	device := partitioned(t, oneAndRoot(partition.GPT, partition.BIOSGUID, partition.LinuxGUID))
	seed, _ := asked(t, "DEST_DISK="+device, "USER_DATA=#cloud-config\n")
	must(t, do(t, seed, "cidataio"))
	t.Cleanup(func() {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		must(t, blkpg(int(f.Fd()), unix.BLKPG_DEL_PARTITION, partition.Partition{Number: 3}))
	})
	grow, _ := asked(t, "DEST_DISK="+device)
	must(t, do(t, grow, "growpart"))
	f, err := os.Open(device)
	must(t, err)
	defer f.Close()
	table, err := partition.Read(f, 64<<20)
	must(t, err)
	if len(table.Parts) != 3 || table.Parts[0].End() != table.Parts[2].Start || !isSeed(f, table.Parts[2]) {
		t.Errorf("the table is %+v", table.Parts)
	}
}

// XFS and btrfs grow too, and their own tools find nothing wrong with them.
func TestGrowpartOtherFileSystems(t *testing.T) {
	for kind, tools := range map[string]struct{ make, check []string }{
		"xfs":   {[]string{"mkfs.xfs", "-q", "-f"}, []string{"xfs_repair", "-n"}},
		"btrfs": {[]string{"mkfs.btrfs", "-q", "-f"}, []string{"btrfs", "check", "--readonly"}},
	} {
		t.Run(kind, func(t *testing.T) {
			device, _ := disktest.Loop(t, 1<<30)
			f, err := os.OpenFile(device, os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			root := partition.Partition{Number: 1, Start: 1 << 20, Size: 400 << 20, Type: partition.LinuxGUID}
			table := partition.Table{Kind: partition.GPT, Sector: 512, Parts: []partition.Partition{root}}
			must(t, table.Write(f, 500<<20))
			must(t, blkpg(int(f.Fd()), unix.BLKPG_ADD_PARTITION, root))
			t.Cleanup(func() {
				f, err := os.OpenFile(device, os.O_RDWR, 0)
				must(t, err)
				defer f.Close()
				must(t, blkpg(int(f.Fd()), unix.BLKPG_DEL_PARTITION, root))
			})
			disktest.Run(t, tools.make[0], append(tools.make[1:], device+"p1")...)
			env, _ := asked(t, "DEST_DISK="+device)
			must(t, do(t, env, "growpart"))
			disktest.Run(t, tools.check[0], append(tools.check[1:], device+"p1")...)
			dir := t.TempDir()
			must(t, unix.Mount(device+"p1", dir, kind, unix.MS_RDONLY, ""))
			defer func() { must(t, unix.Unmount(dir, 0)) }()
			var s unix.Statfs_t
			must(t, unix.Statfs(dir, &s))
			if size := int64(s.Blocks) * s.Bsize; size < 900<<20 {
				t.Errorf("the %s has %d bytes", kind, size)
			}
		})
	}
}
