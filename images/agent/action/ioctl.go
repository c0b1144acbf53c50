package action

import (
	"os"
	"unsafe"

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

// ioctlRange asks something about a part of a disk: two 64-bit numbers, where and
// how many bytes.
func ioctlRange(f *os.File, request uint, off, n int64) error {
	span := [2]uint64{uint64(off), uint64(n)}
	return ioctl(f, request, uintptr(unsafe.Pointer(&span)))
}
