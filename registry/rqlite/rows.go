package rqlite

import "dragonfly/registry"

// machineColumns are the columns of machines in the order of [machineRow].
const machineColumns = "id, name, state, reason, hostname, serial, uuid, vendor, model, arch, address, bmc, owner, locked, pending, " +
	"created_ms, registered_ms, deadline_ms, version, operator, brief, macs, search, deployment, boot_next"

// machineRow is the row of a machine in machines.
func machineRow(m registry.Machine) []any {
	system, address, locked := m.Hardware.System, "", int64(0)
	operator := operatorJSON{Note: m.Note, Tags: m.Tags, Labels: m.Labels, OS: m.OS, Boot: m.AgentBoot}
	if m.Address.IsValid() {
		address = m.Address.String()
	}
	if m.Lock != nil {
		locked, operator.Lock = 1, &lockJSON{By: m.Lock.By, Note: m.Lock.Note, At: millis(m.Lock.At)}
	}
	return []any{
		m.ID, m.Name, string(m.State), m.Reason, m.Hostname, system.Serial, system.UUID, system.Vendor, system.Product,
		m.Hardware.CPU.Arch, address, bmc(m), m.Owner, locked, string(m.Pending),
		millis(m.CreatedAt), millis(m.RegisteredAt), millis(m.Deadline), m.Version + 1,
		operator, m.Hardware.Brief(), append([]registry.MAC{}, m.MACs...), searched(m), m.Deployment, string(m.BootNext),
	}
}

// macText is how an address is stored; the zero address is the empty text.
func macText(mac registry.MAC) string {
	if mac == (registry.MAC{}) {
		return ""
	}
	return mac.String()
}
