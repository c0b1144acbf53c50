package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mounts records calls and answers with an error for some targets.
type mounts struct {
	calls []string
	errs  map[string]error
}

func (m *mounts) mount(_, target, fstype string, _ uintptr, _ string) error {
	m.calls = append(m.calls, fstype+" "+target)
	return m.errs[target]
}

func TestMounts(t *testing.T) {
	m := &mounts{errs: map[string]error{"/dev": unix.EBUSY, "/sys/firmware/efi/efivars": unix.ENODEV}}
	if err := errors.Join(mountDev(m.mount), mountKernel(m.mount), mountEFI(m.mount)); err != nil {
		t.Error(err)
	}
	want := []string{"devtmpfs /dev", "proc /proc", "sysfs /sys", "tmpfs /run", "efivarfs /sys/firmware/efi/efivars"}
	if !slices.Equal(m.calls, want) {
		t.Errorf("mounted %q, want %q", m.calls, want)
	}
}

func TestMountsThatFailAreNamedAndDoNotStopTheOthers(t *testing.T) {
	m := &mounts{errs: map[string]error{"/proc": unix.EPERM}}
	err := mountKernel(m.mount)
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "mount proc on /proc") || len(m.calls) != 3 {
		t.Errorf("error %v after %q", err, m.calls)
	}
	m.errs = map[string]error{"/sys/firmware/efi/efivars": unix.EIO}
	if err := mountEFI(m.mount); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v", err)
	}
}
