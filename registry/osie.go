package registry

import (
	"fmt"
	"slices"
	"strings"
)

// OSIE is the installation environment in which a machine does what Tinkerbell has for
// it.
type OSIE string

// The installation environments.
const (
	// OSIEAgent is our agent image, which asks Tink server for work as its worker.
	OSIEAgent OSIE = "agent"
	// OSIEHook is a kernel and an initramfs that are Tinkerbell's: HookOS or CaptainOS.
	OSIEHook OSIE = "hook"
	// OSIESmee is whatever the script of Tinkerbell's Smee starts.
	OSIESmee OSIE = "smee"
)

// OSIEs lists them.
func OSIEs() []OSIE { return []OSIE{OSIEAgent, OSIEHook, OSIESmee} }

// ParseOSIE reads "agent", "hook" or "smee".
func ParseOSIE(text string) (OSIE, error) {
	if o := OSIE(text); slices.Contains(OSIEs(), o) {
		return o, nil
	}
	return "", fmt.Errorf("installation environment %.40q: want one of %s", text, join(OSIEs()))
}

// boots is what a machine boots to get there; empty: into that of this installation.
func (o OSIE) boots() BootTarget {
	if o == "" {
		return BootOSIE
	}
	return BootOSIE + ":" + BootTarget(o)
}

// OSIE reports whether a machine boots into an installation environment, and which;
// empty: that of this installation.
func (t BootTarget) OSIE() (o OSIE, is bool) {
	kind, name, _ := strings.Cut(string(t), ":")
	return OSIE(name), BootTarget(kind) == BootOSIE
}
