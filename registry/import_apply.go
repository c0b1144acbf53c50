package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// apply makes of the step's machine what l says of it.
func (p *importPlan) apply(step *ImportStep, l Listed) error {
	m := &step.Machine
	m.MACs = mergeMACs(m.MACs, l.MACs)
	for _, absorbed := range step.absorb {
		m.MACs = mergeMACs(m.MACs, absorbed.MACs)
	}
	if m.RegisteredAt.IsZero() { // later it is what the machine itself says
		m.Hardware.System = l.over(m.Hardware.System)
	}
	l.patch().apply(m)
	l.label(m)
	if l.Lock != nil {
		if err := p.lock(m, *l.Lock); err != nil {
			return err
		}
	}
	if l.Retired != nil {
		if err := retire(m, *l.Retired); err != nil {
			return err
		}
	}
	return within(*m, l)
}

// over is s with what l says of it.
func (l Listed) over(s System) System {
	s.Vendor, s.Product = cmp.Or(l.Vendor, s.Vendor), cmp.Or(l.Model, s.Product)
	s.Serial, s.UUID = cmp.Or(l.Serial, s.Serial), cmp.Or(l.UUID, s.UUID)
	return s
}

// label changes the labels of m.
func (l Listed) label(m *Machine) {
	if l.Labels != nil {
		m.Labels = maps.Clone(l.Labels)
	}
	Patch{Labels: l.SetLabels}.apply(m)
	if len(m.Labels) == 0 {
		m.Labels = nil
	}
}

// lock locks m as a list says. The lock of somebody else stays theirs.
func (p *importPlan) lock(m *Machine, l ListedLock) error {
	want := Lock{By: cmp.Or(l.By, p.actor), Note: l.Note, At: l.At.UTC().Truncate(time.Millisecond)}
	if l.At.IsZero() {
		want.At = p.now.UTC().Truncate(time.Millisecond)
		if m.Lock != nil && m.Lock.By == want.By && m.Lock.Note == want.Note {
			return nil
		}
	}
	if m.Lock != nil && m.Lock.By != want.By {
		return &LockedError{By: m.Lock.By, Note: m.Lock.Note}
	}
	m.Lock = &want
	return nil
}

// retire takes m out of use, or brings it back, where it is not as it should be.
func retire(m *Machine, retired bool) error {
	switch {
	case retired == (m.State == Retired):
		return nil
	case m.Version == 0: // it is taken in as it is
		m.State = Retired
		return nil
	}
	cause := CauseRestore
	if retired {
		cause = CauseRetire
	}
	if err := m.unlocked(); err != nil {
		return err
	}
	next, err := m.State.Step(cause)
	if err != nil {
		return err
	}
	if m.State, m.Pending = next, ""; m.State == Ready && m.RegisteredAt.IsZero() {
		m.State = Discovered // it has not come yet
	}
	return nil
}

// within errs where m has more than a machine may have.
func within(m Machine, l Listed) error {
	for _, c := range []struct {
		pointer   string
		have, max int
	}{{"tags", len(m.Tags), maxTags}, {"labels", len(m.Labels), maxLabels}} {
		if c.have > c.max {
			return &InvalidError{Fields: []FieldError{{"/" + c.pointer, fmt.Sprintf("the machine would have %d %s; at most %d", c.have, c.pointer, c.max)}}}
		}
	}
	for _, mac := range l.MACs {
		if !slices.Contains(m.MACs, mac) {
			return &InvalidError{Fields: []FieldError{{"/macs", fmt.Sprintf("the machine would have more than %d hardware addresses", maxMachineMACs)}}}
		}
	}
	return nil
}

// changesOf is what a list changes of a machine at the time now, in the order in
// which a list has it.
func changesOf(before, after Machine, absorbed []Machine, now time.Time) []FieldChange {
	was, is := before.Hardware.System, after.Hardware.System
	all := []FieldChange{
		{"name", before.Name, after.Name},
		{"macs", macList(before.MACs), macList(after.MACs)},
		{"serial", was.Serial, is.Serial}, {"uuid", was.UUID, is.UUID},
		{"vendor", was.Vendor, is.Vendor}, {"model", was.Product, is.Product},
		{"owner", before.Owner, after.Owner}, {"note", before.Note, after.Note},
		{"tags", strings.Join(before.Tags, " "), strings.Join(after.Tags, " ")},
	}
	keys := maps.Clone(before.Labels)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, after.Labels)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, FieldChange{"label." + key, labelText(before, key), labelText(after, key)})
	}
	all = append(all, FieldChange{"assigned_os", before.OS, after.OS}, FieldChange{"lock", lockText(before, now), lockText(after, now)})
	if (before.State == Retired) != (after.State == Retired) {
		all = append(all, FieldChange{"state", string(before.State), string(after.State)})
	}
	for _, m := range absorbed {
		all = append(all, FieldChange{"record", m.Name, ""})
	}
	return slices.DeleteFunc(all, func(c FieldChange) bool { return c.Before == c.After })
}

func macList(macs []MAC) string {
	words := make([]string, 0, len(macs))
	for _, mac := range macs {
		words = append(words, mac.String())
	}
	return strings.Join(words, " ")
}

// labelText is a label in quotes, where it is set: it may be empty.
func labelText(m Machine, key string) string {
	if value, ok := m.Labels[key]; ok {
		return fmt.Sprintf("%q", value)
	}
	return ""
}

// lockText is a lock in words. One that is taken now is the same a moment later,
// when what was planned is done.
func lockText(m Machine, now time.Time) string {
	if m.Lock == nil {
		return ""
	}
	text := "by " + m.Lock.By
	if m.Lock.At.Before(now.Truncate(time.Millisecond)) {
		text += " since " + m.Lock.At.UTC().Format(time.RFC3339Nano)
	}
	if m.Lock.Note != "" {
		text += ": " + m.Lock.Note
	}
	return text
}
