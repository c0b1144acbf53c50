package action

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/disktest"
)

// fileSystem is a device with a file system that mke2fs filled from a directory.
func fileSystem(t testing.TB, fill func(root string)) (device string) {
	t.Helper()
	device, _ = disktest.Loop(t, 64<<20)
	root := t.TempDir()
	if fill != nil {
		fill(root)
	}
	disktest.Run(t, "mkfs.ext4", "-q", "-F", "-d", root, device)
	return device
}

// inside looks at what a device's file system has.
func inside(t testing.TB, device string, look func(root string)) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(device, dir, "ext4", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	look(dir)
}

// asked is an environment that keeps the devices that were asked for.
func asked(t testing.TB, vars ...string) (*Env, *[]string) {
	env, devices := &Env{Vars: map[string]string{}, Log: func(line string) { t.Log(line) }}, &[]string{}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		env.Vars[name] = value
	}
	env.Writing = func(device string) error {
		*devices = append(*devices, device)
		return nil
	}
	return env, devices
}

func do(t testing.TB, env *Env, image string) error {
	t.Helper()
	a, ok := Lookup("quay.io/tinkerbell/actions/" + image + ":latest")
	if !ok {
		t.Fatalf("there is no action %s", image)
	}
	return a.Run(t.Context(), env)
}

// state is a file's mode, owner and contents.
func state(t testing.TB, path string) string {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		return err.Error()
	}
	body, _ := os.ReadFile(path)
	return fmt.Sprintf("%v %d %d %s", fs.FileMode(s.Mode&0o777), s.Uid, s.Gid, body)
}

