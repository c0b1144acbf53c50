package action

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reboot restarts the machine. What is to be booted next is decided before, by
// efiboot and by the server.
func reboot(context.Context, *Env) error { return Restart() }

// Restart restarts the machine, and returns only an error.
func Restart() error { return end("restart", unix.LINUX_REBOOT_CMD_RESTART) }

// poweroff switches the machine off.
func poweroff(context.Context, *Env) error {
	return end("switch off", unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// end ends this boot, after what is in memory is on the disks. It returns only an
// error. The first process of a machine alone may do it: any other would not end
// what it runs in, but what somebody else does.
func end(what string, how int) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("%s: %w", what, errors.New("this process is not the first one of the machine"))
	}
	unix.Sync()
	if err := unix.Reboot(how); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
