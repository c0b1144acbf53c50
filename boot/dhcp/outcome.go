package dhcp

import (
	"net/netip"
	"sync/atomic"

	"dragonfly/boot"
)

// Outcome is what became of one packet.
type Outcome uint8

// The outcomes.
const (
	Offered     Outcome = iota // an OFFER was sent
	Acked                      // an ACK was sent on port 4011
	NotBoot                    // not a network boot client
	NotAsked                   // a message that is not ours to answer, such as a REQUEST on port 67
	NotForUs                   // meant for another server (option 54)
	Unsupported                // a boot client that [boot.Decide] offers nothing
	Malformed                  // could not be read
	Failed                     // the answer could not be sent, or the socket could not be read
	outcomes
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{Offered, Acked, NotBoot, NotAsked, NotForUs, Unsupported, Malformed, Failed}
}

// String is the outcome as a metric's label, such as "not_for_us".
func (o Outcome) String() string {
	return [...]string{"offered", "acked", "not_boot", "not_asked", "not_for_us",
		"unsupported", "malformed", "failed", "unknown"}[min(o, outcomes)]
}

// Stats counts packets by outcome. It is safe for concurrent use.
type Stats struct{ counts [outcomes]atomic.Uint64 }

// Count is the number of packets with outcome o so far.
func (s *Stats) Count(o Outcome) uint64 { return s.counts[o].Load() }

// Service is the port that a packet came in on.
type Service uint8

// The services.
const (
	ProxyDHCP Service = iota // UDP 67: DISCOVER is answered with an OFFER
	BINL                     // UDP 4011: REQUEST and INFORM are answered with an ACK
)

// Judge decides whether and with what req is answered; an outcome other than
// Offered and Acked means not at all. It is pure.
func Judge(req *Request, via Service, self netip.Addr, policy boot.Policy) (boot.Offer, Outcome) {
	outcome := Offered
	switch {
	case via == ProxyDHCP && req.Message == Discover:
	case via == BINL && (req.Message == Ask || req.Message == Inform):
		outcome = Acked
	default: // above all a REQUEST on port 67: that one is for the server that gives the address
		return boot.Offer{}, NotAsked
	}
	if req.Client.Kind == boot.Other {
		return boot.Offer{}, NotBoot
	}
	if req.ServerID.IsValid() && req.ServerID != self {
		return boot.Offer{}, NotForUs
	}
	offer := boot.Decide(req.Client, policy)
	if offer.Serve == boot.Nothing {
		outcome = Unsupported
	}
	return offer, outcome
}
