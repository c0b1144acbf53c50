package registry

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Listed is what a list says of one machine, which nobody may have seen yet: what
// it is recognised by, and what operators say of it. What is empty, or nil, is not
// said: that stays as it is stored.
type Listed struct {
	Name   string `json:"name,omitempty" maxLength:"63" doc:"generated for a new machine without one" example:"rack1-7"`
	MACs   []MAC  `json:"macs,omitempty" doc:"added to those that are known"`
	Serial string `json:"serial,omitempty" maxLength:"256"`
	UUID   string `json:"uuid,omitempty" maxLength:"256" doc:"SMBIOS UUID"`
	Vendor string `json:"vendor,omitempty" maxLength:"256" doc:"until the machine reports it itself"`
	Model  string `json:"model,omitempty" maxLength:"256" doc:"until the machine reports it itself"`

	Owner     *string            `json:"owner,omitempty"`
	Note      *string            `json:"note,omitempty"`
	Tags      []string           `json:"tags,omitzero" doc:"instead of those there are"`
	Labels    map[string]string  `json:"labels,omitzero" doc:"instead of those there are"`
	SetLabels map[string]*string `json:"set_labels,omitempty" doc:"one by one; null takes a label away"`
	OS        *string            `json:"assigned_os,omitempty" doc:"such as debian-12; nothing is installed by it"`
	Lock      *ListedLock        `json:"lock,omitempty" doc:"locks the machine; no list takes a lock away"`
	Retired   *bool              `json:"retired,omitempty" doc:"true takes the machine out of use, false brings it back"`
}

// ListedLock is a [Lock] of a list. Who it is by, and when, is whoever brings the
// list, now, where it does not say.
type ListedLock struct {
	By   string    `json:"by,omitempty" maxLength:"256"`
	Note string    `json:"note,omitempty" maxLength:"256"`
	At   time.Time `json:"at,omitzero"`
}

// Listed is what a list says that knows all of m that it can: what it is recognised
// by, and what operators say of it.
func (m Machine) Listed() Listed {
	system := m.Hardware.System
	l := Listed{Name: m.Name, MACs: m.MACs, Serial: system.Serial, UUID: system.UUID, Vendor: system.Vendor, Model: system.Product}
	for _, said := range []struct {
		to   **string
		text string
	}{{&l.Owner, m.Owner}, {&l.Note, m.Note}, {&l.OS, m.OS}} {
		if said.text != "" {
			*said.to = &said.text
		}
	}
	if len(m.Tags) > 0 {
		l.Tags = m.Tags
	}
	if len(m.Labels) > 0 {
		l.Labels = m.Labels
	}
	if m.Lock != nil {
		l.Lock = &ListedLock{By: m.Lock.By, Note: m.Lock.Note, At: m.Lock.At.UTC()}
	}
	if retired := m.State == Retired; retired {
		l.Retired = &retired
	}
	return l.normalise()
}

// exactly is l where what it does not say is said to be empty, but for a lock.
func (l Listed) exactly() Listed {
	for _, said := range []**string{&l.Owner, &l.Note, &l.OS} {
		if *said == nil {
			*said = new(string)
		}
	}
	if l.Tags == nil {
		l.Tags = []string{}
	}
	if l.Labels == nil {
		l.Labels = map[string]string{}
	}
	if l.Retired == nil {
		l.Retired = new(bool)
	}
	return l
}

// rounded is how a spreadsheet shows a long number, whose last digits are lost.
var rounded = regexp.MustCompile(`^[0-9]+([.,][0-9]+)?[eE]\+[0-9]+$`)

// readable errs where the serial number is one that a spreadsheet has spoilt. One
// that the machine has reported is what it is.
func (l Listed) readable(m Machine) error {
	if !rounded.MatchString(l.Serial) || l.Serial == m.Hardware.System.Serial {
		return nil
	}
	return &InvalidError{Fields: []FieldError{{"/serial", fmt.Sprintf("%q is what a spreadsheet makes of a long number, and its last digits are lost: "+
		"make the column text, and enter it again", l.Serial)}}}
}

