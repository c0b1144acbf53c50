package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ImportAction is what becomes of one entry of a list.
type ImportAction string

// What can become of an entry.
const (
	ImportCreate ImportAction = "create"    // a machine that is not stored yet
	ImportEdit   ImportAction = "edit"      // one that is
	ImportSame   ImportAction = "unchanged" // all that the list says is stored
	ImportDelete ImportAction = "delete"    // a stored machine that no entry is about
	ImportRefuse ImportAction = "refuse"    // see Err
)

// ImportActions lists what can become of an entry.
func ImportActions() []ImportAction {
	return []ImportAction{ImportCreate, ImportEdit, ImportSame, ImportDelete, ImportRefuse}
}

// ImportStep is what becomes of one entry of a list.
type ImportStep struct {
	Action  ImportAction
	Machine Machine // as it is to be; of one that is refused only ID and Name, where they are known
	Changes []FieldChange
	Err     error // why nothing is done; a [*ListError], or as for an edit

	before Machine   // as it is stored; the zero Machine for a new one
	absorb []Machine // records of addresses that turn out to be this machine's
	round  int       // steps of one round do not wait for one another
}

// FieldChange is one thing that a list changes of a machine.
type FieldChange struct {
	Field  string `json:"field" example:"owner"`
	Before string `json:"before,omitempty" doc:"empty where it was not set"`
	After  string `json:"after,omitempty" doc:"empty where it is taken away"`
}

// ListError is an entry of a list that contradicts the list or what is stored.
type ListError struct{ Reason string }

func (e *ListError) Error() string { return e.Reason }