func TestWritefile(t *testing.T) {
	device := fileSystem(t, func(root string) {
		must(t, os.MkdirAll(filepath.Join(root, "etc/deep"), 0o700))
		must(t, os.WriteFile(filepath.Join(root, "etc/old"), []byte("a long old text"), 0o644))
		must(t, os.Symlink("/etc/old", filepath.Join(root, "etc/link")))
		must(t, os.Symlink("/run/new", filepath.Join(root, "etc/dangling")))
		must(t, os.Mkdir(filepath.Join(root, "run"), 0o755))
		must(t, os.Symlink("../../../../../../etc", filepath.Join(root, "up")))
	})
	write := func(vars ...string) {
		t.Helper()
		env, devices := asked(t, append([]string{"DEST_DISK=" + device, "FS_TYPE=ext4", "UID=1000", "GID=100", "MODE=4750", "DIRMODE=0711"}, vars...)...)
		if err := do(t, env, "writefile"); err != nil {
			t.Error(err)
		}
		if len(*devices) != 1 || (*devices)[0] != device {
			t.Errorf("asked to write to %q", *devices)
		}
	}
	write("DEST_PATH=/var/lib/cloud/seed", "CONTENTS=user\n")
	write("DEST_PATH=/etc/link", "CONTENTS=new")
	write("DEST_PATH=/etc/dangling", "CONTENTS=there")
	write("DEST_PATH=/up/passwd", "CONTENTS=inside")
	write("DEST_PATH=/../../empty", "FS_TYPE=", "MODE=", "DIRMODE=")
	inside(t, device, func(root string) {
		for name, want := range map[string]string{
			"var/lib/cloud/seed": "-rwxr-x--- 1000 100 user\n", "var/lib/cloud": "-rwx--x--x 1000 100 ", "var": "-rwx--x--x 1000 100 ",
			"etc/old": "-rwxr-x--- 1000 100 new", "run/new": "-rwxr-x--- 1000 100 there", "etc/passwd": "-rwxr-x--- 1000 100 inside",
			"empty": "-rw-r--r-- 1000 100 ", "etc/deep": "-rwx------ 0 0 ",
		} {
			if got := state(t, filepath.Join(root, name)); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		var s unix.Stat_t
		must(t, unix.Stat(filepath.Join(root, "etc/old"), &s))
		if s.Mode&unix.S_ISUID == 0 {
			t.Error("the set-user-ID bit is gone")
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWritefileRefuses(t *testing.T) {
	device := fileSystem(t, func(root string) {
		must(t, os.Mkdir(filepath.Join(root, "dir"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o644))
		must(t, unix.Mkfifo(filepath.Join(root, "pipe"), 0o644))
		must(t, os.Symlink("loop", filepath.Join(root, "loop")))
	})
	swap, _ := disktest.Loop(t, 1<<20)
	disktest.Run(t, "mkswap", "-q", swap)
	blank, _ := disktest.Loop(t, 1<<20)
	for says, vars := range map[string][]string{
		"DEST_PATH is not set":                        {"DEST_PATH="},
		"DEST_DISK is not set":                        {"DEST_DISK="},
		`DEST_PATH is "a/b"`:                          {"DEST_PATH=a/b"},
		`DEST_PATH is "/dir/"`:                        {"DEST_PATH=/dir/"},
		`DEST_PATH is "/.."`:                          {"DEST_PATH=/.."},
		`UID is "root"`:                               {"UID=root"},
		`MODE is "0999"`:                              {"MODE=0999"},
		`DIRMODE is "10000"`:                          {"DIRMODE=10000"},
		"it is ext4, and FS_TYPE says xfs":            {"FS_TYPE=xfs"},
		`"disk" is no path of a device`:               {"DEST_DISK=disk"},
		`"/dev/../etc/passwd" is no path of a device`: {"DEST_DISK=/dev/../etc/passwd"},
		"/dev/null is no block device":                {"DEST_DISK=/dev/null"},
		"there is no file system on it, but swap":     {"DEST_DISK=" + swap},
		"there is no file system on it":               {"DEST_DISK=" + blank},
		"it is a directory":                           {"DEST_PATH=/dir"},
		"it is not a regular file":                    {"DEST_PATH=/pipe"},
		"open /file: not a directory":                 {"DEST_PATH=/file/x"},
		"too many levels of symbolic links":           {"DEST_PATH=/loop"},
	} {
		env, _ := asked(t, append([]string{"DEST_DISK=" + device, "DEST_PATH=/x", "FS_TYPE=ext4"}, vars...)...)
		if err := do(t, env, "writefile"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	cancelled := errors.New("it was cancelled")
	env, _ := asked(t, "DEST_DISK="+device, "DEST_PATH=/x")
	env.Writing = func(string) error { return cancelled }
	if err := do(t, env, "writefile"); !errors.Is(err, cancelled) {
		t.Error(err)
	}
	inside(t, device, func(root string) {
		if _, err := os.Stat(filepath.Join(root, "x")); err == nil {
			t.Error("something was written")
		}
	})
	if left, _ := filepath.Glob("/run/volume-*"); len(left) > 0 {
		t.Errorf("mounts are left: %q", left)
	}
}

func TestMountWaitsForTheDevice(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("it was cancelled"))
	if _, err := (&Env{}).mount(ctx, "/dev/disk/by-id/none-part1", "", 0); err == nil || !strings.Contains(err.Error(), "it was cancelled") {
		t.Error(err)
	}
}

// The links to partitions are made some time after the partitions.
func TestPartitionWithoutALink(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "dev/disk/by-id"), 0o755))
	device, _ := disktest.Loop(t, 1<<20)
	var s unix.Stat_t
	must(t, unix.Stat(device, &s))
	must(t, unix.Mknod(filepath.Join(root, "dev/nvme0n1"), unix.S_IFBLK|0o600, int(s.Rdev)))
	must(t, unix.Mknod(filepath.Join(root, "dev/nvme0n1p2"), unix.S_IFBLK|0o600, int(s.Rdev)))
	must(t, os.Symlink("../../nvme0n1", filepath.Join(root, "dev/disk/by-id/nvme-X")))
	env := &Env{Root: root}
	if got, err := env.node(t.Context(), "/dev/disk/by-id/nvme-X-part2"); err != nil || got != filepath.Join(root, "dev/nvme0n1p2") {
		t.Errorf("%s, %v", got, err)
	}
}
