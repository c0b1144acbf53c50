package partition

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"dragonfly/images/agent/disktest"
)

func TestRelocate(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		disk := written(t, 48*mib+64<<10, sector)
		if moved, err := Relocate(disk, disk.Size, sector); moved || err != nil {
			t.Errorf("sectors of %d: moved %v on a disk of its size: %v", sector, moved, err)
		}
		before, _ := Read(disk, disk.Size)
		old := disk.Size - sector
		disk.Size = 100*mib + 12345*sector
		if moved, err := Relocate(disk, disk.Size, sector); !moved || err != nil {
			t.Fatalf("sectors of %d: moved %v: %v", sector, moved, err)
		}
		after, err := readGPTAt(disk, disk.Size, sector, disk.Size/sector-1)
		if err != nil || !slices.Equal(after.Parts, before.Parts) {
			t.Errorf("sectors of %d: at the end is %+v, %v", sector, after, err)
		}
		if first, err := Read(disk, disk.Size); err != nil || first.Damage != "" || !slices.Equal(first.Parts, before.Parts) {
			t.Errorf("sectors of %d: the first copy is %+v, %v", sector, first, err)
		}
		if got, err := readGPTAt(disk, disk.Size, sector, old/sector); !errors.Is(err, ErrNone) {
			t.Errorf("sectors of %d: the old copy is still there: %+v", sector, got)
		}
	}
}

// A header may say that its other copy is anywhere: what is there and is no copy is
// not touched.
func TestRelocateErasesOnlyACopy(t *testing.T) {
	disk := written(t, 48*mib+64<<10, 512)
	disk.Size = 100 * mib
	precious := bytes.Repeat([]byte("precious"), 64)
	if _, err := disk.WriteAt(precious, 20*mib); err != nil {
		t.Fatal(err)
	}
	table, _ := Read(disk, disk.Size)
	table.gpt.other = 20 * mib / 512
	if err := table.relocate(disk, disk.Size); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(precious))
	if _, err := disk.ReadAt(got, 20*mib); err != nil || !bytes.Equal(got, precious) {
		t.Errorf("what was there is now %.16q, %v", got, err)
	}
}

func TestRelocateLeaves(t *testing.T) {
	cut := written(t, 48*mib+64<<10, 512)
	cut.Size = 48*mib + 5<<10 // the image was cut behind its last partition
	damaged := written(t, 48*mib+64<<10, 512)
	flip(t, damaged, 512+60)
	damaged.Size += 512 * 1000
	for name, test := range map[string]struct {
		disk *disktest.Disk
		want error
	}{
		"blank": {disktest.New(64 * mib), ErrNone},
		"dos":   {disktest.Made(t, "dos", 0, "", nil), nil},
		"cut":   {cut, ErrUnfit},
	} {
		if moved, err := Relocate(test.disk, test.disk.Size, 512); moved || !errors.Is(err, test.want) {
			t.Errorf("%s: moved %v, %v", name, moved, err)
		}
	}
	if moved, err := Relocate(damaged, damaged.Size, 512); moved || err == nil {
		t.Errorf("damaged: moved %v, %v", moved, err)
	}
}
