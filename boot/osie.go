package boot

import "fmt"

// OSIE is the installation environment in which a machine does what Tinkerbell has for
// it.
type OSIE string

// The installation environments.
const (
	// OSIEAgent is our agent image, which asks Tink server for work as its worker.
	// Empty means the same.
	OSIEAgent OSIE = "agent"
	// OSIEHook is a kernel and an initramfs that are Tinkerbell's: HookOS or CaptainOS.
	OSIEHook OSIE = "hook"
	// OSIESmee is whatever the script of Tinkerbell's Smee starts.
	OSIESmee OSIE = "smee"
)

// ParseOSIE reads "agent", "hook" or "smee".
func ParseOSIE(s string) (OSIE, error) {
	switch o := OSIE(s); o {
	case OSIEAgent, OSIEHook, OSIESmee:
		return o, nil
	}
	return "", fmt.Errorf("installation environment %.40q: want %q, %q or %q", s, OSIEAgent, OSIEHook, OSIESmee)
}

// Plan is how a machine gets into the environment.
func (o OSIE) Plan() Plan {
	switch o {
	case OSIEHook:
		return Plan{Hook, "deployment by Tinkerbell pending: start its installation environment"}
	case OSIESmee:
		return Plan{Smee, "deployment by Tinkerbell pending: go on with the script of its Smee"}
	}
	return Plan{Worker, "deployment by Tinkerbell pending: start the agent as its worker"}
}
