package action

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
)

// What is written is read by mtools, and found to be whole by fsck.fat.
func TestFATFileSystem(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 100_000)
	for _, sector := range []int64{512, 4096} {
		fs, err := fatFileSystem(seedLabel, sector, 1<<20, []smallFile{{"user-data", large}, {"meta-data", ""}, {"network-config", "version: 2\n"}})
		must(t, err)
		file := filepath.Join(t.TempDir(), "fat")
		must(t, os.WriteFile(file, fs, 0o600))
		disktest.Run(t, "fsck.fat", "-n", file)
		for name, want := range map[string]string{"user-data": large, "meta-data": "", "network-config": "version: 2\n"} {
			if got := disktest.Run(t, "mtype", "-i", file, "::"+name); got != want {
				t.Errorf("sectors of %d: %s has %d bytes, want %d", sector, name, len(got), len(want))
			}
		}
		if got := disktest.Run(t, "blkid", "-p", "-o", "value", "-s", "LABEL", "-s", "VERSION", file); !slices.Equal(strings.Fields(got), []string{"CIDATA", "FAT16"}) {
			t.Errorf("sectors of %d: blkid says %q", sector, got)
		}
	}
	if _, err := fatFileSystem(seedLabel, 512, 0, []smallFile{{"user-data", strings.Repeat(large, 3)}}); err == nil || !strings.Contains(err.Error(), "user-data has 4800000 bytes, which is too much") {
		t.Error(err)
	}
}

// copied is what is on a device, as a file.
func copied(t *testing.T, device string) string {
	b, err := os.ReadFile(device)
	must(t, err)
	file := filepath.Join(t.TempDir(), "copy")
	must(t, os.WriteFile(file, b, 0o600))
	return file
}

func TestCidataio(t *testing.T) {
	device := partitioned(t, oneAndRoot(partition.GPT, partition.BIOSGUID, partition.LinuxGUID))
	for _, text := range []string{"#cloud-config\n", "#cloud-config\nhostname: two\n"} { // the second takes the place of the first
		env, devices := asked(t, "DEST_DISK="+device, "USER_DATA="+text, "META_DATA=instance-id: x\n")
		must(t, do(t, env, "cidataio"))
		if !slices.Equal(*devices, []string{device}) {
			t.Errorf("asked to write to %q", *devices)
		}
		f, err := os.Open(device)
		must(t, err)
		table, err := partition.Read(f, 64<<20)
		must(t, err)
		must(t, f.Close())
		if len(table.Parts) != 3 || table.Damage != "" || table.Parts[2].Start != 59<<20 || table.Parts[2].Name != "cidata" {
			t.Fatalf("%+v", table)
		}
		if got := disktest.Run(t, "mtype", "-i", copied(t, device+"p3"), "::user-data"); got != text {
			t.Errorf("user-data is %q", got)
		}
		if got := disktest.Run(t, "mdir", "-b", "-i", copied(t, device+"p3"), "::"); strings.Contains(got, "network-config") {
			t.Errorf("there is a network that nobody asked for: %q", got)
		}
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, blkpg(int(f.Fd()), unix.BLKPG_DEL_PARTITION, partition.Partition{Number: 3}))
}

func TestCidataioRefuses(t *testing.T) {
	t.Parallel()
	blank, _ := disktest.Loop(t, 8<<20)
	device := partitioned(t, oneAndRoot(partition.GPT, partition.BIOSGUID, partition.LinuxGUID))
	before, err := os.ReadFile(device)
	must(t, err)
	for says, vars := range map[string][]string{
		"DEST_DISK is not set":        nil,
		"there is no partition table": {"DEST_DISK=" + blank},
		"which is too much":           {"DEST_DISK=" + device, "USER_DATA=" + strings.Repeat("x", 5<<20)},
	} {
		env, _ := asked(t, vars...)
		if err := do(t, env, "cidataio"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	cancelled := errors.New("it was cancelled")
	env, _ := asked(t, "DEST_DISK="+device)
	env.Writing = func(string) error { return cancelled }
	if err := do(t, env, "cidataio"); !errors.Is(err, cancelled) {
		t.Error(err)
	}
	after, err := os.ReadFile(device)
	must(t, err)
	if differ(before, after) >= 0 {
		t.Error("the disk was changed")
	}
}
