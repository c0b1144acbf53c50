package ui

import (
	"maps"
	"slices"
	"time"

	"dragonfly/registry"
)

// counts is the strip above the list.
type counts struct {
	Total, Online int
	ByState       map[registry.State]int
}

func (b *board) counts() counts {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return counts{Total: len(b.facts.byID), Online: b.facts.online, ByState: maps.Clone(b.facts.byState)}
}

// rows are the machines as the list shows them; lively ones flash.
func (b *board) rows(machines []registry.Machine, now time.Time, lively bool) []row {
	b.mu.RLock()
	defer b.mu.RUnlock()
	rows := make([]row, 0, len(machines))
	for _, m := range machines {
		f := b.facts.byID[m.ID]
		r := rowOf(m, f.last, now)
		if w, runs := b.works.now[m.ID]; runs && m.State == registry.Installing {
			r.Work = &w
		}
		switch {
		case lively:
			r.Flash = [...]string{"a", "b"}[f.turns%2]
		case now.Sub(m.CreatedAt) < 3*time.Second:
			r.Flash = "a" // new since the last look at the list
		}
		rows = append(rows, r)
	}
	return rows
}

// place is where a page of the list stands among all machines.
type place struct {
	First, Last, All int // 1-based; First 0 on an empty page
	HasPrevious      bool
	Previous         string            // the name that the page before begins above
	Next             registry.Position // that the next page begins behind; zero on the last one
}

// place finds the page of shown machines that starts above after.
func (b *board) place(after string, shown []registry.Machine) place {
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := b.facts.names
	p := place{All: len(names)}
	before, found := slices.BinarySearch(names, after)
	if found {
		before++
	}
	p.HasPrevious = before > 0
	if before > pageSize {
		p.Previous = names[before-pageSize-1]
	}
	if len(shown) == 0 {
		return p
	}
	p.First, p.Last = before+1, before+len(shown)
	if p.Last < p.All {
		p.Next = registry.Position{Key: shown[len(shown)-1].Name}
	}
	return p
}
