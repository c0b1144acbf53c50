package disktest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Loop is a block device of the kernel over a new file of that size, for as long as
// the test runs. It takes root.
func Loop(t testing.TB, size int64) (device, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	return LoopOf(t, file), file
}

// LoopOf is a block device of the kernel over a file.
func LoopOf(t testing.TB, file string) (device string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: loop devices take root")
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: no loop devices here: %v", err)
	}
	defer control.Close()
	for range 50 { // somebody else may be faster
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		device = fmt.Sprintf("/dev/loop%d", n)
		if err = configure(device, f); err == nil {
			t.Cleanup(func() {
				if err := free(device); err != nil {
					t.Errorf("free %s: %v", device, err)
				}
			})
			return device
		}
		if !errors.Is(err, unix.EBUSY) {
			t.Fatalf("set up %s: %v", device, err)
		}
	}
	t.Fatal("no loop device is free for long enough")
	return ""
}

func configure(device string, f *os.File) error {
	l, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer l.Close()
	return unix.IoctlLoopConfigure(int(l.Fd()), &unix.LoopConfig{Fd: uint32(f.Fd())})
}

func free(device string) error {
	l, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer l.Close()
	return unix.IoctlSetInt(int(l.Fd()), unix.LOOP_CLR_FD, 0)
}

// Run runs a program that Debian has on every system, or that the tests' list of
// packages names, and returns what it printed.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
