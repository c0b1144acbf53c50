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
	Probed                     // a server of our kind looks for others: see [Server.Probe]
	outcomes
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{Offered, Acked, NotBoot, NotAsked, NotForUs, Unsupported, Malformed, Failed, Probed}
}

// String is the outcome as a metric's label, such as "not_for_us".
func (o Outcome) String() string {
	return [...]string{"offered", "acked", "not_boot", "not_asked", "not_for_us",
		"unsupported", "malformed", "failed", "probed", "unknown"}[min(o, outcomes)]
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

// Judge decides whether and with what req is answered. With any outcome but
// Offered and Acked there is no answer, and the offer has only the rule that says
// why. It is pure.
func Judge(req *Request, via Service, self netip.Addr, policy boot.Policy) (boot.Offer, Outcome) {
	answer := Offered
	switch {
	case req.Probe:
		return boot.Offer{Rule: "a server of our kind looks for others: left alone"}, Probed
	case via == ProxyDHCP && req.Message == Discover:
	case via == BINL && (req.Message == Ask || req.Message == Inform):
		answer = Acked
	default: // above all a REQUEST on port 67: the server that gives the address answers that
		return boot.Offer{Rule: "a message for the server that gives out addresses: left alone"}, NotAsked
	}
	if req.ServerID.IsValid() && req.ServerID != self {
		return boot.Offer{Rule: "meant for another server (option 54): left alone"}, NotForUs
	}
	offer := boot.Decide(req.Client, policy)
	switch {
	case req.Client.Kind == boot.Other:
		return offer, NotBoot
	case offer.Serve == boot.Nothing:
		return offer, Unsupported
	}
	return offer, answer
}
