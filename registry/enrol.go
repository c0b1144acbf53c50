package registry

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// maxMachineMACs bounds the addresses kept of one machine, which may collect
// old ones with every NIC that is swapped.
const maxMachineMACs = 2 * maxMACs

// enrol is the pure half of [Registry.Register]: the machine as it stands after
// reg, and the change that makes it so. others are the records that were loaded
// and are not the match; they lose the addresses that are ours.
//
// That is the address the machine booted from, which its token proves, and whatever
// no registered machine has. The rest is only said: one machine that lists the
// addresses of a whole rack must not have the rack boot by its record.
func enrol(match Machine, others []Machine, e enrolment) (Machine, Change, error) {
	m, reg, now := match, e.Registration, e.At
	next, err := m.State.Step(CauseRegister)
	if err != nil {
		return Machine{}, Change{}, err
	}
	m.State = next
	kept := keptMACs(others, reg)
	isKept := func(mac MAC) bool { return slices.Contains(kept, mac) }
	reg.MACs = slices.DeleteFunc(slices.Clone(reg.MACs), isKept)
	m.MACs = slices.DeleteFunc(mergeMACs(reg.MACs, m.MACs), isKept)
	m.Hostname, m.Address, m.Hardware = reg.Hostname, reg.Address, reg.Hardware
	m.RegisteredAt, m.SeenAt, m.AgentBoot = now, now, reg.Boot

	change := Change{Op: e.Op, Put: []Machine{m}}
	for _, other := range others {
		if !sharesMAC(other.MACs, reg.MACs) {
			continue
		}
		stranger := other.stranger() // of one that somebody said something of, that is kept
		other.MACs = slices.DeleteFunc(slices.Clone(other.MACs), func(mac MAC) bool {
			return slices.Contains(reg.MACs, mac)
		})
		if len(other.MACs) == 0 && stranger {
			change.Delete = append(change.Delete, other)
			change.Move = append(change.Move, Move{From: other.ID, To: m.ID})
			change.Events = append(change.Events, m.event(MachineMerged, now, other.Name+" was the same machine"),
				other.event(MachineDeleted, now, other.Name+" was the same machine as "+m.Name))
			continue
		}
		change.Put = append(change.Put, other)
		change.Events = append(change.Events, other.event(MachineEdited, now, "its hardware address belongs to "+m.Name+" now"))
	}
	change.Events = append(change.Events, m.event(MachineRegistered, now, registeredMessage(match, m)))
	if len(kept) > 0 {
		change.Events = append(change.Events, m.event(MachineHardware, now, keptMessage(others, kept)))
	}
	first := match.RegisteredAt.IsZero()
	if twin := slices.IndexFunc(others, func(o Machine) bool { return first && sameIdentity(o.Hardware.System, m.Hardware.System) }); twin >= 0 {
		change.Events = append(change.Events, m.event(MachineHardware, now, twinMessage(others[twin], m)))
	}
	var differences []Difference
	if !first {
		differences = Diff(match.Hardware, m.Hardware)
	}
	if first && !reflect.DeepEqual(&match.Hardware, &m.Hardware) || len(differences) > 0 {
		change.History = []HardwareRecord{{Machine: m.ID, At: now, Hardware: m.Hardware}}
	}
	for _, d := range differences[:min(len(differences), maxDifferences)] {
		change.Events = append(change.Events, m.event(MachineHardware, now, d.String()))
	}
	return m, change, nil
}

// keptMACs is the addresses of reg that stay with other registered machines.
func keptMACs(others []Machine, reg Registration) (kept []MAC) {
	for _, other := range others {
		if other.State == Discovered || other.State == Retired {
			continue
		}
		for _, mac := range other.MACs {
			if mac != reg.MAC && slices.Contains(reg.MACs, mac) {
				kept = append(kept, mac)
			}
		}
	}
	return kept
}

func keptMessage(others []Machine, kept []MAC) string {
	at := slices.IndexFunc(others, func(m Machine) bool { return slices.Contains(m.MACs, kept[0]) })
	more := ""
	if len(kept) > 1 {
		more = fmt.Sprintf(" and %d more of other machines", len(kept)-1)
	}
	return fmt.Sprintf("reports the hardware address %s of %s%s, which it did not boot from: left where it was; retire or delete the machine that no longer has it", kept[0], others[at].Name, more)
}

func twinMessage(twin, m Machine) string {
	what := "UUID"
	if !sameUUID(twin.Hardware.System, m.Hardware.System) {
		what = "serial number"
	}
	return fmt.Sprintf("has the %s of %s, and counts as another machine; merge the two if they are one", what, twin.Name)
}

// maxDifferences bounds the lines that one registration writes on the timeline; a
// machine with more of them is another machine in the same case.
const maxDifferences = 20

// mergeMACs puts the addresses seen now first and keeps the older ones behind
// them: a NIC that was taken out may come back.
func mergeMACs(now, before []MAC) []MAC {
	macs := slices.Clone(now)
	for _, mac := range before {
		if !slices.Contains(macs, mac) && len(macs) < maxMachineMACs {
			macs = append(macs, mac)
		}
	}
	return macs
}

// discover is the record of an address seen for the first time. That is a step of a
// boot; what is online is the agent. The caller gives back the claim to its name.
func (r *Registry) discover(mac MAC, at time.Time, taken int) Machine {
	return r.newMachine(newID(), Registration{MAC: mac, MACs: []MAC{mac}}, at, taken)
}

// newMachine is a fresh record for reg. taken counts the names that turned out to
// belong to machines that are not known here yet. The caller gives back the claim to its
// name.
func (r *Registry) newMachine(id string, reg Registration, now time.Time, taken int) Machine {
	seed := reg.MAC.String()
	if uuid := reg.Hardware.System.UUID; usableUUID(uuid) {
		seed = uuid
	}
	return Machine{ID: id, Name: r.index.freeName(id, seed, taken), State: Discovered, MACs: reg.MACs, CreatedAt: now}
}

func registeredMessage(before, after Machine) string {
	system := strings.TrimSpace(after.Hardware.System.Vendor + " " + after.Hardware.System.Product)
	if system == "" {
		system = "a machine"
	}
	if before.RegisteredAt.IsZero() {
		return fmt.Sprintf("registered for the first time: %s, %s", system, Counted(len(after.Hardware.Disks), "disk"))
	}
	return fmt.Sprintf("registered again: %s, %s", system, Counted(len(after.Hardware.Disks), "disk"))
}

// event is something that happened to m.
func (m Machine) event(kind Kind, at time.Time, message string) Event {
	return Event{At: at, Kind: kind, Machine: m.ID, MAC: m.BootMAC(), Message: message}
}
