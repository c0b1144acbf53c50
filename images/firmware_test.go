package images

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
}

func TestChooseFirmware(t *testing.T) {
	packages := []fs.FS{
		fstest.MapFS{
			"usr/lib/firmware/nic/nic-e2-7.13.15.0.fw": {Data: []byte("older")},
			"usr/lib/firmware/nic/nic-e2-7.13.21.0.fw": {Data: []byte("newer")},
			"usr/lib/firmware/nic/unasked.fw":          {Data: []byte("no")},
		},
		fstest.MapFS{
			"lib/firmware/chip/fw.bin":       link("fw-1.2.bin"),
			"lib/firmware/chip/fw-1.2.bin":   link("../store/fw"),
			"lib/firmware/store/fw":          {Data: []byte("chip")},
			"lib/firmware/rtl/rtl8168h-1.fw": {Data: []byte("1")},
			"lib/firmware/rtl/rtl8168h-2.fw": {Data: []byte("2")},
		},
	}
	modules := []module{
		{Name: "nic", Firmware: []string{"nic/nic-e2-7.13.15.0.fw", "nic/nic-e2-7.13.21.0.fw", "nic/gone.fw"}},
		{Name: "chip", Firmware: []string{"chip/fw.bin", "[malformed"}},
		{Name: "rtl", Firmware: []string{"rtl/rtl8168h-*.fw"}},
	}
	files, absent, err := chooseFirmware(modules, packages)
	if err != nil {
		t.Fatal(err)
	}
	want := []firmwareFile{
		{Name: "chip/fw-1.2.bin", Target: "../store/fw"},
		{Name: "chip/fw.bin", Target: "fw-1.2.bin"},
		{Name: "nic/nic-e2-7.13.21.0.fw", Body: []byte("newer")},
		{Name: "rtl/rtl8168h-1.fw", Body: []byte("1")},
		{Name: "rtl/rtl8168h-2.fw", Body: []byte("2")},
		{Name: "store/fw", Body: []byte("chip")},
	}
	if !reflect.DeepEqual(files, want) {
		t.Errorf("got %q\nwant %q", files, want)
	}
	if want := []string{"[malformed", "nic/gone.fw"}; !slices.Equal(absent, want) {
		t.Errorf("absent %q, want %q", absent, want)
	}
}

func TestChooseFirmwareRefusesBadLinks(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "pkg/lib/firmware")
	links := map[string]string{"out": "../../../secret"}
	for i := range maxLinks + 1 {
		links[fmt.Sprintf("link%d", i)] = fmt.Sprintf("link%d", i+1)
	}
	links[fmt.Sprintf("link%d", maxLinks)] = "end"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{filepath.Join(dir, "end"), filepath.Join(top, "secret")} {
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pkg := []fs.FS{os.DirFS(filepath.Join(top, "pkg"))}
	for name, says := range map[string]string{"link0": "more than 8 links", "out": "read firmware ../../../secret"} {
		_, _, err := chooseFirmware([]module{{Firmware: []string{name}}}, pkg)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want an error with %q", name, err, says)
		}
	}
}

func TestCxgb4BringsItsConfiguration(t *testing.T) {
	_, absent, err := chooseFirmware([]module{{Name: "cxgb4"}}, nil)
	if err != nil || !slices.Contains(absent, "cxgb4/t6-config.txt") {
		t.Errorf("absent %q, err %v", absent, err)
	}
}

func TestNewest(t *testing.T) {
	for _, test := range []struct{ names, want string }{
		{"a-1.2.fw a-1.10.fw a-1.9.9.fw", "a-1.10.fw"},
		{"b-06-6.2.fw b-09-6.1.fw", "b-06-6.2.fw b-09-6.1.fw"},
		{"c-2.fw c-3.fw", "c-2.fw c-3.fw"},
		{"bnx2-mips-09-6.2.1b.fw plain", "bnx2-mips-09-6.2.1b.fw plain"},
		{"d-1..2.fw d-99999999999999999999.1.fw", "d-1..2.fw d-99999999999999999999.1.fw"},
	} {
		if got := strings.Join(newest(strings.Fields(test.names)), " "); got != test.want {
			t.Errorf("of %s: got %s, want %s", test.names, got, test.want)
		}
	}
}
