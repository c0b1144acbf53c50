package dhcp

import (
	"time"

	"dragonfly/boot"
	"dragonfly/registry"
)

// memory is how often machines that asked as iPXE were given a program lately, so
// that a chain that does not move on comes to an end. It is bounded, belongs to
// one goroutine, and may forget: machines that share a slot push each other out,
// and then the worst is one more download.
type memory [256]struct {
	mac   registry.MAC
	xid   uint32
	at    time.Time
	loads int
}

// memoryFor is longer than a machine takes to come round, and shorter than most
// take to be restarted twice.
const memoryFor = 3 * time.Minute

// loads is how often the client of req was given a program before this exchange.
// A packet that is sent again has the same transaction number and counts once.
func (m *memory) loads(req *Request, now time.Time) int {
	slot := &m[req.Client.MAC[5]]
	if slot.mac != req.Client.MAC || now.Sub(slot.at) > memoryFor {
		return 0
	}
	if slot.xid == req.XID {
		return slot.loads - 1
	}
	return slot.loads
}

// note keeps that the client of req was given a program in this exchange.
func (m *memory) note(req *Request, now time.Time) {
	loads := m.loads(req, now) + 1
	slot := &m[req.Client.MAC[5]]
	slot.mac, slot.xid, slot.at, slot.loads = req.Client.MAC, req.XID, now, loads
}

// judge is [Judge] with the memory.
func (m *memory) judge(req *Request, in arrival, s *Server) (boot.Offer, Outcome) {
	if req.Client.Kind != boot.IPXE { // firmware always starts at the beginning
		return Judge(req, in.via, s.Self.Addr, s.Policy)
	}
	now := time.Now()
	req.Client.Loads = m.loads(req, now)
	offer, outcome := Judge(req, in.via, s.Self.Addr, s.Policy)
	if outcome == Offered && offer.Serve == boot.ProgramByTFTP {
		m.note(req, now)
	}
	return offer, outcome
}
