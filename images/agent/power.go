package agent

import (
	"dragonfly/images/agent/action"
	"dragonfly/images/agent/efi"
)

// Restart restarts the machine. It returns only when that failed.
func Restart() error { return action.Restart() }

// bootDisk makes the first disk of the boot order the one to boot next, once. On a
// BIOS machine there is nothing to do: the server decides when the machine asks
// again.
func bootDisk(vars efi.Vars) error {
	if !vars.There() {
		return nil
	}
	return vars.NextDisk()
}
