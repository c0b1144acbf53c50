package registry

import (
	"strings"
	"time"
)

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
	MachineBoot       Kind = "machine.boot"     // a sighting: one step of a boot
	MachineStalled    Kind = "machine.stalled"  // a boot stands still
	MachineHardware   Kind = "machine.hardware" // a part is new, gone or changed
	MachineImported   Kind = "machine.imported" // a list named it, for the first time or with something new
	MachineAssigned   Kind = "machine.assigned" // rules gave a new machine its name, tags or the like
	MachineEdited     Kind = "machine.edited"
	MachineLocked     Kind = "machine.locked"
	MachineUnlocked   Kind = "machine.unlocked"
	MachineRetired    Kind = "machine.retired"
	MachineRestored   Kind = "machine.restored"
	MachineFailed     Kind = "machine.failed" // Reason says why
	MachineDeleted    Kind = "machine.deleted"
	RulesEdited       Kind = "rules.edited"    // the rules on registration; no machine
	DefaultsEdited    Kind = "defaults.edited" // what deployments begin from; no machine
	OSEdited          Kind = "os.edited"       // an operating system of the catalogue; no machine
	OSDeleted         Kind = "os.deleted"      // the same

	// Beside these, "deployment." and each state that a deployment comes to.
	DeploymentCreated Kind = "deployment.created" // asked for by an operator
	DeploymentClaimed Kind = "deployment.claimed" // an agent took it up
	DeploymentAction  Kind = "deployment.action"  // an action began
	DeploymentHeld    Kind = "deployment.held"    // what it waits for is another thing now
	DeploymentWriting Kind = "deployment.writing" // from now on the disk is not what it was
)

// reloads reports whether an event of this kind means that the record changed.
func (k Kind) reloads() bool {
	return k != MachineBoot && k != MachineStalled && k != MachineOnline && k != MachineOffline
}

// kind is that of the event that a deployment has come to the state.
func (s DeploymentState) kind() Kind { return Kind("deployment." + s) }

// changesRules reports whether e says that the rules are others now.
func changesRules(e Event) bool { return e.Kind == RulesEdited }

// verb is the kind without its object, such as "locked".
func (k Kind) verb() string {
	_, verb, _ := strings.Cut(string(k), ".")
	return verb
}
