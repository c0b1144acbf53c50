package registry

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a registration. The largest machines known have a few hundred
// disks and a few dozen ports; a string is an SMBIOS string with room to spare.
const (
	maxList   = 512
	maxMACs   = 256
	maxString = 256
	maxBytes  = 1 << 60
	maxErrors = 10 // reported at once
)

// Validate reports everything that is wrong with reg as an [*InvalidError]. What
// an agent sends is shown to operators and kept for ever, so text is plain: no
// control characters, no markup.
func (reg Registration) Validate() error {
	v := validator{}
	if !reg.MAC.Unicast() {
		v.add("/mac", "want the unicast address the machine booted from")
	}
	if len(reg.MACs) > maxMACs {
		v.add("/macs", fmt.Sprintf("%d addresses; at most %d", len(reg.MACs), maxMACs))
	}
	for i, mac := range reg.MACs {
		if !mac.Unicast() {
			v.add(fmt.Sprintf("/macs/%d", i), "want a unicast address")
		}
	}
	v.text("/hostname", reg.Hostname)
	if hardware := reflect.ValueOf(reg.Hardware); !sound(hardware) {
		v.walk("/hardware", hardware)
	}
	return v.err()
}

// The bounds of what operators say of a machine.
const (
	maxNote   = 4096
	maxTags   = 64
	maxLabels = 64
)

var (
	// machineName is a host name's label (RFC 1123 section 2.1), since installed
	// systems are called by it.
	machineName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	labelKey    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$`)
)

// validName reports whether a machine may be called that; "m-" begins an ID.
func validName(name string) bool {
	return machineName.MatchString(name) && !strings.HasPrefix(name, "m-")
}

// Validate reports everything that is wrong with p as an [*InvalidError].
func (p Patch) Validate() error {
	v := validator{}
	if p.Name != nil && !validName(*p.Name) {
		v.add("/name", `want lower-case letters, digits and dashes, at most 63, as in a host name, and not "m-" at the start`)
	}
	if p.Owner != nil {
		v.text("/owner", *p.Owner)
	}
	if p.Note != nil && (len(*p.Note) > maxNote || !utf8.ValidString(*p.Note) || strings.ContainsFunc(*p.Note, func(r rune) bool { return isHidden(r) && r != '\n' && r != '\t' })) {
		v.add("/note", fmt.Sprintf("want plain text of at most %d bytes", maxNote))
	}
	if p.Tags != nil {
		v.tags("/tags", *p.Tags)
	}
	v.tags("/add_tags", p.AddTags)
	v.tags("/remove_tags", p.RemoveTags)
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		v.label("/labels", key, p.Labels[key])
	}
	if p.OS != nil {
		v.os("/assigned_os", *p.OS)
	}
	return v.err()
}

// token is key as a part of a JSON pointer (RFC 6901 section 3).
func token(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

func (v *validator) tags(pointer string, tags []string) {
	if len(tags) > maxTags {
		v.add(pointer, fmt.Sprintf("%d tags; at most %d", len(tags), maxTags))
	}
	for i, tag := range tags {
		if !labelKey.MatchString(tag) {
			v.add(fmt.Sprintf("%s/%d", pointer, i), "a tag has letters, digits and . _ / -, at most 63")
		}
	}
}

// label checks a label; nil is one that is taken away.
func (v *validator) label(at, key string, value *string) {
	if !labelKey.MatchString(key) {
		v.add(at+"/"+token(key), "a key has letters, digits and . _ / -, at most 63")
	}
	if value != nil {
		v.text(at+"/"+token(key), *value)
	}
}

// isHidden reports a character that changes how others are shown: a control, a
// separator of lines, or a mark of direction, which can make text read as another
// (Unicode TR 36 section 2.2). Two that some scripts are written with may stay.
func isHidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// err is everything that was found.
func (v *validator) err() error {
	if len(v.fields) == 0 {
		return nil
	}
	return &InvalidError{Fields: v.fields}
}

// normalise puts reg into the one form that is stored and compared.
func (reg Registration) normalise() Registration {
	reg.Hardware.System.UUID = strings.ToLower(strings.TrimSpace(reg.Hardware.System.UUID))
	reg.Hardware.System.Serial = strings.TrimSpace(reg.Hardware.System.Serial)
	macs := []MAC{reg.MAC}
	for _, mac := range reg.MACs {
		if !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	reg.MACs = macs
	return reg
}

// validator collects what is wrong, up to maxErrors.
type validator struct {
	fields []FieldError
}

func (v *validator) add(pointer, message string) {
	if len(v.fields) < maxErrors {
		v.fields = append(v.fields, FieldError{Pointer: pointer, Message: message})
	}
}

func (v *validator) text(pointer, s string) {
	switch {
	case len(s) > maxString:
		v.add(pointer, fmt.Sprintf("%d bytes of text; at most %d", len(s), maxString))
	case !utf8.ValidString(s):
		v.add(pointer, "text is not UTF-8")
	case strings.ContainsFunc(s, isHidden):
		v.add(pointer, "text has a control character, or one that turns its direction")
	case strings.ContainsAny(s, "<>"):
		v.add(pointer, "text has < or >; markup is not accepted")
	}
}

// sound reports whether walk will surely find nothing below value: it does not
// write down where it is, which takes most of the time.
func sound(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.String:
		s := value.String()
		for i := range len(s) {
			if c := s[i]; c < ' ' || c > '~' || c == '<' || c == '>' {
				return false
			}
		}
		return len(s) <= maxString
	case reflect.Int, reflect.Int64:
		return value.Int() >= 0 && value.Int() <= maxBytes
	case reflect.Pointer:
		return value.IsNil() || sound(value.Elem())
	case reflect.Slice:
		for i := range value.Len() {
			if !sound(value.Index(i)) {
				return false
			}
		}
		return value.Len() <= maxList
	case reflect.Struct:
		for i := range value.NumField() {
			if !sound(value.Field(i)) {
				return false
			}
		}
	}
	return true
}

// walk checks every string, number and list below value, so that a field added
// to [Hardware] is bounded from its first day.
func (v *validator) walk(pointer string, value reflect.Value) {
	switch value.Kind() {
	case reflect.String:
		v.text(pointer, value.String())
	case reflect.Int, reflect.Int64:
		if n := value.Int(); n < 0 || n > maxBytes {
			v.add(pointer, "number is out of range")
		}
	case reflect.Pointer:
		if !value.IsNil() {
			v.walk(pointer, value.Elem())
		}
	case reflect.Slice:
		if value.Len() > maxList {
			v.add(pointer, fmt.Sprintf("%d entries; at most %d", value.Len(), maxList))
			return
		}
		for i := range value.Len() {
			v.walk(fmt.Sprintf("%s/%d", pointer, i), value.Index(i))
		}
	case reflect.Struct:
		for field, f := range value.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				v.walk(pointer+"/"+name, f)
			}
		}
	}
}
