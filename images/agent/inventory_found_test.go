package agent

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"dragonfly/registry"
)

func TestLook(t *testing.T) {
	h := &host{log: slog.New(slog.DiscardHandler)}
	device := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(device, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		device string
		bytes  int64
		want   registry.Contents
	}{
		"blank":   {device, 1 << 20, registry.Blank},
		"short":   {device, 2 << 20, registry.Unreadable},
		"no disk": {device + "x", 1 << 20, registry.Unreadable},
	} {
		got := h.look(test.device, registry.Disk{Name: "sda", Serial: "S", Bytes: test.bytes})
		if got.Contents != test.want || len(got.Found) > 0 || got.Serial != "S" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// An array or a logical volume is on the disk that all of it is on.
func TestWholeDisk(t *testing.T) {
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(to)}
	}
	root := tree{fstest.MapFS{
		"sys/class/block/sda":  link("../../devices/pci/block/sda"),
		"sys/class/block/sda2": link("../../devices/pci/block/sda/sda2"),
		"sys/class/block/sdb":  link("../../devices/pci/block/sdb"),
		"sys/class/block/md0":  link("../../devices/virtual/block/md0"),
		"sys/class/block/md1":  link("../../devices/virtual/block/md1"),
		"sys/class/block/dm-0": link("../../devices/virtual/block/dm-0"),

		"sys/devices/pci/block/sda/size":            {},
		"sys/devices/pci/block/sda/sda2/partition":  {Data: []byte("2\n")},
		"sys/devices/pci/block/sdb/size":            {},
		"sys/devices/virtual/block/md0/slaves/sda2": {},
		"sys/devices/virtual/block/md1/slaves/sda2": {},
		"sys/devices/virtual/block/md1/slaves/sdb":  {},
		"sys/devices/virtual/block/dm-0/slaves/md0": {},
	}}
	for name, want := range map[string]string{"sda": "sda", "sda2": "sda", "md0": "sda", "dm-0": "sda", "md1": "", "sdz": ""} {
		if got, err := wholeDisk(root, name); got != want || (err == nil) != (want != "") {
			t.Errorf("%s is on %q, %v; want %q", name, got, err, want)
		}
	}
}
