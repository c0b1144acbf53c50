package registry

import (
	"hash/maphash"
	"slices"
)

// marked finds machines by their [marks], for an [Index], whose lock guards it. It
// holds a hash of each, since there are two for every machine and a UUID is long:
// whoever looks for one may find another machine beside it, and compares.
type marked struct {
	seed maphash.Seed
	one  map[uint64]place
	more map[uint64][]place // those with a mark that another one has; few machines do
}

// hashes are those of the [marks] of a system, of which there are two at most; 0 stands
// for one that it lacks.
type hashes [2]uint64

func newMarked() marked {
	return marked{maphash.MakeSeed(), map[uint64]place{}, map[uint64][]place{}}
}

func (x *marked) hashes(s System) (all hashes) {
	for i, mark := range marks(s) {
		all[i] = max(1, maphash.String(x.seed, mark))
	}
	return all
}

func (x *marked) add(of hashes, at place) {
	for _, hash := range of {
		switch _, taken := x.one[hash]; {
		case hash == 0:
		case taken:
			x.more[hash] = append(x.more[hash], at)
		default:
			x.one[hash] = at
		}
	}
}

func (x *marked) remove(of hashes, at place) {
	for _, hash := range of {
		others := x.more[hash]
		switch {
		case x.one[hash] != at:
			others = slices.DeleteFunc(others, func(other place) bool { return other == at })
		case len(others) > 0:
			x.one[hash], others = others[0], others[1:]
		default:
			delete(x.one, hash)
		}
		if x.more[hash] = others; len(others) == 0 {
			delete(x.more, hash)
		}
	}
}

// find calls yield with each machine that may have one of the marks of s.
func (x *marked) find(s System, yield func(place)) {
	for _, hash := range x.hashes(s) {
		if at, ok := x.one[hash]; ok {
			yield(at)
		}
		for _, at := range x.more[hash] {
			yield(at)
		}
	}
}

func (x *marked) clear() {
	clear(x.one)
	clear(x.more)
}
