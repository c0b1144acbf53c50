package dhcp

import (
	"slices"
	"sync"
	"time"

	"dragonfly/boot"
	"dragonfly/registry"
)

// Asked is what a client asked last, and what became of it.
type Asked struct {
	At      time.Time
	MAC     registry.MAC
	Kind    boot.Kind
	Arch    boot.Arch
	Via     Service
	Outcome Outcome
	Rule    string // which decided
	Times   int    // that it asked for the same, one after the other
}

// recent is the last requests. Those of boot clients and of all others are apart, so
// that an office full of telephones does not hide the one machine that is to boot. It
// is safe for concurrent use and allocates nothing.
type recent struct {
	mu     sync.Mutex
	boots  [64]Asked
	others [16]Asked
}

func (r *recent) note(a Asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Outcome == NotBoot {
		keep(r.others[:], a)
		return
	}
	keep(r.boots[:], a)
}

// keep replaces what is known of the client, or else the oldest.
func keep(kept []Asked, a Asked) {
	oldest := 0
	for i := range kept {
		k := &kept[i]
		if k.MAC == a.MAC && k.Outcome == a.Outcome && k.Via == a.Via && k.Kind == a.Kind && k.Times > 0 {
			a.Times += k.Times
			*k = a
			return
		}
		if k.At.Before(kept[oldest].At) {
			oldest = i
		}
	}
	kept[oldest] = a
}

// all are the last requests, the newest first.
func (r *recent) all() []Asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.DeleteFunc(slices.Concat(r.boots[:], r.others[:]), func(a Asked) bool { return a.Times == 0 })
	slices.SortStableFunc(all, func(a, b Asked) int { return b.At.Compare(a.At) })
	return all
}
