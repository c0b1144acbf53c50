package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
	"dragonfly/images/packed"
)

// hostTools are tools that are there already: those of this host, under a loader that
// starts them.
func hostTools(t testing.TB) *Toolbox {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "lib"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "lib/ld.so"), []byte("#!/bin/sh\nname=$4; shift 5; exec /usr/sbin/$name \"$@\"\n"), 0o755))
	return &Toolbox{URL: "http://127.0.0.1:9/", Dir: dir}
}

// layoutOf is a layout for one disk, as STORAGE has it. Its FAT is not mounted: not
// every kernel of a builder knows it.
func layoutOf(device string) string {
	text := `{"disks": [{"device": "DISK", "wipe_table": true, "partitions": [
		{"label": "BIOS", "number": 1, "size": 2048}, {"label": "EFI", "number": 2, "size": 131072},
		{"label": "SWAP", "number": 3, "size": 65537}, {"label": "data", "number": 4, "size": 819200},
		{"label": "ROOT", "number": 5, "size": 0}]}],
	"filesystems": [
		{"mount": {"device": "DISKp2", "format": "vfat", "create": {"options": ["-n", "ESP"]}}},
		{"mount": {"device": "DISKp3", "format": "swap", "point": "swap", "create": {"options": ["-L", "swap"]}}},
		{"mount": {"device": "DISKp4", "format": "xfs", "point": "/srv/data", "create": {"options": ["-L", "data"]}}},
		{"mount": {"device": "DISKp5", "format": "ext4", "point": "/", "create": {"options": ["-L", "root"]}}}]}`
	return strings.ReplaceAll(text, "DISK", device)
}

func rootioDo(t testing.TB, env *Env, command string) error {
	t.Helper()
	env.Command = []string{command}
	return do(t, env, "rootio")
}

// partscan is a disk whose partitions the kernel shows.
func partscan(t *testing.T, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(file, used()[:headSize], 0o600))
	must(t, os.Truncate(file, size))
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: loop devices take root")
	}
	return attach(t, f, 512)
}

// probe is what blkid finds on a device itself.
func probe(t testing.TB, device string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(disktest.Run(t, "blkid", "-p", "-o", "export", device)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		found[name] = value
	}
	return found
}

// A disk is divided, its file systems made and mounted, twice; the tools of the
// system find what was asked for.
func TestRootio(t *testing.T) {
	device := partscan(t, 1<<30)
	env, asked := asked(t, "STORAGE="+layoutOf(device))
	env.Tools = hostTools(t)
	t.Cleanup(func() { must(t, env.release()) })
	for range 2 { // a second attempt finds the first one's mounts
		for _, command := range []string{"partition", "format", "mount"} {
			must(t, rootioDo(t, env, command))
		}
	}
	if (*asked)[0] != device {
		t.Errorf("asked to write to %q", *asked)
	}
	var table struct {
		Table struct {
			Label      string
			Partitions []struct {
				Node, Type, Name string
				Start, Size      int64
			}
		} `json:"partitiontable"`
	}
	must(t, json.Unmarshal([]byte(disktest.Run(t, "sfdisk", "--json", device)), &table))
	var got strings.Builder
	for _, p := range table.Table.Partitions {
		fmt.Fprintf(&got, "%s %d+%d %s\n", p.Name, p.Start, p.Size, p.Type[:8])
	}
	const want = "BIOS 2048+2048 21686148\nEFI 4096+131072 C12A7328\nSWAP 135168+65537 0657FD6D\n" +
		"data 202752+819200 0FC63DAF\nROOT 1021952+1073152 0FC63DAF\n"
	if table.Table.Label != "gpt" || got.String() != want {
		t.Errorf("the table is %s\n%swant\n%s", table.Table.Label, &got, want)
	}
	for part, want := range map[string]string{"p2": "vfat ESP", "p3": "swap swap", "p4": "xfs data", "p5": "ext4 root"} {
		if found := probe(t, device+part); found["TYPE"]+" "+found["LABEL"] != want {
			t.Errorf("%s has %v, want %s", part, found, want)
		}
	}
	if points := strings.Join(env.mounted(), " "); points != "/ /srv/data" {
		t.Errorf("mounted are %q", points)
	}
	must(t, env.release())
	disktest.Run(t, "e2fsck", "-fn", device+"p5")
	disktest.Run(t, "xfs_repair", "-n", device+"p4")
	disktest.Run(t, "fsck.vfat", "-n", device+"p2")
	must(t, rootioDo(t, env, "wipe"))
	if out := disktest.Run(t, "wipefs", "--no-act", device); out != "" {
		t.Errorf("wiped, and it has %s", out)
	}
}

