package agent

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dragonfly/images/agent/signature"
	"dragonfly/registry"
)

func TestLookInto(t *testing.T) {
	for kind, want := range map[string]string{
		"ext2": "ext4 noload", "ext4": "ext4 noload", "xfs": "xfs norecovery", "btrfs": "btrfs rescue=nologreplay", "vfat": "vfat utf8=1",
		"ntfs": "", "swap": "", "LVM2_member": "", "linux_raid_member": "", "crypto_LUKS": "", "jbd": "",
	} {
		got, option, ok := lookInto([]signature.Signature{{Type: "dos"}, {Type: kind}})
		if strings.TrimSpace(got+" "+option) != want || ok != (want != "") {
			t.Errorf("%s: %s, %s, %v", kind, got, option, ok)
		}
	}
	if _, _, ok := lookInto(nil); ok {
		t.Error("nothing can be looked into")
	}
}

func TestSystemsOn(t *testing.T) {
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for name, test := range map[string]struct {
		root fstest.MapFS
		want []string
	}{
		"debian":        {fstest.MapFS{"etc/os-release": text("NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")}, []string{"Debian GNU/Linux 12 (bookworm)"}},
		"name only":     {fstest.MapFS{"usr/lib/os-release": text("NAME='Alpine Linux'\n")}, []string{"Alpine Linux"}},
		"both files":    {fstest.MapFS{"etc/os-release": text("NAME=A\n"), "usr/lib/os-release": text("NAME=A\n")}, []string{"A"}},
		"btrfs":         {fstest.MapFS{"@/etc/os-release": text("PRETTY_NAME=\"openSUSE Leap 15.6\"\n")}, []string{"openSUSE Leap 15.6"}},
		"esp":           {fstest.MapFS{"EFI/BOOT/BOOTX64.EFI": text(""), "EFI/Microsoft/Boot/x": text(""), "EFI/debian/x": text("")}, []string{"Microsoft", "debian"}},
		"data":          {fstest.MapFS{"home/x": text("")}, nil},
		"a folder":      {fstest.MapFS{"etc/os-release/x": text("")}, nil},
		"hostile":       {fstest.MapFS{"etc/os-release": text("PRETTY_NAME=\"\x1b[2J<b>" + strings.Repeat("x", 100_000))}, []string{"[2J(b)" + strings.Repeat("x", maxText-6)}},
		"nothing there": {fstest.MapFS{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := systemsOn(test.root); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSystemsOnAreBounded(t *testing.T) {
	root := fstest.MapFS{}
	for i := range 1000 {
		root["EFI/"+strings.Repeat("v", i%200+1)+"/x"] = &fstest.MapFile{}
	}
	if got := systemsOn(root); len(got) != maxSystems {
		t.Errorf("found %d systems", len(got))
	}
}

func TestDistinct(t *testing.T) {
	all := []registry.OSFound{
		{Disk: "sda", Partition: "sda1", Name: "debian"},
		{Disk: "sda", Partition: "sda1", Name: "Microsoft"},
		{Disk: "sda", Partition: "sda2", Name: "Debian GNU/Linux 12 (bookworm)"},
		{Disk: "sdb", Partition: "sdb1", Name: "debian"},
	}
	if got, want := distinct(all), []registry.OSFound{all[1], all[2], all[3]}; !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}