// Validate reports everything that is wrong with l as an [*InvalidError].
func (l Listed) Validate() error {
	v := validator{}
	if err, ok := l.patch().Validate().(*InvalidError); ok {
		v.fields = err.Fields
	}
	if l.Name == "" && len(l.MACs) == 0 && l.Serial == "" && l.UUID == "" {
		v.add("", "nothing says which machine it is: want a name, macs, a serial or a uuid")
	}
	if len(l.MACs) > maxMachineMACs {
		v.add("/macs", fmt.Sprintf("%d addresses; at most %d", len(l.MACs), maxMachineMACs))
	}
	for i, mac := range l.MACs {
		if !mac.Unicast() {
			v.add(fmt.Sprintf("/macs/%d", i), "want a unicast address")
		}
	}
	for _, f := range []struct{ pointer, text string }{{"/serial", l.Serial}, {"/uuid", l.UUID}, {"/vendor", l.Vendor}, {"/model", l.Model}} {
		v.text(f.pointer, f.text)
	}
	if len(l.Labels) > maxLabels {
		v.add("/labels", fmt.Sprintf("%d labels; at most %d", len(l.Labels), maxLabels))
	}
	for _, key := range slices.Sorted(maps.Keys(l.Labels)) {
		value := l.Labels[key]
		v.label("/labels", key, &value)
	}
	for _, key := range slices.Sorted(maps.Keys(l.SetLabels)) {
		v.label("/set_labels", key, l.SetLabels[key])
	}
	if l.Lock != nil {
		v.text("/lock/by", l.Lock.By)
		v.text("/lock/note", l.Lock.Note)
	}
	return v.err()
}

// patch is what l says of a machine that a [Patch] can say too.
func (l Listed) patch() Patch {
	p := Patch{Owner: l.Owner, Note: l.Note, OS: l.OS}
	if l.Name != "" {
		p.Name = &l.Name
	}
	if l.Tags != nil {
		p.Tags = &l.Tags
	}
	return p
}

// normalise puts l into the form that registrations are stored in, so that they
// are compared alike.
func (l Listed) normalise() Listed {
	l.Serial, l.Vendor, l.Model = strings.TrimSpace(l.Serial), strings.TrimSpace(l.Vendor), strings.TrimSpace(l.Model)
	l.UUID = strings.ToLower(strings.Trim(strings.TrimSpace(l.UUID), "{}"))
	if len(l.UUID) == 32 && !strings.Contains(l.UUID, "-") {
		u := l.UUID
		l.UUID = strings.Join([]string{u[:8], u[8:12], u[12:16], u[16:20], u[20:]}, "-")
	}
	var macs []MAC
	for _, mac := range l.MACs {
		if !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	l.MACs = macs
	return l
}

// system is what l says of the machine itself.
func (l Listed) system() System {
	return System{Vendor: l.Vendor, Product: l.Model, Serial: l.Serial, UUID: l.UUID}
}

// Twice is two entries of a list that are about one machine.
type Twice struct {
	First, Second int    // where they stand in the list
	What          string // they both have, such as "the serial number SN-7"
}

// FindTwice lists the entries that have what an entry before them has, and no two
// machines can have.
func FindTwice(list []Listed) (found []Twice) {
	first := map[string]int{}
	for i, l := range list {
		l = l.normalise()
		claims := l.claims()
		taken := slices.IndexFunc(claims, func(what string) bool {
			at, taken := first[what]
			return taken && !(what == l.serialClaim() && otherMaker(l, list[at])) && !(l.isMark(what) && toldApart(l, list[at]))
		})
		if taken >= 0 {
			found = append(found, Twice{first[claims[taken]], i, claims[taken]})
			continue
		}
		for _, what := range claims {
			first[what] = i
		}
	}
	return found
}

// otherMaker reports whether two machines may have one serial number, since they
// are not of one maker.
func otherMaker(a, b Listed) bool {
	a, b = a.normalise(), b.normalise()
	return a.Vendor != "" && b.Vendor != "" && !strings.EqualFold(a.Vendor, b.Vendor)
}

// toldApart reports whether a and b say enough to be two machines although they have
// one serial number or UUID, as blades that carry the one of their chassis: each has
// addresses, and none is that of both.
func toldApart(a, b Listed) bool {
	return len(a.MACs) > 0 && len(b.MACs) > 0 && !sharesMAC(a.MACs, b.MACs)
}

func (l Listed) isMark(what string) bool { return what == l.serialClaim() || what == l.uuidClaim() }

func (l Listed) serialClaim() string { return "the serial number " + l.Serial }

func (l Listed) uuidClaim() string { return "the UUID " + l.UUID }

// claims is what only one machine can have, in words.
func (l Listed) claims() (all []string) {
	if l.Name != "" {
		all = append(all, "the name "+l.Name)
	}
	for _, mac := range l.MACs {
		all = append(all, "the hardware address "+mac.String())
	}
	if usableSerial(l.Serial) {
		all = append(all, l.serialClaim())
	}
	if usableUUID(l.UUID) {
		all = append(all, l.uuidClaim())
	}
	return all
}