// What runs in the root file system finds the others at their places.
func TestRootioMountsForChroot(t *testing.T) {
	device := partscan(t, 1<<30)
	env, _ := asked(t, "STORAGE="+layoutOf(device))
	env.Tools = hostTools(t)
	t.Cleanup(func() { must(t, env.release()) })
	for _, command := range []string{"partition", "format", "mount"} {
		must(t, rootioDo(t, env, command))
	}
	must(t, os.WriteFile(env.path(mountsAt+"/srv/data/here"), nil, 0o600))
	must(t, env.inside(t.Context(), device+"p5", "ext4", false, func(c *chroot) error {
		if !c.exists("/srv/data/here") {
			t.Error("the other file system is not at its place")
		}
		return nil
	}))
	if _, err := os.Stat(env.path(mountsAt + "/srv/data/here")); err != nil {
		t.Errorf("it is gone from where it was mounted: %v", err)
	}
	if err := openAgain(device); err == nil || !strings.Contains(err.Error(), "is mounted on") {
		t.Errorf("the disk can be overwritten meanwhile: %v", err)
	}
}

func openAgain(device string) error {
	target, err := openTarget(&Env{}, device)
	if err == nil {
		_ = target.Close()
	}
	return err
}

// An MBR, from the metadata that a server has.
func TestRootioMBR(t *testing.T) {
	device := partscan(t, 256<<20)
	const storage = `{"disks": [{"device": %q, "partitions": [{"label": "FAT32_ACTIVE", "number": 1, "size": 65536}, {"label": "SWAP", "number": 2}]}]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metadata" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"metadata": {"custom": {}, "instance": {"hostname": "a", "storage": `+storage+`}}}`, device)
	}))
	defer s.Close()
	u, _ := url.Parse(s.URL)
	env, _ := asked(t, "MIRROR_HOST="+u.Hostname(), "METADATA_SERVICE_PORT="+u.Port(), "MBR=true")
	must(t, rootioDo(t, env, "partition"))
	got := disktest.Run(t, "sfdisk", "--dump", device)
	for _, want := range []string{"label: dos", "size=       65536, type=c, bootable", "type=82"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// What is wrong is refused before anything is changed.
func TestRootioRefuses(t *testing.T) {
	t.Parallel()
	disk := newLoop(t, 32*mib, 512)
	one := func(members string) string {
		return fmt.Sprintf(`{"disks": [{"device": %q, "wipe_table": true, "partitions": [%s]}]}`, disk.device, members)
	}
	fs := func(members string) string {
		return fmt.Sprintf(`{"filesystems": [{"mount": {"device": %q, %s}}]}`, disk.device, members)
	}
	for says, test := range map[string]struct{ command, storage string }{
		"want one of format, mount, partition, wipe": {"divide", one("")},
		"neither STORAGE":                {"partition", ""},
		"no layout in JSON":              {"partition", "disks: []"},
		`unknown field "disk"`:           {"partition", `{"disk": []}`},
		"the layout is empty":            {"partition", `{}`},
		"want the path of a device":      {"partition", `{"disks": [{"device": "/dev/../etc/passwd"}]}`},
		"there is no disk /dev/none":     {"partition", `{"disks": [{"device": "/dev/none"}]}`},
		"partition 2 of":                 {"partition", one(`{"number": 2, "size": 2048}`)},
		"is not the last":                {"partition", one(`{"number": 1}, {"number": 2, "size": 2048}`)},
		"does not fit":                   {"partition", one(`{"number": 1, "size": 2048000}`)},
		"want sectors of 512 bytes":      {"partition", one(`{"number": 1, "size": -1}`)},
		"more than 36 characters":        {"partition", one(`{"number": 1, "size": 2048, "label": "` + strings.Repeat("x", 37) + `"}`)},
		"want 0, 1 or 10":                {"partition", `{"raid": [{"name": "md0", "level": "5", "devices": ["/dev/a", "/dev/b"]}]}`},
		"takes 2 devices at least":       {"partition", `{"raid": [{"name": "md0", "level": "1", "devices": ["/dev/a"]}]}`},
		"want a name such as md0":        {"partition", `{"raid": [{"name": "../md0", "level": "1", "devices": ["/dev/a", "/dev/b"]}]}`},
		"is named twice":                 {"partition", `{"raid": [{"name": "md0", "level": "1", "devices": ["/dev/a", "/dev/a"]}]}`},
		"has no physical volumes":        {"partition", `{"volume_groups": [{"name": "vg"}]}`},
		`volume group "--help"`:          {"partition", `{"volume_groups": [{"name": "--help", "physical_volumes": ["/dev/a"]}]}`},
		`format "ntfs"`:                  {"format", fs(`"format": "ntfs"`)},
		`option "logdev=/dev/sdb"`:       {"format", fs(`"format": "xfs", "create": {"options": ["-l", "logdev=/dev/sdb"]}`)},
		"want -L and a label":            {"format", fs(`"format": "swap", "create": {"options": ["--help"]}`)},
		"without .. in it":               {"mount", fs(`"format": "ext4", "point": "/../etc"`)},
		"no filesystem with the point /": {"mount", fs(`"format": "ext4", "point": "/srv"`)},
		"has no tools":                   {"format", fs(`"format": "ext4", "point": "/"`)},
		"there is no such device":        {"format", `{"filesystems": [{"mount": {"device": "/dev/none", "format": "swap"}}]}`},
	} {
		env, devices := asked(t, "STORAGE="+test.storage)
		if err := rootioDo(t, env, test.command); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
		if len(*devices) != 0 {
			t.Errorf("%q: asked to write to %q", says, *devices)
		}
	}
	cancelled := errors.New("it was cancelled")
	env, _ := asked(t, "STORAGE="+one(`{"number": 1, "size": 2048}`))
	env.Writing = func(string) error { return cancelled }
	if err := rootioDo(t, env, "partition"); !errors.Is(err, cancelled) {
		t.Error(err)
	}
	disk.untouched(t)
}

// mke2fs and mkfs.xfs take a label, or a name without a path, for another device.
func TestOptionsThatNameAnotherDevice(t *testing.T) {
	for option, taken := range map[string]bool{
		"device=LABEL=x": false, "-Jdevice=UUID=x": false, "size=4,device=LABEL=x": false, "logdev=sdb": false, "-llogdev=sdb": false, "size=9m,rtdev=sdb": false, "/dev/sdb": false,
		"-L": true, "device": true, "size=64m": true, "-Jsize=4": true, "lazy_journal_init=1": true,
	} {
		if err := checkOptions("a", []string{option}); (err == nil) != taken {
			t.Errorf("%q: %v", option, err)
		}
	}
}

// A disk that is not blank is divided only where the layout says that it may be.
func TestRootioKeepsWhatIsThere(t *testing.T) {
	device, _ := disktest.Loop(t, 64<<20)
	disktest.Run(t, "mkfs.ext4", "-q", device)
	env, devices := asked(t, fmt.Sprintf(`STORAGE={"disks": [{"device": %q, "partitions": [{"number": 1}]}]}`, device))
	if err := rootioDo(t, env, "partition"); err == nil || !strings.Contains(err.Error(), "it has ext4; set wipe_table") || len(*devices) != 0 {
		t.Errorf("%v, asked for %q", err, *devices)
	}
	disktest.Run(t, "e2fsck", "-fn", device)
}

// Tools with another hash than that which the agent was built with are not unpacked.
func TestToolbox(t *testing.T) {
	archive, err := packed.Pack([]packed.File{
		{Name: "bin/mkfs.fat", Body: []byte("x"), Program: true},
		{Name: "lib/ld.so", Body: []byte("#!/bin/sh\nshift 5\necho \"made $*\"\n"), Program: true}})
	must(t, err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tools" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(archive)
	}))
	defer s.Close()
	dir := filepath.Join(t.TempDir(), "tools")
	env, said := newEnv(t, map[string]string{"RETRY_ENABLED": "nonsense"}) // which is about an image
	for says, box := range map[string]Toolbox{
		"and should be aa": {URL: s.URL + "/tools", SHA256: "aa", Dir: dir},
		"404":              {URL: s.URL + "/none", SHA256: "aa", Dir: dir},
	} {
		env.Tools = &box
		if err := env.tool(t.Context(), "mkfs.fat"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
		if left, _ := filepath.Glob(dir + "*"); left != nil {
			t.Errorf("%q: left %q", says, left)
		}
	}
	env.Tools = &Toolbox{URL: s.URL + "/tools", SHA256: sumOf(archive), Dir: dir}
	must(t, env.tool(t.Context(), "mkfs.fat", "-n", "a"))
	s.Close()
	must(t, env.tool(t.Context(), "mkfs.fat", "-n", "b")) // fetched once
	if !said.said("made -n a") || !said.said("made -n b") {
		t.Errorf("it said %q", said.lines)
	}
}

