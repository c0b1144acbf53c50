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
	one  map[uint64]*indexed
	more map[uint64][]*indexed // those with a mark that another one has; few machines do
}

func newMarked() marked {
	return marked{maphash.MakeSeed(), map[uint64]*indexed{}, map[uint64][]*indexed{}}
}

func (x *marked) hash(mark string) uint64 { return maphash.String(x.seed, mark) }

func (x *marked) hashes(s System) (all []uint64) {
	for _, mark := range marks(s) {
		all = append(all, x.hash(mark))
	}
	return all
}

func (x *marked) add(m *indexed) {
	for _, hash := range m.marks {
		if x.one[hash] == nil {
			x.one[hash] = m
		} else {
			x.more[hash] = append(x.more[hash], m)
		}
	}
}

func (x *marked) remove(m *indexed) {
	for _, hash := range m.marks {
		others := x.more[hash]
		switch {
		case x.one[hash] != m:
			others = slices.DeleteFunc(others, func(other *indexed) bool { return other == m })
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
func (x *marked) find(s System, yield func(*indexed)) {
	for _, hash := range x.hashes(s) {
		if m := x.one[hash]; m != nil {
			yield(m)
		}
		for _, m := range x.more[hash] {
			yield(m)
		}
	}
}

func (x *marked) clear() {
	clear(x.one)
	clear(x.more)
}
