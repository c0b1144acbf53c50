package registry

import (
	"strings"
	"time"
)

// Filter selects machines: one matches when every term does. The empty filter
// matches all. Text is compared without regard to ASCII case.
type Filter []Term

// Term is one condition of a [Filter].
type Term struct {
	Field  Field
	Key    string // of the label, where Field is [FieldLabel]
	Part   bool   // a value need only be contained
	Not    bool   // the term is turned round
	Values []string
}

// Field is what a [Term] looks at.
type Field string

// The fields of a machine that can be searched. A machine may have several
// addresses and tags; one that matches is enough.
const (
	// FieldAny is the field of a bare word: it is contained in the name, a
	// hardware address, the serial number, the IP address, the model, a tag or
	// the BMC's address. It is always a Part.
	FieldAny    Field = ""
	FieldID     Field = "id"
	FieldName   Field = "name"
	FieldState  Field = "state"
	FieldMAC    Field = "mac"
	FieldSerial Field = "serial"
	FieldUUID   Field = "uuid"
	FieldVendor Field = "vendor"
	FieldModel  Field = "model" // System.Product
	FieldArch   Field = "arch"
	FieldHost   Field = "host"
	FieldIP     Field = "ip"
	FieldBMC    Field = "bmc" // its address
	FieldTag    Field = "tag"
	FieldLabel  Field = "label"
	FieldOwner  Field = "owner"
	FieldOS     Field = "os"     // assigned to it
	FieldOnline Field = "online" // yes or no
	FieldLocked Field = "locked" // yes or no
)

// Fields lists every field that has a name.
func Fields() []Field {
	return []Field{FieldID, FieldName, FieldState, FieldMAC, FieldSerial, FieldUUID, FieldVendor, FieldModel, FieldArch,
		FieldHost, FieldIP, FieldBMC, FieldTag, FieldLabel, FieldOwner, FieldOS, FieldOnline, FieldLocked}
}

// Match reports whether m matches at the time now. A store must agree with it.
func (f Filter) Match(m Machine, now time.Time) bool {
	for _, t := range f {
		if t.match(m, now) == t.Not {
			return false
		}
	}
	return true
}

func (t Term) match(m Machine, now time.Time) bool {
	for _, have := range t.texts(m, now) {
		have = Fold(have)
		for _, want := range t.Values {
			want = Fold(want)
			if have == want || t.Part && strings.Contains(have, want) {
				return true
			}
		}
	}
	return false
}

// texts is what the term looks at in m.
func (t Term) texts(m Machine, now time.Time) []string {
	system := m.Hardware.System
	switch t.Field {
	case FieldAny:
		return append(append(m.macTexts(), m.Tags...), m.Name, system.Serial, m.addressText(), system.Product, m.bmcText())
	case FieldID:
		return []string{m.ID}
	case FieldName:
		return []string{m.Name}
	case FieldState:
		return []string{string(m.State)}
	case FieldMAC:
		return m.macTexts()
	case FieldSerial:
		return []string{system.Serial}
	case FieldUUID:
		return []string{system.UUID}
	case FieldVendor:
		return []string{system.Vendor}
	case FieldModel:
		return []string{system.Product}
	case FieldArch:
		return []string{m.Hardware.CPU.Arch}
	case FieldHost:
		return []string{m.Hostname}
	case FieldIP:
		return []string{m.addressText()}
	case FieldBMC:
		return []string{m.bmcText()}
	case FieldTag:
		return m.Tags
	case FieldLabel:
		if value, ok := m.Labels[t.Key]; ok {
			return []string{value}
		}
	case FieldOwner:
		return []string{m.Owner}
	case FieldOS:
		return []string{m.OS}
	case FieldOnline:
		return []string{yesNo(m.Online(now))}
	case FieldLocked:
		return []string{yesNo(m.Lock != nil)}
	}
	return nil
}

func (m Machine) macTexts() []string {
	texts := make([]string, 0, len(m.MACs))
	for _, mac := range m.MACs {
		texts = append(texts, mac.String())
	}
	return texts
}

func (m Machine) addressText() string {
	if !m.Address.IsValid() {
		return ""
	}
	return m.Address.String()
}

func (m Machine) bmcText() string {
	if m.Hardware.BMC == nil || !m.Hardware.BMC.Address.IsValid() {
		return ""
	}
	return m.Hardware.BMC.Address.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Fold is s as filters compare it: A to Z in lower case and all else as it is,
// which is what lower() of SQLite does.
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
