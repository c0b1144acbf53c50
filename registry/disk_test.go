package registry

import (
	"strings"
	"testing"
)

func TestHold(t *testing.T) {
	mark := Signature{Type: MarkSignature, Label: "m-1", UUID: "d-1"}
	raid := Signature{On: "sda2", Type: "linux_raid_member", Label: "host:root", Member: true, Parts: 2}
	for name, test := range map[string]struct {
		disk Disk
		says string
	}{
		"blank":           {Disk{Contents: Blank}, ""},
		"a system":        {Disk{Contents: Foreign, Found: []Signature{{Type: "gpt"}, {On: "sda1", Type: "ext4"}}}, ""},
		"ours":            {Disk{Contents: Ours, Found: []Signature{mark}}, ""},
		"another's":       {Disk{Contents: Ours, Found: []Signature{{Type: MarkSignature, Label: "m-2"}}}, "installed by Dragonfly on another machine, m-2"},
		"a member":        {Disk{Contents: Member, Found: []Signature{raid, raid}}, "it belongs to linux_raid_member host:root (of 2), which may reach over other disks"},
		"ours, in a raid": {Disk{Contents: Member, Found: []Signature{mark, raid}}, "it belongs to linux_raid_member"},
		"unreadable":      {Disk{Contents: Unreadable}, "could not be read"},
		"not looked at":   {Disk{}, "nobody has looked"},
		"a new word":      {Disk{Contents: "quantum"}, "nobody has looked"},
		"ours, no mark":   {Disk{Contents: Ours}, "nobody has looked"},
	} {
		if got := test.disk.Hold("m-1"); (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
			t.Errorf("%s: %q, want %q", name, got, test.says)
		}
	}
}

func TestDescribe(t *testing.T) {
	d := Disk{Name: "sda", Contents: Foreign, Found: []Signature{
		{Type: "gpt"}, {On: "sda1", Role: "EFI System", Type: "vfat", Label: "ESP"}, {On: "sda2", Role: "BIOS boot"}, {Type: MarkSignature, Label: "m-1"}}}
	systems := []OSFound{{Disk: "sdb", Name: "Fedora"}, {Disk: "sda", Name: "Debian"}, {Disk: "sda", Name: "Debian"}}
	if got, want := d.Describe(systems), "Debian, gpt, sda1 vfat ESP, sda2 BIOS boot, installed by Dragonfly on m-1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (Disk{Contents: Blank}).Describe(nil) + (Disk{}).Describe(nil); got != "blankunknown" {
		t.Error(got)
	}
}

func TestFindDiskAgain(t *testing.T) {
	disks := shelf()
	chosen := func(d Disk) DeploymentDisk {
		return DeploymentDisk{ByID: d.ByID, Name: d.Name, Model: d.Model, Serial: d.Serial, WWN: d.WWN, Bytes: d.Bytes}
	}
	for _, d := range []Disk{disks[0], disks[3], disks[6]} {
		want := chosen(d)
		if want.Serial != "" {
			want.Name = "sdz" // the names have moved
		}
		if got, err := want.Find(disks); err != nil || got.Name != d.Name {
			t.Errorf("%s: %s, %v", d, got, err)
		}
	}
	other := chosen(disks[1])
	for says, change := range map[string]func(*DeploymentDisk){
		"is not in the machine any more": func(c *DeploymentDisk) { c.Serial = "C" },
		"of 120 GB is now sda 480 GB":    func(c *DeploymentDisk) { c.Bytes = 120 * gb },
		"is now sda":                     func(c *DeploymentDisk) { c.Model = "X" },
	} {
		c := other
		change(&c)
		if d, err := c.Find(disks); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %s, %v", says, d, err)
		}
	}
	twins := []Disk{{Name: "sda", Serial: "1", Bytes: gb}, {Name: "sdb", Serial: "1", Bytes: gb}}
	if _, err := chosen(twins[0]).Find(twins); err == nil || !strings.Contains(err.Error(), "is there 2 times") {
		t.Error(err)
	}
}
