package registry

import (
	"errors"
	"strings"
	"testing"
)

const gb = 1_000_000_000

// shelf is what a server may have.
func shelf() []Disk {
	return []Disk{
		{Name: "nvme0n1", ByID: byID + "nvme-SAMSUNG_MZQL2_S64HNE0", Model: "SAMSUNG MZQL23T8HCLS", Serial: "S64HNE0", WWN: "eui.36", Bytes: 3840 * gb, Transport: "nvme"},
		{Name: "sda", ByID: byID + "ata-INTEL_SSDSC2KB48_B", Model: "INTEL SSDSC2KB480G8", Serial: "B", WWN: "0x5b", Bytes: 480 * gb, Transport: "sata"},
		{Name: "sdb", ByID: byID + "ata-INTEL_SSDSC2KB48_A", Model: "INTEL SSDSC2KB480G8", Serial: "A", WWN: "0x5a", Bytes: 480 * gb, Transport: "sata"},
		{Name: "sdc", ByID: byID + "scsi-35000c500", Model: "SEAGATE ST2000NM0045", Serial: "Z", WWN: "0x5000c500", Bytes: 2000 * gb, Transport: "sas", Rotational: true},
		{Name: "sdd", ByID: byID + "scsi-35000c500", Model: "SEAGATE ST2000NM0045", Serial: "Z", WWN: "0x5000c500", Bytes: 2000 * gb, Transport: "sas", Rotational: true},
		{Name: "sde", ByID: byID + "usb-SanDisk_Ultra", Model: "Ultra Fit", Serial: "U", Bytes: 32 * gb, Transport: "usb", Removable: true},
		{Name: "sdf", Model: "Virtual CD", Bytes: 1 * gb, Transport: "usb"},
		{Name: "sr9", Bytes: 0, Transport: "scsi"},
	}
}

func TestDiskRuleChooses(t *testing.T) {
	for rule, test := range map[string]struct {
		disk, why string
		atLeast   int64
	}{
		"":                                     {"sdb", "the first of 2 that are equally the smallest", 0},
		"smallest ":                            {"sdb", "the first of 2 that are equally the smallest", 480 * gb},
		"smallest transport:sas,nvme":          {"sdc", "the smallest of 2", 0},
		"largest":                              {"nvme0n1", "the largest of 4", 0},
		"first transport:nvme":                 {"nvme0n1", "the only one that fits", 0},
		"first kind:ssd":                       {"sdb", "the first of 3", 0},
		"serial:B":                             {"sda", "the only one that fits", 0},
		"serial:b":                             {"sda", "the only one that fits", 0},
		"wwn:0x5000C500":                       {"sdc", "the only one that fits", 0},
		"/dev/disk/by-id/usb-SanDisk_Ultra":    {"sde", "the only one that fits", 0},
		"by-id:usb-SanDisk_Ultra":              {"sde", "the only one that fits", 0},
		"kind:hdd":                             {"sdc", "the only one that fits", 0},
		`largest model:"samsung *",intel*`:     {"nvme0n1", "the largest of 3", 0},
		"smallest -transport:sata":             {"sdc", "the smallest of 2", 0},
		"size:1T..2.5T":                        {"sdc", "the only one that fits", 0},
		"size:3t..":                            {"nvme0n1", "the only one that fits", 0},
		"removable smallest size:10GB..0.064T": {"sde", "the only one that fits", 0},
		"first":                                {"nvme0n1", "the first of 2", 1000 * gb},
	} {
		r, err := ParseDiskRule(rule)
		if err != nil {
			t.Errorf("%q: %v", rule, err)
			continue
		}
		got, err := r.Choose(shelf(), test.atLeast)
		if err != nil || got.Disk.Name != test.disk || got.Why != test.why {
			t.Errorf("%q chose %s, %s, %v; want %s, %s", rule, got.Disk.Name, got.Why, err, test.disk, test.why)
		}
		if len(got.Passed) != len(shelf())-1 {
			t.Errorf("%q says why of %d others", rule, len(got.Passed))
		}
	}
}

