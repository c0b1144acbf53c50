package boot

import (
	"cmp"

	"dragonfly/registry"
)

// Plan is what a machine does once iPXE runs.
type Plan struct {
	Do   Do
	Rule string // the rule that decided, in words
}

// Do is the course of a plan.
type Do string

// The courses.
const (
	Agent         Do = "agent"           // start the agent image
	Disk          Do = "disk"            // boot the machine's own disk
	Once          Do = "once"            // boot what an operator has asked for, this once
	DiskThenAgent Do = "disk-then-agent" // boot the disk; where none boots, start the agent
	Worker        Do = "worker"          // start the agent image as a worker of Tinkerbell's
	Hook          Do = "hook"            // start a kernel and initramfs of Tinkerbell's
	Smee          Do = "smee"            // go on with the script of Tinkerbell's Smee
)

// PlanFor says what the machine does next. known is false where no machine has
// the address; entry counts for nothing then. osie is where a machine
// goes that Tinkerbell has work for, if nothing else is said for it.
func PlanFor(entry registry.Entry, known bool, osie registry.OSIE) Plan {
	if !known {
		return Plan{Agent, "unknown machine: start the agent, so that it can register"}
	}
	if own, is := entry.Next.OSIE(); is {
		return Enter(cmp.Or(own, osie))
	}
	switch entry.Next {
	case registry.BootAgent:
		return Plan{Agent, "deployment pending: start the agent, so that it can install"}
	case registry.BootOnce:
		return Plan{Once, "an operator has asked for this boot, once"}
	case registry.BootDisk:
		if entry.State == registry.Installing { // and else a rescue is over
			return Plan{Disk, "deployed: boot its own disk for the first time"}
		}
	}
	switch entry.State {
	case registry.Discovered:
		return Plan{Agent, "not registered yet: start the agent, so that it can register"}
	case registry.Ready:
		// An operating system that is already there must keep booting, and a
		// machine without one must stay within reach.
		return Plan{DiskThenAgent, "registered and nothing assigned: boot its own disk, or start the agent where no disk boots"}
	case registry.Installing:
		return Plan{Agent, "deployment pending: start the agent, so that it can install"}
	case registry.Installed:
		return Plan{Disk, "installed: boot its own disk"}
	case registry.Failed:
		return Plan{Disk, "failed: boot its own disk until an operator decides"}
	case registry.Retired:
		return Plan{Disk, "retired: boot its own disk"}
	}
	return Plan{Disk, "in a state this version does not know: boot its own disk"}
}

// Enter is how a machine gets into an installation environment; empty means the agent.
func Enter(osie registry.OSIE) Plan {
	switch osie {
	case registry.OSIEHook:
		return Plan{Hook, "deployment by Tinkerbell pending: start its installation environment"}
	case registry.OSIESmee:
		return Plan{Smee, "deployment by Tinkerbell pending: go on with the script of its Smee"}
	}
	return Plan{Worker, "deployment by Tinkerbell pending: start the agent as its worker"}
}
