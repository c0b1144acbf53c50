package api

import (
	"net/netip"
	"time"

	"dragonfly/registry"
)

// RegisterRequest is the body of POST /api/v1/agent/register. The boot token in
// the Authorization header decides which machine this is about; MAC must be the
// token's.
type RegisterRequest struct {
	MAC      registry.MAC      `json:"mac" doc:"the address the machine booted from"`
	MACs     []registry.MAC    `json:"macs,omitempty" doc:"every address of the machine" maxItems:"256"`
	Hostname string            `json:"hostname,omitempty" maxLength:"253"`
	Hardware registry.Hardware `json:"hardware"`
}

// RegisterReply answers a registration: 201 for a new machine, 200 for a known
// one, 202 where the database is away and the registration waits in the journal,
// on disk.
type RegisterReply struct {
	Status string               `json:"status" enum:"committed,journaled"`
	ID     string               `json:"id"`
	Name   string               `json:"name"`
	State  registry.State       `json:"state"`
	Token  string               `json:"token" doc:"the machine token, for every later call"`
	Next   registry.Instruction `json:"next" enum:"wait,reboot,local_boot"`
}

// NextReply is the next instruction for a waiting agent.
type NextReply struct {
	Name  string               `json:"name"`
	State registry.State       `json:"state"`
	Token string               `json:"token,omitempty" doc:"a fresh machine token; set when the old one is about to expire"`
	Next  registry.Instruction `json:"next" enum:"wait,reboot,local_boot"`
}

// Machine is a machine on the wire.
type Machine struct {
	ID           string               `json:"id"`
	Name         string               `json:"name"`
	State        registry.State       `json:"state" enum:"discovered,ready,installing,installed,failed,retired"`
	Reason       string               `json:"reason,omitempty" doc:"why the machine failed"`
	Online       bool                 `json:"online"`
	MACs         []registry.MAC       `json:"macs"`
	Vendor       string               `json:"vendor,omitempty"`
	Model        string               `json:"model,omitempty"`
	Serial       string               `json:"serial,omitempty"`
	Owner        string               `json:"owner,omitempty"`
	Note         string               `json:"note,omitempty"`
	Tags         []string             `json:"tags,omitempty"`
	Labels       map[string]string    `json:"labels,omitempty"`
	OS           string               `json:"assigned_os,omitempty" doc:"the operating system assigned to it; this version installs nothing"`
	Lock         *registry.Lock       `json:"lock,omitempty"`
	Hostname     string               `json:"hostname,omitempty"`
	Address      netip.Addr           `json:"address,omitzero"`
	Pending      registry.Instruction `json:"pending,omitempty" doc:"waits to be handed to the agent"`
	Deadline     time.Time            `json:"deadline,omitzero" doc:"when the state fails by itself; left out where it lasts"`
	CreatedAt    time.Time            `json:"created_at"`
	RegisteredAt time.Time            `json:"registered_at,omitzero"`
	SeenAt       time.Time            `json:"seen_at,omitzero"`
	Version      int64                `json:"version"`
	Stale        bool                 `json:"stale,omitempty" doc:"the database is away, and this is what was known of the machine"`
	AsOf         time.Time            `json:"as_of,omitzero" doc:"when what is stale was read"`
	Journaled    bool                 `json:"journaled,omitempty" doc:"its last registration waits in the journal of this server"`
	Hardware     *registry.Hardware   `json:"hardware,omitempty" doc:"left out of lists"`
}

// Staleness says that what is answered is not what the database has now, but what
// was known of it: the database is away.
type Staleness struct {
	Stale bool      `json:"stale,omitempty" doc:"the database is away, and this is what was known; it may lack the older part"`
	AsOf  time.Time `json:"as_of,omitzero" doc:"when what is stale was read"`
}

func (s *Server) staleness() Staleness {
	outage := s.registry.Outage()
	return Staleness{!outage.Since.IsZero(), outage.AsOf}
}

// HardwareRecord is the hardware of a machine as it was reported at a time, and
// what changed with that report.
type HardwareRecord struct {
	At       time.Time         `json:"at"`
	Changes  []string          `json:"changes" doc:"such as: DIMM A1 is gone (32 GiB DDR5)"`
	Hardware registry.Hardware `json:"hardware"`
}

// PatchRequest is the body of PATCH /api/v1/machines/{id}: what is left out stays
// (RFC 7396, with labels one by one).
type PatchRequest struct {
	Name   *string            `json:"name,omitempty"`
	Owner  *string            `json:"owner,omitempty"`
	Note   *string            `json:"note,omitempty"`
	Tags   *[]string          `json:"tags,omitempty" doc:"instead of those there are"`
	Labels map[string]*string `json:"labels,omitempty" doc:"null takes a label away"`
	OS     *string            `json:"assigned_os,omitempty" doc:"such as debian-12, noted for when it is installed; empty for none"`

	AddTags    []string `json:"add_tags,omitempty" doc:"to those there are"`
	RemoveTags []string `json:"remove_tags,omitempty" doc:"from those there are"`
}

func (p PatchRequest) patch() registry.Patch {
	return registry.Patch{Name: p.Name, Owner: p.Owner, Note: p.Note, Tags: p.Tags, Labels: p.Labels, OS: p.OS,
		AddTags: p.AddTags, RemoveTags: p.RemoveTags}
}

// Event is an event on the wire; its number is the id of the server-sent event.
type Event struct {
	ID      int64         `json:"id"`
	At      time.Time     `json:"at"`
	Kind    registry.Kind `json:"kind"`
	Machine string        `json:"machine,omitempty"`
	MAC     registry.MAC  `json:"mac,omitzero"`
	Message string        `json:"message"`
}

// machineOf is the wire form of m. Lists leave the hardware out.
func machineOf(m registry.Machine, now time.Time, withHardware bool) Machine {
	system := m.Hardware.System
	out := Machine{
		ID: m.ID, Name: m.Name, State: m.State, Reason: m.Reason, Online: m.Online(now),
		Vendor: system.Vendor, Model: system.Product, Serial: system.Serial,
		Owner: m.Owner, Note: m.Note, Tags: m.Tags, Labels: m.Labels, OS: m.OS, Lock: m.Lock,
		MACs: m.MACs, Hostname: m.Hostname, Address: m.Address, Pending: m.Pending, Deadline: m.Deadline,
		CreatedAt: m.CreatedAt, RegisteredAt: m.RegisteredAt, SeenAt: m.SeenAt, Version: m.Version,
		Stale: !m.AsOf.IsZero(), AsOf: m.AsOf, Journaled: m.Journaled,
	}
	if withHardware {
		out.Hardware = &m.Hardware
	}
	return out
}

func eventOf(e registry.Event) Event {
	return Event{ID: e.Seq, At: e.At, Kind: e.Kind, Machine: e.Machine, MAC: e.MAC, Message: e.Message}
}
