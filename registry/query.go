package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Query selects machines. A machine matches when it matches ANY of IDs, Names,
// MACs, UUID or Serial that is set, and ALL machines match when none is set.
// Filter, where set, narrows further.
type Query struct {
	IDs    []string
	Names  []string
	MACs   []MAC
	UUID   string // of Hardware.System, compared as stored
	Serial string
	Filter Filter
	Now    time.Time // decides who is online, where Filter asks
	Sort   Sort
	After  Position // only machines behind it (keyset paging)
	Limit  int      // 0: all
	Brief  bool     // the hardware as [Hardware.Brief] has it
	Bare   bool     // of each machine only what [Machine.Bare] has; Sort is by name
	Latest bool     // sees every write that anybody acknowledged, which costs a store of several nodes a question; without a Filter
}

// Sort is an order of machines: by Field, and among equals by ID, which is by age. The
// zero value is by name.
type Sort struct {
	Field SortField
	Desc  bool // turns round both
}

// SortField is what machines can be sorted by. Names are compared byte by byte,
// other texts as [Fold] has them.
type SortField string

// The fields to sort by.
const (
	SortName       SortField = ""
	SortState      SortField = "state"
	SortVendor     SortField = "vendor"
	SortModel      SortField = "model"
	SortCreated    SortField = "created"
	SortRegistered SortField = "registered"
)

// SortFields lists the fields to sort by beside the name.
func SortFields() []SortField {
	return []SortField{SortState, SortVendor, SortModel, SortCreated, SortRegistered}
}

// Position is a place in a sorted list, that of one machine. The zero value is
// before the first.
type Position struct {
	Key string // of the sort field
	ID  string // empty when sorting by name, of which no two are equal
}

// Position is where m stands in the order. A time's key is milliseconds since
// 1970 in 15 digits, so that it compares as text.
func (s Sort) Position(m Machine) Position {
	p := Position{ID: m.ID}
	switch s.Field {
	case SortName:
		return Position{Key: m.Name}
	case SortState:
		p.Key = string(m.State)
	case SortVendor:
		p.Key = Fold(m.Hardware.System.Vendor)
	case SortModel:
		p.Key = Fold(m.Hardware.System.Product)
	case SortCreated:
		p.Key = timeKey(m.CreatedAt)
	case SortRegistered:
		p.Key = timeKey(m.RegisteredAt)
	}
	return p
}

func timeKey(t time.Time) string {
	ms := int64(0)
	if !t.IsZero() {
		ms = t.UnixMilli()
	}
	return fmt.Sprintf("%015d", ms)
}

// Check reports a field that is not known, which is a fault of the caller.
func (q Query) Check() error {
	for _, t := range q.Filter {
		if t.Field != FieldAny && !slices.Contains(Fields(), t.Field) {
			return fmt.Errorf("filter by %.40q: no such field", t.Field)
		}
	}
	if q.Sort.Field != SortName && !slices.Contains(SortFields(), q.Sort.Field) {
		return fmt.Errorf("sort by %.40q: no such field", q.Sort.Field)
	}
	if q.Latest && len(q.Filter) > 0 {
		return errors.New("filter the latest: what a filter is looked up in may be older")
	}
	return nil
}

// Match reports whether q selects m and m lies behind q.After. A store may search
// in another way, and must find the same.
func (q Query) Match(m Machine) bool {
	if !q.Filter.Match(m, q.Now) {
		return false
	}
	if q.After != (Position{}) && q.Sort.Compare(q.Sort.Position(m), q.After) <= 0 {
		return false
	}
	all := len(q.IDs)+len(q.Names)+len(q.MACs) == 0 && q.UUID == "" && q.Serial == ""
	return all ||
		slices.Contains(q.IDs, m.ID) ||
		slices.Contains(q.Names, m.Name) ||
		slices.ContainsFunc(q.MACs, func(mac MAC) bool { return slices.Contains(m.MACs, mac) }) ||
		q.UUID != "" && q.UUID == m.Hardware.System.UUID ||
		q.Serial != "" && q.Serial == m.Hardware.System.Serial
}

// Compare is negative when a stands before b, and positive when behind.
func (s Sort) Compare(a, b Position) int {
	c := cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.ID, b.ID))
	if s.Desc {
		return -c
	}
	return c
}

// Brief is what lists show of the hardware: no NICs, no systems found, of each
// disk its name, size and kind, and of the DIMMs one that is as large as all.
func (h Hardware) Brief() Hardware {
	b := h
	b.Memory.DIMMs, b.NICs, b.OSFound, b.Disks = nil, nil, nil, nil
	if all := h.Memory.Installed(); len(h.Memory.DIMMs) > 0 {
		b.Memory.DIMMs = []DIMM{{Bytes: all}}
	}
	if len(h.Disks) > 0 {
		b.Disks = make([]Disk, 0, len(h.Disks))
	}
	for _, d := range h.Disks {
		b.Disks = append(b.Disks, Disk{Name: d.Name, Bytes: d.Bytes, Rotational: d.Rotational, Removable: d.Removable})
	}
	return b
}