func TestDiskRuleSaysWhyOfTheOthers(t *testing.T) {
	r, err := ParseDiskRule("")
	if err != nil {
		t.Fatal(err)
	}
	choice, err := r.Choose(shelf(), 100*gb)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range choice.Passed {
		got = append(got, p.Disk.Name+": "+p.Reason)
	}
	want := `sdf: it has 1 GB, and 100 GB are needed
sr9: it has no medium
sdd: it is sdc by another path
sde: it has 32 GB, and 100 GB are needed
sda: it comes after sdb in the order of their by-id names
sdc: it is larger than sdb
nvme0n1: it is larger than sdb`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// The choice does not depend on the order in which the kernel found the disks.
func TestDiskRuleDoesNotDependOnKernelNames(t *testing.T) {
	disks := shelf()
	disks[1].Name, disks[2].Name = disks[2].Name, disks[1].Name
	disks[1], disks[2] = disks[2], disks[1]
	r, _ := ParseDiskRule("")
	if got, err := r.Choose(disks, 0); err != nil || got.Disk.Serial != "A" {
		t.Errorf("chose %+v, %v", got.Disk, err)
	}
}

func TestDiskRuleChoosesNone(t *testing.T) {
	for rule, test := range map[string]struct {
		disks   []Disk
		atLeast int64
		says    []string
	}{
		"":                  {nil, 0, []string{"the machine has no disk"}},
		"smallest":          {shelf(), 10_000 * gb, []string{"no disk fits", "sda 480 GB INTEL SSDSC2KB480G8 B: it has 480 GB, and 10 TB are needed"}},
		"serial:nope":       {shelf(), 0, []string{"no disk fits", "its serial number is B"}},
		"serial:B":          {shelf(), 500 * gb, []string{"it has 480 GB, and 500 GB are needed"}},
		"model:intel*":      {shelf(), 0, []string{"the rule fits 2 disks; add smallest, largest or first, or say which by serial:", "sda 480 GB", "sdb 480 GB"}},
		"transport:usb":     {shelf(), 0, []string{"it is removable", "sdf 1 GB Virtual CD: it is attached by USB"}},
		"wwn:0x1 kind:hdd":  {shelf(), 0, []string{"its WWN is not known"}},
		"smallest -size:..": {shelf(), 0, nil},
	} {
		r, err := ParseDiskRule(rule)
		if test.says == nil {
			if err == nil {
				t.Errorf("%q was read", rule)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Choose(test.disks, test.atLeast)
		if _, ok := errors.AsType[*NoDiskError](err); !ok {
			t.Errorf("%q: %v", rule, err)
			continue
		}
		for _, want := range test.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v\ndoes not say %q", rule, err, want)
			}
		}
	}
}

func TestDiskRuleErrors(t *testing.T) {
	for rule, want := range map[string]string{
		"name:sda":               "disk rule, at character 1: the kernel's names of disks change from boot to boot",
		"/dev/sda":               "/dev/sda may be another disk at the next boot",
		"smalest":                "did you mean smallest?",
		"serail:A":               "did you mean serial?",
		"smallest largest":       "at character 10: largest after smallest",
		"-smallest":              "is no part of a rule",
		"size:10":                `"10" is no range of sizes`,
		"size:..":                "is no range of sizes",
		"size:1G..x":             `"x" is no size; want one such as 480G`,
		"size:1..2":              `"1" is no size`,
		"size:9999999P..":        "is no size",
		"size:NaNG..":            "is no size",
		"size:2T..1T":            "begins with the larger size",
		"kind:nvme":              "it is ssd or hdd",
		"model:[":                "is no pattern",
		"serial:":                "a value is missing",
		`serial:"x`:              "the quotation mark is not closed",
		strings.Repeat("x", 300): "it is longer than 256 bytes",
	} {
		_, err := ParseDiskRule(rule)
		if _, ok := errors.AsType[*DiskRuleError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", rule, err, want)
		}
	}
}

func FuzzDiskRule(f *testing.F) {
	for _, rule := range []string{"", `first -model:"a*",b size:1G..2T`, "removable /dev/disk/by-id/x", "size:1.5T..", "-"} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseDiskRule(text)
		if err != nil {
			_ = err.Error()
			return
		}
		choice, err := r.Choose(shelf(), gb)
		if err == nil && (choice.Disk.Name == "" || choice.Disk.Bytes < gb) {
			t.Errorf("%q chose %+v", text, choice.Disk)
		}
	})
}