func TestGrub2DiskRefuses(t *testing.T) {
	disk, _ := disktest.Loop(t, 8<<20)
	empty := fileSystem(t, nil)
	uefi := fileSystem(t, func(root string) {
		for _, name := range []string{"grub-install", "grub-mkconfig"} {
			must(t, os.MkdirAll(filepath.Join(root, "usr/sbin"), 0o755))
			must(t, os.WriteFile(filepath.Join(root, "usr/sbin", name), nil, 0o755))
		}
	})
	for says, vars := range map[string][]string{
		"GRUB_INSTALL_PATH is not set": {"GRUB_DISK=" + empty},
		"GRUB_DISK is not set":         {"GRUB_INSTALL_PATH=" + disk},
		"there is no disk /dev/none":   {"GRUB_INSTALL_PATH=/dev/none", "GRUB_DISK=" + empty},
		"has no grub-install":          {"GRUB_INSTALL_PATH=" + disk, "GRUB_DISK=" + empty},
		"without GRUB for BIOS":        {"GRUB_INSTALL_PATH=" + disk, "GRUB_DISK=" + uefi},
	} {
		env, _ := asked(t, vars...)
		if err := do(t, env, "grub2disk"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(layoutOf("/dev/sda"))
	f.Add(`{"raid": [{"name": "md0", "level": "1", "devices": ["/dev/a", "/dev/b"]}], "volume_groups": [{"name": "vg", "physical_volumes": ["/dev/md0"], "logical_volumes": [{"name": "root", "size": 0}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseStorage([]byte(text))
		if err != nil {
			return
		}
		for _, d := range l.Disks {
			for _, kind := range []string{"gpt", "dos"} {
				table, err := l.table(d, partition.Kind(kind), 1<<40, 512)
				if err != nil {
					continue
				}
				if err := table.Write(disktest.New(1<<40), 1<<40); err != nil {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
	})
}
