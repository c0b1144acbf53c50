package registry

import "time"

// Event is one thing that happened. The store numbers events in the order they
// were written, without ever reusing a number, so a listener that knows the
// last one it saw can resume.
type Event struct {
	Seq     int64 // given by the store; 0 before
	At      time.Time
	Kind    Kind
	Machine string // ID; empty where none is known
	MAC     MAC    // zero where none is known
	Message string // one line for the operator
}

// Kind names what happened, as "object.verb".
type Kind string

// The kinds of events.
const (
	MachineDiscovered Kind = "machine.discovered" // first sighting of an unknown MAC
	MachineRegistered Kind = "machine.registered" // the agent reported in
	MachineMerged     Kind = "machine.merged"     // a duplicate record was folded into this one and removed
	MachineInstructed Kind = "machine.instructed" // an operator queued an instruction
	MachineTold       Kind = "machine.told"       // the agent took the instruction
	MachineOnline     Kind = "machine.online"
	MachineOffline    Kind = "machine.offline"
	MachineBoot       Kind = "machine.boot" // a sighting: one step of a boot
)

// EventKinds lists every kind.
func EventKinds() []Kind {
	return []Kind{MachineDiscovered, MachineRegistered, MachineMerged, MachineInstructed,
		MachineTold, MachineOnline, MachineOffline, MachineBoot}
}
