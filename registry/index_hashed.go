package registry

import (
	"hash/maphash"
	"iter"
	"slices"
)

// hashed finds machines by texts, for an [Index], whose lock guards it. It holds a hash
// of each and not the text, which would be one more pointer to follow: whoever looks for
// one may find another machine beside it, and compares.
type hashed struct {
	seed maphash.Seed
	one  map[uint64]place
	more map[uint64][]place // those with a hash that another one has; few machines do
}

func newHashed() hashed {
	return hashed{maphash.MakeSeed(), map[uint64]place{}, map[uint64][]place{}}
}

// of is the hash of a text, which is never 0.
func (x *hashed) of(text string) uint64 { return max(1, maphash.String(x.seed, text)) }

func (x *hashed) add(hash uint64, at place) {
	if _, taken := x.one[hash]; taken {
		x.more[hash] = append(x.more[hash], at)
	} else {
		x.one[hash] = at
	}
}

// remove takes out what was added; nothing where it was not.
func (x *hashed) remove(hash uint64, at place) {
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

// find yields each machine that may have a text with this hash.
func (x *hashed) find(hash uint64) iter.Seq[place] {
	return func(yield func(place) bool) {
		if at, ok := x.one[hash]; !ok || !yield(at) {
			return
		}
		for _, at := range x.more[hash] {
			if !yield(at) {
				return
			}
		}
	}
}

func (x *hashed) clear() {
	clear(x.one)
	clear(x.more)
}
