package dhcp

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"dragonfly/registry"
)

// Watch keeps which other DHCP servers there are on a network, as far as can be heard
// without asking: by their answers that are broadcast, and by the REQUEST in which a
// client tells everybody whose offer it takes (RFC 2131 section 4.3.2). It is safe for
// concurrent use, and bounded whatever is on the wire. The zero value is ready.
type Watch struct {
	mu      sync.Mutex
	servers map[netip.Addr]*Neighbour
	beyond  uint64
	swept   time.Time // when room was looked for last
}

// Neighbour is another server.
type Neighbour struct {
	Addr        netip.Addr
	First, Last time.Time    // when it was heard of
	Answers     uint64       // that were heard
	Chosen      uint64       // how often a client said that it takes its offer
	Gives       bool         // it gives out addresses
	Boots       bool         // it answers network boots
	File        string       // the boot file that it named last
	Client      registry.MAC // whom it answered last
	Silent      bool         // it has not answered when all were asked last
}

const (
	maxNeighbours  = 32             // servers kept; no network has so many
	neighboursFor  = 24 * time.Hour // how long one is kept that is not heard of any more
	neighbourRoom  = time.Hour      // one that was heard of since makes no room for another
	neighbourFresh = time.Hour      // how long one counts as there
	neighbourSweep = time.Minute    // how often room is looked for
)

// Fresh reports whether the server is likely there now.
func (n Neighbour) Fresh(now time.Time) bool {
	return !n.Silent && now.Sub(n.Last) < neighbourFresh
}

// hear takes in an answer that came from an address.
func (w *Watch) hear(h Heard, from netip.Addr, now time.Time) {
	if !isHost(h.Server) {
		h.Server = from
	}
	w.note(h.Server, now, func(n *Neighbour) {
		n.Answers++
		n.Client, n.Silent = h.Client, false
		n.Gives = n.Gives || isHost(h.Gives)
		if h.Boots {
			n.Boots, n.File = true, h.File
		}
	})
}

// choose takes in that a client takes the offer of a server.
func (w *Watch) choose(server netip.Addr, client registry.MAC, now time.Time) {
	w.note(server, now, func(n *Neighbour) {
		n.Chosen++
		n.Client, n.Gives, n.Silent = client, true, false
	})
}

func (w *Watch) note(server netip.Addr, now time.Time, change func(*Neighbour)) {
	if !isHost(server) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.servers[server]
	if n == nil {
		if !w.room(now) {
			w.beyond++
			return
		}
		n = &Neighbour{Addr: server, First: now}
		w.servers[server] = n
	}
	n.Last = now
	change(n)
}

// room makes room for one more server, where that can be had.
func (w *Watch) room(now time.Time) bool {
	if w.servers == nil {
		w.servers = map[netip.Addr]*Neighbour{}
	}
	if len(w.servers) < maxNeighbours {
		return true
	}
	if now.Sub(w.swept).Abs() < neighbourSweep {
		return false
	}
	w.swept = now
	for addr, n := range w.servers {
		if now.Sub(n.Last) > neighbourRoom {
			delete(w.servers, addr)
		}
	}
	return len(w.servers) < maxNeighbours
}

// Neighbours are the servers that were heard of in the last day, by their addresses.
// beyond is how often one more was heard of than is kept: somebody invents them.
func (w *Watch) Neighbours(now time.Time) (all []Neighbour, beyond uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.servers {
		if now.Sub(n.Last) < neighboursFor {
			all = append(all, *n)
		}
	}
	slices.SortFunc(all, func(a, b Neighbour) int { return a.Addr.Compare(b.Addr) })
	return all, w.beyond
}

// asked marks those that have not been heard of since all were asked.
func (w *Watch) asked(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.servers {
		n.Silent = n.Last.Before(at)
	}
}

// isHost reports whether one host can have the address.
func isHost(a netip.Addr) bool {
	return a.Is4() && canRelay(a) && !a.IsUnspecified() && !a.IsLoopback()
}
