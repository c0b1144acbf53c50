package action

import (
	"os"

	"golang.org/x/sys/unix"
)

// ioctl asks something of a device.
func ioctl(f *os.File, request uint, argument uintptr) error {
	return ignoringEINTR(func() error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), argument); errno != 0 {
			return errno
		}
		return nil
	})
}
