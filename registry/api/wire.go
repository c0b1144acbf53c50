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
	Next   registry.Instruction `json:"next" enum:"wait,reboot,local_boot,deploy,osie"`
}

// NextReply is the next instruction for a waiting agent.
type NextReply struct {
	Name  string               `json:"name"`
	State registry.State       `json:"state"`
	Token string               `json:"token,omitempty" doc:"a fresh machine token; set when the old one is about to expire"`
	Next  registry.Instruction `json:"next" enum:"wait,reboot,local_boot,deploy,osie" doc:"deploy: claim the machine's deployment"`
}

// Machine is a machine on the wire.
type Machine struct {
	ID           string               `json:"id" doc:"never reused" example:"m-7f3a9c2e1b4d"`
	Name         string               `json:"name" doc:"unique" example:"brave-otter"`
	State        registry.State       `json:"state" enum:"discovered,ready,installing,installed,failed,retired"`
	Reason       string               `json:"reason,omitempty" doc:"why the machine failed"`
	Online       bool                 `json:"online" doc:"it showed a sign of life in the last 45 seconds" example:"true"`
	MACs         []registry.MAC       `json:"macs" doc:"the one it boots from first" example:"[\"52:54:00:12:34:56\"]"`
	Vendor       string               `json:"vendor,omitempty" example:"Dell Inc."`
	Model        string               `json:"model,omitempty" example:"PowerEdge R760"`
	Serial       string               `json:"serial,omitempty" example:"7XK2Q54"`
	Owner        string               `json:"owner,omitempty" example:"ana"`
	Note         string               `json:"note,omitempty" doc:"anything others should know" example:"second PSU is out"`
	Tags         []string             `json:"tags,omitempty" example:"[\"gpu\"]"`
	Labels       map[string]string    `json:"labels,omitempty" doc:"keys of your own" example:"{\"rack\":\"a1\"}"`
	OS           string               `json:"assigned_os,omitempty" doc:"the operating system that is assigned to it, or installed"`
	Deployment   string               `json:"deployment,omitempty" doc:"ID of the one that is under way, or the last one" example:"d-4k2j7q3mzt5a"`
	BootNext     registry.BootTarget  `json:"boot_next,omitempty" enum:"agent,disk,once,osie,osie:agent,osie:hook,osie:smee" doc:"what it boots next instead of what its state says"`
	Lock         *registry.Lock       `json:"lock,omitempty" doc:"while it is there, nothing that destroys is done"`
	Hostname     string               `json:"hostname,omitempty" doc:"as its DHCP lease named it" example:"lease-17"`
	Address      netip.Addr           `json:"address,omitzero" doc:"where the agent registered from" example:"10.0.0.17"`
	Pending      registry.Instruction `json:"pending,omitempty" doc:"waits to be handed to the agent"`
	Deadline     time.Time            `json:"deadline,omitzero" doc:"when the state fails by itself; left out where it lasts"`
	CreatedAt    time.Time            `json:"created_at" doc:"when it was seen first"`
	RegisteredAt time.Time            `json:"registered_at,omitzero" doc:"when its agent reported last"`
	SeenAt       time.Time            `json:"seen_at,omitzero" doc:"its last sign of life"`
	Version      int64                `json:"version" doc:"of this record: its ETag" example:"3"`
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
	Name   *string            `json:"name,omitempty" doc:"as in a host name" example:"rack1-7"`
	Owner  *string            `json:"owner,omitempty" doc:"who it is for" example:"ana"`
	Note   *string            `json:"note,omitempty" doc:"anything others should know"`
	Tags   *[]string          `json:"tags,omitempty" doc:"instead of those there are" example:"[\"gpu\"]"`
	Labels map[string]*string `json:"labels,omitempty" doc:"one by one; null takes a label away" example:"{\"rack\":\"a1\"}"`
	OS     *string            `json:"assigned_os,omitempty" doc:"such as debian-12, which a deployment takes that names no other; empty for none"`

	AddTags    []string `json:"add_tags,omitempty" doc:"to those there are"`
	RemoveTags []string `json:"remove_tags,omitempty" doc:"from those there are"`
}

func (p PatchRequest) patch() registry.Patch {
	return registry.Patch{Name: p.Name, Owner: p.Owner, Note: p.Note, Tags: p.Tags, Labels: p.Labels, OS: p.OS,
		AddTags: p.AddTags, RemoveTags: p.RemoveTags}
}

// Event is an event on the wire; its number is the id of the server-sent event.
type Event struct {
	ID      int64         `json:"id" doc:"counted up by one" example:"1042"`
	At      time.Time     `json:"at"`
	Kind    registry.Kind `json:"kind" example:"machine.registered"`
	Machine string        `json:"machine,omitempty" doc:"ID of the machine it is about" example:"m-7f3a9c2e1b4d"`
	MAC     registry.MAC  `json:"mac,omitzero" example:"52:54:00:12:34:56"`
	Message string        `json:"message" example:"registered for the first time"`
}

// machineOf is the wire form of m. Lists leave the hardware out.
func machineOf(m registry.Machine, now time.Time, withHardware bool) Machine {
	system := m.Hardware.System
	out := Machine{
		ID: m.ID, Name: m.Name, State: m.State, Reason: m.Reason, Online: m.Online(now),
		Vendor: system.Vendor, Model: system.Product, Serial: system.Serial,
		Owner: m.Owner, Note: m.Note, Tags: m.Tags, Labels: m.Labels, OS: m.OS, Lock: m.Lock, Deployment: m.Deployment, BootNext: m.BootNext,
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
