package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// mask is which members of an answer are asked for, by name; what is below a
// member that maps to nil is asked for whole. A nil mask is everything.
type mask map[string]mask

// parseMask reads the parameter `fields`: names of members of t, dotted for those
// further down, such as "hardware.disks". A list on the way stands for each of its
// entries. The error is the answer to the client.
func parseMask(fields []string, t reflect.Type) (m mask, err error) {
	for _, path := range fields {
		if m == nil {
			m = mask{}
		}
		if err := m.add(strings.Split(path, "."), t); err != "" {
			return nil, huma.Error422UnprocessableEntity("the fields cannot be read",
				&huma.ErrorDetail{Location: "query.fields", Message: err, Value: path})
		}
	}
	return m, nil
}

func machineMask(fields []string) (mask, error) { return parseMask(fields, reflect.TypeFor[Machine]()) }

// add adds a path; it returns what is wrong with it, empty where nothing is.
func (m mask) add(path []string, t reflect.Type) (wrong string) {
	for i, name := range path {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		below, known := members(t)[name], true
		switch {
		case t.Kind() == reflect.Map:
			// A label's key may have dots: the rest of the path is one name.
			name, below = strings.Join(path[i:], "."), t.Elem()
			path = path[:i+1]
		case below == nil:
			known = false
		}
		if !known {
			return unknownMember(path[:i], name, slices.Sorted(maps.Keys(members(t))))
		}
		deeper, there := m[name]
		if there && deeper == nil {
			return "" // it is asked for whole already
		}
		if i == len(path)-1 {
			m[name] = nil
			return ""
		}
		if deeper == nil {
			deeper = mask{}
			m[name] = deeper
		}
		m, t = deeper, below
	}
	return ""
}

// unknownMember says that there is no such member, and which was probably meant.
func unknownMember(above []string, name string, known []string) string {
	prefix := strings.Join(append(above, ""), ".")
	message := fmt.Sprintf("there is no field %.80q", prefix+name)
	if near := registry.Nearest(name, known); near != "" {
		return message + "; did you mean " + prefix + near + "?"
	}
	if len(known) == 0 {
		return message + ": " + strings.Join(above, ".") + " has no members"
	}
	return message + "; there are " + strings.Join(known, ", ")
}

// members are the members of the JSON form of a struct, by name; none of another
// type, or of one that writes its own form.
func members(t reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return found
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.IsExported() && name != "" && name != "-" {
			found[name] = field.Type
		}
	}
	return found
}

// has reports whether the member, or something below it, was asked for by name.
func (m mask) has(name string) bool {
	_, asked := m[name]
	return asked
}

// prune keeps of a JSON text what was asked for. A list is pruned entry by entry.
func (m mask) prune(text []byte) ([]byte, error) {
	if m == nil || len(text) == 0 {
		return text, nil
	}
	switch text[0] {
	case '[':
		var entries []json.RawMessage
		if err := json.Unmarshal(text, &entries); err != nil {
			return nil, err
		}
		for i := range entries {
			pruned, err := m.prune(entries[i])
			if err != nil {
				return nil, err
			}
			entries[i] = pruned
		}
		return json.Marshal(entries)
	case '{':
		var have map[string]json.RawMessage
		if err := json.Unmarshal(text, &have); err != nil {
			return nil, err
		}
		kept := make(map[string]json.RawMessage, len(m))
		for name, below := range m {
			if value, ok := have[name]; ok {
				pruned, err := below.prune(value)
				if err != nil {
					return nil, err
				}
				kept[name] = pruned
			}
		}
		return json.Marshal(kept)
	}
	return text, nil
}

// of is a machine with the members that are asked for.
func (m mask) of(machine Machine) (any, error) {
	if m == nil {
		return machine, nil
	}
	text, err := json.Marshal(machine)
	if err != nil {
		return nil, err
	}
	text, err = m.prune(text)
	return json.RawMessage(text), err
}

// masked is a machine of which only is answered. Its schema is that of a whole
// machine.
type masked struct {
	Machine
	only mask
}

// MarshalJSON writes the members that were asked for.
func (m masked) MarshalJSON() ([]byte, error) {
	only, err := m.only.of(m.Machine)
	if err != nil {
		return nil, err
	}
	return json.Marshal(only)
}

// Schema is that of [Machine].
func (masked) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Machine](), true, "Machine")
}

// maskedList is what [mask.of] made of some machines. With a [masked] for each, the
// text of each would be checked and copied once more.
type maskedList []any

// Schema is that of a list of [Machine].
func (maskedList) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[[]Machine](), true, "Machine")
}
