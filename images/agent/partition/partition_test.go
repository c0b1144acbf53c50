package partition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dragonfly/images/agent/disktest"
)

const mib = 1 << 20

// lines writes a table for comparison.
func lines(t Table) []string {
	out := []string{fmt.Sprintf("%s %s %d %s", t.Kind, t.ID, t.Sector, t.Damage)}
	for _, p := range t.Parts {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %d+%d %s %x %s %s", p.Number, p.Start, p.Size, p.TypeName(), p.Flags, p.Name, p.ID)))
	}
	return out
}

// TestReadWhatToolsWrite reads tables that sfdisk and sgdisk wrote.
func TestReadWhatToolsWrite(t *testing.T) {
	const guid = "11111111-2222-3333-4444-55555555555"
	for name, test := range map[string]struct {
		size     int64
		commands string
		want     []string
	}{
		"gpt": {64 * mib, `printf 'label: gpt\nlabel-id: ` + guid + `0\nsize=10M,type=uefi,name="EFI Ω",uuid=` + guid + `1\nsize=20M,uuid=` + guid + `2,attrs=LegacyBIOSBootable\n7:type=swap,uuid=` + guid + `7\n' | sfdisk -q $DISK`, []string{
			"gpt " + guid + "0 512", "1 1048576+10485760 EFI System 0 EFI Ω " + guid + "1",
			"2 11534336+20971520 Linux filesystem 4  " + guid + "2", "7 32505856+33554432 Linux swap 0  " + guid + "7",
		}},
		"gpt-4k": {64 * mib, `printf 'label: gpt\nlabel-id: ` + guid + `0\nsize=10M,uuid=` + guid + `1\n' >$DISK.in; loop=$(losetup -f --show -b 4096 $DISK); sfdisk -q $loop <$DISK.in; losetup -d $loop`, []string{
			"gpt " + guid + "0 4096", "1 1048576+10485760 Linux filesystem 0  " + guid + "1",
		}},
		"gpt-damaged": {64 * mib, `printf 'label: gpt\nlabel-id: ` + guid + `0\nsize=10M,uuid=` + guid + `1\n' | sfdisk -q $DISK; dd if=/dev/zero of=$DISK bs=512 seek=1 count=1 conv=notrunc`, []string{
			"gpt " + guid + "0 512 its first copy is damaged or missing: there is no partition table", "1 1048576+10485760 Linux filesystem 0  " + guid + "1",
		}},
		"gpt-moved": {64 * mib, `truncate -s 32M $DISK; printf 'label: gpt\nlabel-id: ` + guid + `0\nsize=10M,uuid=` + guid + `1\n' | sfdisk -q $DISK; truncate -s 64M $DISK`, []string{
			"gpt " + guid + "0 512", "1 1048576+10485760 Linux filesystem 0  " + guid + "1",
		}},
		"dos": {64 * mib, `printf 'label: dos\nlabel-id: 0x1234abcd\nsize=8M,type=c,bootable\nsize=30M,type=5\nsize=6M,type=82\nsize=4M,type=83\nsize=5M,type=8e\nsize=6M,type=fd\n' | sfdisk -q $DISK`, []string{
			"dos 1234abcd 512", "1 1048576+8388608 FAT32 80", "2 9437184+31457280 Extended 0", "3 40894464+6291456 Linux swap 0", "4 47185920+4194304 Linux 0",
			"5 10485760+5242880 Linux LVM 0", "6 16777216+6291456 Linux RAID 0",
		}},
		"dos-logical": {64 * mib, `printf 'label: dos\nlabel-id: 0x1234abcd\nsize=8M\ntype=f\nsize=10M\nsize=20M\n' | sfdisk -q $DISK`, []string{
			"dos 1234abcd 512", "1 1048576+8388608 Linux 0", "2 9437184+57671680 Extended 0", "5 10485760+10485760 Linux 0", "6 22020096+20971520 Linux 0",
		}},
		"gpt-hybrid": {64 * mib, `sgdisk -U ` + guid + `0 -n 1:2048:+10M -u 1:` + guid + `1 -n 2:0:+10M -u 2:` + guid + `2 -h 1 $DISK`, []string{
			"gpt " + guid + "0 512", "1 1048576+10485760 Linux filesystem 0  " + guid + "1", "2 11534336+10485760 Linux filesystem 0  " + guid + "2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := disktest.Made(t, name, test.size, test.commands, func(d *disktest.Disk) { _, _ = Read(d, d.Size) })
			table, err := Read(disk, disk.Size)
			if err != nil {
				t.Fatal(err)
			}
			got := lines(table)
			for i := range got {
				got[i] = strings.TrimSpace(got[i])
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestReadNone(t *testing.T) {
	fat := disktest.New(mib)
	boot := make([]byte, 512)
	copy(boot, "\xeb\x3c\x90mkfs.fat")
	copy(boot[440:], "Remove disks or other media.\xff\r\nDisk error\xff\r\nPress any key to restart\r\n")
	boot[510], boot[511] = 0x55, 0xaa
	if _, err := fat.WriteAt(boot, 0); err != nil {
		t.Fatal(err)
	}
	for name, disk := range map[string]*disktest.Disk{"blank": disktest.New(mib), "a boot sector": fat, "tiny": disktest.New(512), "empty": disktest.New(0)} {
		if _, err := Read(disk, disk.Size); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadDamaged(t *testing.T) {
	disk := written(t, 64*mib, 512)
	for _, at := range []int64{512 + 60, disk.Size - 512 + 60} {
		flip(t, disk, at)
	}
	_, err := Read(disk, disk.Size)
	if err == nil || errors.Is(err, ErrNone) || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "the GPT at 512 has a wrong checksum") {
		t.Errorf("got %v", err)
	}
}

func flip(t *testing.T, disk *disktest.Disk, at int64) {
	t.Helper()
	b := make([]byte, 1)
	_, _ = disk.ReadAt(b, at)
	b[0] ^= 0x40
	if _, err := disk.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// example has an EFI system partition and one for the rest of 48 MiB.
func example(kind Kind, sector int64) Table {
	t := Table{Kind: kind, Sector: sector, Parts: []Partition{
		{Number: 1, Start: mib, Size: 8 * mib, Type: ESPGUID, Name: "EFI"}, {Number: 3, Start: 9 * mib, Size: 39 * mib, Type: LinuxGUID, Flags: 1 << 59},
	}}
	if kind == DOS {
		t.Parts[0].Type, t.Parts[0].Name, t.Parts[1].Type, t.Parts[1].Flags, t.ID = "ef", "", "83", 0x80, "0badcafe"
	}
	return t
}

func written(t *testing.T, size, sector int64) *disktest.Disk {
	t.Helper()
	disk := disktest.New(size)
	if err := example(GPT, sector).Write(disk, size); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestWriteIsWhatIsRead(t *testing.T) {
	for _, kind := range []Kind{GPT, DOS} {
		for _, sector := range []int64{512, 4096} {
			disk, table := disktest.New(64*mib), example(kind, sector)
			if err := table.Write(disk, disk.Size); err != nil {
				t.Fatal(err)
			}
			if kind == DOS && sector == 4096 {
				continue // nothing in the table says what its sectors are
			}
			got, err := Read(disk, disk.Size)
			if err != nil {
				t.Fatal(err)
			}
			if got.Damage != "" || got.Sector != sector || len(got.Parts) != 2 || kind == GPT && (got.ID == "" || got.Parts[0].ID == got.Parts[1].ID) {
				t.Errorf("%s, %d: %+v", kind, sector, got)
			}
			for i, p := range got.Parts {
				want := table.Parts[i]
				if want.ID = p.ID; p != want {
					t.Errorf("%s, %d: got %+v, want %+v", kind, sector, p, want)
				}
			}
		}
	}
}

// TestEitherCopyIsEnough flips a byte in each part of one copy.
func TestEitherCopyIsEnough(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		size := int64(64 * mib)
		for _, at := range []int64{sector + 8, sector + 40, 2 * sector, 2*sector + 300, size - sector, size - sector + 72, size - sector - 16384 + 5} {
			disk := written(t, size, sector)
			flip(t, disk, at)
			got, err := Read(disk, disk.Size)
			if err != nil || got.Damage == "" || len(got.Parts) != 2 {
				t.Errorf("a byte at %d is wrong: %+v, %v", at, got, err)
			}
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Table)
		says   string
	}{
		"overlap":       {func(t *Table) { t.Parts[1].Start -= 4096 }, "partition 3 starts at 9433088, inside partition 1"},
		"too early":     {func(t *Table) { t.Parts[0].Start = 512 }, "the first place is at 17408"},
		"too long":      {func(t *Table) { t.Parts[1].Size = 1 << 62 }, "partition 3 ends at"},
		"odd":           {func(t *Table) { t.Parts[1].Size++ }, "want whole sectors of 512 bytes"},
		"empty":         {func(t *Table) { t.Parts[1].Size = 0 }, "want whole sectors"},
		"twice":         {func(t *Table) { t.Parts[1].Number = 1 }, "there are two partitions 1"},
		"number":        {func(t *Table) { t.Parts[1].Number = 129 }, "want a number from 1 to 128"},
		"type":          {func(t *Table) { t.Parts[1].Type = "linux" }, `"linux": want a GUID`},
		"no type":       {func(t *Table) { t.Parts[1].Type = "00000000-0000-0000-0000-000000000000" }, "no GUID of anything"},
		"name":          {func(t *Table) { t.Parts[1].Name = strings.Repeat("x", 37) }, "longer than 36 characters"},
		"kind":          {func(t *Table) { t.Kind = "sun" }, "no kind of table"},
		"sector":        {func(t *Table) { t.Sector = 520 }, "sectors of 520 bytes"},
		"dos: five":     {func(t *Table) { *t = example(DOS, 512); t.Parts[1].Number = 5 }, "use a GPT"},
		"dos: type":     {func(t *Table) { *t = example(DOS, 512); t.Parts[1].Type = "linux" }, "two hexadecimal digits"},
		"dos: identity": {func(t *Table) { *t = example(DOS, 512); t.ID = "x" }, "eight hexadecimal digits"},
	} {
		t.Run(name, func(t *testing.T) {
			table, disk := example(GPT, 512), disktest.New(64*mib)
			test.change(&table)
			if err := table.Write(disk, disk.Size); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
			if !disk.IsBlank() {
				t.Error("something was written")
			}
		})
	}
	if err := example(GPT, 512).Write(disktest.New(16384), 16384); err == nil {
		t.Error("a GPT was written to 16 KiB")
	}
}

func TestGrow(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		disk := written(t, 48*mib+64<<10, sector)
		if _, gained, err := Grow(disk, disk.Size, sector, nil); gained != 0 || err != nil {
			t.Errorf("gained %d without room: %v", gained, err)
		}
		before, _ := Read(disk, disk.Size)
		old := disk.Size - sector
		disk.Size = 100*mib + 12345*sector
		flip(t, disk, 446+1) // what another tool left in the protective record stays
		grown, gained, err := Grow(disk, disk.Size, sector, nil)
		if err != nil {
			t.Fatal(err)
		}
		if grown.Number != 3 || grown.End()%mib != 0 || gained != grown.End()-48*mib || disk.Size-grown.End() > 2*mib {
			t.Errorf("gained %d: %+v", gained, grown)
		}
		after, err := Read(disk, disk.Size)
		if err != nil || after.Damage != "" || after.ID != before.ID || after.Parts[0] != before.Parts[0] || after.Parts[1] != grown {
			t.Errorf("got %+v, %v", after, err)
		}
		if got, err := readGPTAt(disk, disk.Size, sector, old/sector); !errors.Is(err, ErrNone) {
			t.Errorf("the old copy is still there: %+v", got)
		}
		record := make([]byte, 512)
		_, _ = disk.ReadAt(record, 0)
		if entries, ok := readEntries(record); !ok || int64(entries[0].count) != disk.Size/sector-1 || record[447] != 0x40 {
			t.Errorf("the protective record is %x", record[446:512])
		}
		if _, gained, err := Grow(disk, disk.Size, sector, nil); gained != 0 || err != nil {
			t.Errorf("gained %d the second time: %v", gained, err)
		}
	}
}

func TestGrowDOS(t *testing.T) {
	disk := disktest.New(100 * mib)
	if err := example(DOS, 512).Write(disk, disk.Size); err != nil {
		t.Fatal(err)
	}
	if grown, gained, err := Grow(disk, disk.Size, 512, nil); grown.Number != 3 || gained != 52*mib || err != nil {
		t.Errorf("%+v gained %d: %v", grown, gained, err)
	}
	if table, err := Read(disk, disk.Size); err != nil || table.ID != "0badcafe" || table.Parts[1].End() != disk.Size {
		t.Errorf("%+v, %v", table, err)
	}
	disk.Size = 4 << 40 // further than the table reaches
	if grown, _, err := Grow(disk, disk.Size, 512, nil); err != nil || grown.End() != (2<<40)-mib {
		t.Errorf("%+v, %v", grown, err)
	}
}

func TestGrowRefuses(t *testing.T) {
	swap := example(GPT, 512)
	swap.Parts[1].Type = SwapGUID
	disk := disktest.New(100 * mib)
	if err := swap.Write(disk, disk.Size); err != nil {
		t.Fatal(err)
	}
	damaged := written(t, 48*mib+64<<10, 512)
	flip(t, damaged, 512+60)
	damaged.Size += 512 * 1000
	second := written(t, 48*mib+64<<10, 512)
	flip(t, second, 512+60)
	for name, test := range map[string]struct {
		disk *disktest.Disk
		says string
	}{
		"swap":           {disk, "partition 3 is Linux swap"},
		"damaged":        {damaged, "wrong checksum"},
		"second copy":    {second, "its first copy is damaged"},
		"blank":          {disktest.New(64 * mib), "there is no partition table"},
		"last is inside": {disktest.Made(t, "dos-logical", 0, "", nil), "partition 6 is a logical one"},
	} {
		before, _ := Read(test.disk, test.disk.Size)
		_, _, err := Grow(test.disk, test.disk.Size, 512, nil)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := Read(test.disk, test.disk.Size); !slices.Equal(lines(before), lines(after)) {
			t.Errorf("%s: the table was changed", name)
		}
	}
}

// FuzzRead lays pieces over a small disk: 4 bytes of position, then 60 of contents.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"gpt", "dos"} {
		disk := disktest.Made(f, name, 0, "", nil)
		head := make([]byte, 2048)
		_, _ = disk.ReadAt(head, 0)
		var seed []byte
		for at := 0; at < len(head); at += 60 {
			seed = append(seed, byte(at), byte(at>>8), byte(at>>16), byte(at>>24))
			seed = append(seed, (string(head[at:]) + strings.Repeat("\x00", 60))[:60]...)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pieces []byte) {
		disk := disktest.New(4 * mib)
		for ; len(pieces) >= 64; pieces = pieces[64:] {
			at := int64(pieces[0]) | int64(pieces[1])<<8 | int64(pieces[2])<<16
			_, _ = disk.WriteAt(pieces[4:64], min(at, disk.Size-60))
		}
		table, err := Read(disk, disk.Size)
		if err != nil {
			return
		}
		if len(table.Parts) > maxEntries {
			t.Errorf("%d partitions", len(table.Parts))
		}
		for _, p := range table.Parts {
			if p.Start < 0 || p.Size <= 0 || p.End() < p.Start {
				t.Errorf("%+v", p)
			}
		}
		_, _, _ = Grow(disk, disk.Size, table.Sector, nil)
	})
}
