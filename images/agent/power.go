package agent

import (
	"fmt"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/efi"
)

// restart writes out what is in memory and restarts the machine. It returns
// only when that failed.
func restart() error {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}

// bootDisk makes the first disk of the boot order the one to boot next, once. On a
// BIOS machine there is nothing to do: the server decides when the machine asks
// again.
func bootDisk(vars efi.Vars) error {
	if !vars.There() {
		return nil
	}
	return vars.NextDisk()
}
