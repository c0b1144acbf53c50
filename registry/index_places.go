package registry

import "iter"

// place is where a machine is kept; 0 is nowhere.
type place int32

// places keeps machines, each in a place of its own until it is taken out.
type places struct {
	all   []indexed // the first is none
	spare []place
}

func (p *places) put(m indexed) place {
	if n := len(p.spare); n > 0 {
		at := p.spare[n-1]
		p.spare = p.spare[:n-1]
		p.all[at] = m
		return at
	}
	if len(p.all) == 0 {
		p.all = make([]indexed, 1)
	}
	p.all = append(p.all, m)
	return place(len(p.all) - 1)
}

func (p *places) take(at place) (m indexed) {
	m, p.all[at] = p.all[at], indexed{}
	p.spare = append(p.spare, at)
	return m
}

// at is what is kept in a place; none is nowhere.
func (p *places) at(at place) (m indexed) {
	if int(at) < len(p.all) {
		m = p.all[at]
	}
	return m
}

func (p *places) count() int { return max(0, len(p.all)-1) - len(p.spare) }

// each yields every machine.
func (p *places) each() iter.Seq[*indexed] {
	return func(yield func(*indexed) bool) {
		for i := range p.all {
			if m := &p.all[i]; m.ID != "" && !yield(m) {
				return
			}
		}
	}
}

func (p *places) clear() { p.all, p.spare = nil, nil }
