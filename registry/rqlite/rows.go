package rqlite

import "dragonfly/registry"

// machineRow is a row of machines as a parameter: every value is taken out of this
// one JSON text.
type machineRow struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	State      registry.State       `json:"state"`
	Reason     string               `json:"reason"`
	Hostname   string               `json:"hostname"`
	Serial     string               `json:"serial"`
	UUID       string               `json:"uuid"`
	Vendor     string               `json:"vendor"`
	Model      string               `json:"model"`
	Arch       string               `json:"arch"`
	Address    string               `json:"address"`
	BMC        string               `json:"bmc"`
	Owner      string               `json:"owner"`
	Locked     int                  `json:"locked"`
	Pending    registry.Instruction `json:"pending"`
	Created    int64                `json:"created"`
	Registered int64                `json:"registered"`
	Deadline   int64                `json:"deadline"`
	Version    int64                `json:"version"`
	Operator   operatorJSON         `json:"operator"`
	Brief      registry.Hardware    `json:"brief"`
}

func rowOf(m registry.Machine) machineRow {
	system := m.Hardware.System
	row := machineRow{
		ID: m.ID, Name: m.Name, State: m.State, Reason: m.Reason, Hostname: m.Hostname,
		Serial: system.Serial, UUID: system.UUID, Vendor: system.Vendor, Model: system.Product,
		Arch: m.Hardware.CPU.Arch, BMC: bmc(m), Owner: m.Owner, Pending: m.Pending,
		Created: millis(m.CreatedAt), Registered: millis(m.RegisteredAt), Deadline: millis(m.Deadline),
		Version: m.Version + 1, Operator: operatorJSON{Note: m.Note, Tags: m.Tags, Labels: m.Labels, OS: m.OS},
		Brief: m.Hardware.Brief(),
	}
	if m.Address.IsValid() {
		row.Address = m.Address.String()
	}
	if m.Lock != nil {
		row.Locked, row.Operator.Lock = 1, &lockJSON{By: m.Lock.By, Note: m.Lock.Note, At: millis(m.Lock.At)}
	}
	return row
}

// eventRow is a row of events.
type eventRow struct {
	At      int64         `json:"at"`
	Kind    registry.Kind `json:"kind"`
	Machine string        `json:"machine"`
	MAC     registry.MAC  `json:"mac"`
	Message string        `json:"message"`
}

// auditRow is a row of audit.
type auditRow struct {
	At     int64  `json:"at"`
	Actor  string `json:"actor"`
	Role   string `json:"role"`
	Origin string `json:"origin"`
	Action string `json:"action"`
	Object string `json:"object"`
	Before string `json:"before"`
	After  string `json:"after"`
}