// Fingerprint names the step by what it does: a step with the same one changes the
// same machine in the same way.
func (s ImportStep) Fingerprint() string {
	text, _ := json.Marshal([]any{s.Action, s.before.ID, s.Changes}) // strings only: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// importPlan is what [planImport] knows, and what it has settled so far.
type importPlan struct {
	now    time.Time
	actor  string
	stored []Machine              // those that have a name, an address, a UUID or a serial number of the list
	taken  func(name string) bool // by a machine that is not among them

	names map[string]string    // the IDs by name, as they are once the steps so far are done
	used  map[string]int       // the entry that is about a stored machine, by its ID
	known map[string][]Machine // those that are stored by name, and by what they are recognised by
}

// planImport says what becomes of each entry of a list.
func planImport(list []Listed, p importPlan) []ImportStep {
	p.names, p.used, p.known = map[string]string{}, map[string]int{}, map[string][]Machine{}
	for _, m := range p.stored {
		p.names[m.Name] = m.ID
		for _, by := range append(recognisedBy(m.Hardware.System, m.MACs), "name "+m.Name) {
			p.known[by] = append(p.known[by], m)
		}
	}
	twice := map[int]Twice{}
	for _, t := range FindTwice(list) {
		twice[t.Second] = t
	}
	steps := make([]ImportStep, len(list))
	var waiting []int
	for i, l := range list {
		err := l.Validate()
		if t, again := twice[i]; again && err == nil {
			err = &ListError{fmt.Sprintf("%s is that of entry %d too", t.What, t.First+1)}
		}
		if err == nil {
			steps[i], err = p.entry(i, l.normalise())
		}
		if err != nil {
			steps[i].refuse(err)
			continue
		}
		waiting = append(waiting, i)
	}
	p.settleNames(steps, waiting)
	for _, i := range waiting {
		steps[i].describe(p.now)
	}
	return steps
}

func (s *ImportStep) refuse(err error) {
	*s = ImportStep{Action: ImportRefuse, Err: err, Machine: Machine{ID: s.before.ID, Name: s.before.Name}}
}

// describe says what the step changes, as it is planned at the time now.
func (s *ImportStep) describe(now time.Time) {
	if s.Err != nil {
		return
	}
	s.Changes = changesOf(s.before, s.Machine, s.absorb, now)
	switch {
	case s.before.Version == 0:
		s.Action = ImportCreate
	case len(s.Changes) > 0:
		s.Action = ImportEdit
	default:
		s.Action = ImportSame
	}
}

// settleNames gives the machines their names, in rounds: a name that one of them
// gives up is free for those of the next round.
func (p *importPlan) settleNames(steps []ImportStep, waiting []int) {
	for round := 0; len(waiting) > 0; round++ {
		pending := map[string]bool{}
		for _, i := range waiting {
			pending[steps[i].before.ID] = true
		}
		var given, rest []int
		for _, i := range waiting {
			m := &steps[i].Machine
			if m.Name == "" {
				m.Name = p.freeName(*m)
			}
			switch holder := p.names[m.Name]; {
			case holder == "" || holder == m.ID:
				p.names[m.Name], steps[i].round = m.ID, round
				given = append(given, i)
			case pending[holder]:
				rest = append(rest, i)
			default:
				steps[i].refuse(&ListError{"the name " + m.Name + " is that of another machine, " + holder})
			}
		}
		if len(rest) == len(waiting) {
			for _, i := range rest {
				steps[i].refuse(&ListError{"the name " + steps[i].Machine.Name + " is that of a machine which the list renames, round in a circle: rename one of them before"})
			}
			return
		}
		for _, i := range given {
			if was := steps[i].before.Name; was != steps[i].Machine.Name {
				delete(p.names, was)
			}
		}
		waiting = rest
	}
}

// freeName is a generated name for m.
func (p *importPlan) freeName(m Machine) string {
	for attempt := 0; ; attempt++ {
		name := Name(seedOf(m), attempt)
		if p.names[name] == "" && !p.taken(name) {
			return name
		}
	}
}

// entry is what becomes of entry i, before names are settled.
func (p *importPlan) entry(i int, l Listed) (ImportStep, error) {
	match, absorb, err := p.recognise(l)
	if err != nil {
		return ImportStep{before: match}, err
	}
	if at, again := p.used[match.ID]; again {
		return ImportStep{before: match}, &ListError{fmt.Sprintf("it is %s, and so is entry %d", match.Name, at+1)}
	}
	step := ImportStep{before: match, absorb: absorb, Machine: match}
	if match.ID == "" {
		if !usableUUID(l.UUID) && !usableSerial(l.Serial) && len(l.MACs) == 0 {
			return ImportStep{}, &ListError{"there is no such machine yet, and nothing to recognise it by when it comes: want macs, a serial or a uuid"}
		}
		step.Machine = Machine{ID: newID(), State: Discovered, CreatedAt: p.now}
	} else {
		p.used[match.ID] = i
	}
	for _, m := range absorb {
		p.used[m.ID] = i
	}
	if err = l.readable(match); err == nil {
		err = p.apply(&step, l)
	}
	return step, err
}

// recognise picks the stored machine that l is about, none where it is new, and
// the records of addresses that are its own. It errs where that is more than one.
func (p *importPlan) recognise(l Listed) (match Machine, absorb []Machine, err error) {
	var hits []Machine
	for _, by := range recognisedBy(l.system(), l.MACs) {
		for _, m := range p.known[by] {
			if !slices.ContainsFunc(hits, func(hit Machine) bool { return hit.ID == m.ID }) {
				hits = append(hits, m)
			}
		}
	}
	if l.Vendor != "" && len(hits) > 1 { // serial numbers are those of a maker
		hits = slices.DeleteFunc(hits, func(m Machine) bool {
			return !sameUUID(l.system(), m.Hardware.System) && !sharesMAC(l.MACs, m.MACs) && !sameSerial(l.system(), m.Hardware.System)
		})
	}
	hits = withoutTwins(l, hits)
	slices.SortStableFunc(hits, func(a, b Machine) int { return cmp.Compare(strangeness(a), strangeness(b)) })
	for _, m := range hits[min(len(hits), 1):] {
		if !m.stranger() {
			return Machine{}, nil, &ListError{fmt.Sprintf("what it says is true of %s and of %s in part: they are two machines, or one of them is to be merged or deleted before", hits[0].Name, m.Name)}
		}
		absorb = append(absorb, m)
	}
	if len(hits) == 0 {
		hits = p.known["name "+l.Name]
	}
	if len(hits) == 0 {
		return Machine{}, nil, nil
	}
	return hits[0], absorb, contradiction(l, hits[0])
}

// withoutTwins leaves out machines that share no more with l than a serial number or
// UUID, where another one has that and an address of l: see [toldApart].
func withoutTwins(l Listed, hits []Machine) []Machine {
	says := l.system()
	whole := slices.ContainsFunc(hits, func(m Machine) bool {
		is := m.Hardware.System
		return sharesMAC(l.MACs, m.MACs) && (says.Serial == "" || says.Serial == is.Serial) && (says.UUID == "" || strings.EqualFold(says.UUID, is.UUID))
	})
	if !whole {
		return hits
	}
	return slices.DeleteFunc(hits, func(m Machine) bool { return !sharesMAC(l.MACs, m.MACs) })
}

// recognisedBy is what a machine is recognised by, as keys.
func recognisedBy(s System, macs []MAC) []string {
	keys := marks(s)
	for _, mac := range macs {
		keys = append(keys, "mac "+mac.String())
	}
	return keys
}

func strangeness(m Machine) int {
	if m.stranger() {
		return 1
	}
	return 0
}

// contradiction is an error where l and a machine that has reported itself cannot
// both be right about what it is. What tells machines apart best decides: with the
// same UUID or serial number the rest may have been swapped since.
func contradiction(l Listed, m Machine) error {
	says, is := l.system(), m.Hardware.System
	if m.RegisteredAt.IsZero() || sameUUID(says, is) || usableSerial(says.Serial) && says.Serial == is.Serial {
		return nil
	}
	for _, c := range []struct {
		what, says, is string
		usable         func(string) bool
	}{{"serial number", says.Serial, is.Serial, usableSerial}, {"UUID", says.UUID, is.UUID, usableUUID}} {
		if c.usable(c.says) && c.usable(c.is) {
			return &ListError{fmt.Sprintf("%s has reported the %s %s, and the list says %s", m.Name, c.what, c.is, c.says)}
		}
	}
	return nil
}
