package partition

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dragonfly/images/agent/disktest"
)

func TestAppend(t *testing.T) {
	seed := Partition{Size: 4 * mib, Type: BasicDataGUID, Name: "cidata"}
	for _, sector := range []int64{512, 4096} {
		disk := written(t, 48*mib+64<<10, sector)
		before, _ := Read(disk, disk.Size)
		disk.Size = 100 * mib // as after the image of a smaller disk
		p, err := Append(disk, disk.Size, sector, seed)
		if err != nil {
			t.Fatal(err)
		}
		after, err := Read(disk, disk.Size)
		if err != nil || after.Damage != "" || len(after.Parts) != len(before.Parts)+1 || p.Start != 95*mib {
			t.Fatalf("sectors of %d: %+v, %+v, %v", sector, p, after, err)
		}
		for _, old := range before.Parts {
			if !slices.Contains(after.Parts, old) {
				t.Errorf("partition %d is not what it was", old.Number)
			}
		}
		i := slices.IndexFunc(after.Parts, func(o Partition) bool { return o.Number == p.Number })
		if got := after.Parts[i]; got.Name != "cidata" || got.Type != BasicDataGUID || got.Start != p.Start || got.Size != 4*mib {
			t.Errorf("it stands in the table as %+v", got)
		}
	}
}

func TestAppendToDOS(t *testing.T) {
	disk := disktest.New(64 * mib)
	table := Table{Kind: DOS, Sector: 512, Parts: []Partition{{Number: 1, Start: mib, Size: 8 * mib, Type: "83"}}}
	if err := table.Write(disk, disk.Size); err != nil {
		t.Fatal(err)
	}
	code := []byte("boot code")
	_, _ = disk.WriteAt(code, 0)
	for n := 2; n <= 4; n++ { // the disk is said to be smaller each time
		p, err := Append(disk, disk.Size-int64(n)*8*mib, 512, Partition{Size: mib, Type: BasicDataGUID, Name: "x"})
		if n == 2 && (err != nil || p.Type != "0e" || p.Number != 2) {
			t.Errorf("%+v, %v", p, err)
		}
		if n > 2 && (err == nil || !strings.Contains(err.Error(), "no room behind the last")) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	got := make([]byte, len(code))
	if _, _ = disk.ReadAt(got, 0); string(got) != string(code) {
		t.Errorf("the boot code is %q", got)
	}
	if _, err := Append(disktest.New(64*mib), 64*mib, 512, Partition{Size: mib, Type: BasicDataGUID}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}
