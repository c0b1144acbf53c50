package registry

import (
	"maps"
	"slices"
	"sync"
	"time"
	"unique"
)

// Entry is what the boot path needs to know of a machine: small enough to hold
// for every machine in memory.
type Entry struct {
	ID    string
	Name  string
	State State
	Next  BootTarget // instead of what State says
	Boots MAC        // the address it boots from, as far as is known; zero: it has none
}

// Index answers "which machine has this address" from memory, so that a boot
// never waits for the database. It is safe for concurrent use.
type Index struct {
	mu    sync.RWMutex
	byMAC map[MAC]*indexed
	byID  map[string]*indexed
	named map[string]*indexed
	alike marked // by what tells machines apart beside addresses
	state map[State]int
	due   map[string]time.Time // the deadlines by ID
	names

	strangers int // the machines that are known from the wire alone
}

// indexed is a machine, the same for all it is found by; it is not changed.
type indexed struct {
	Entry
	macs    []MAC    // to drop those that moved away
	marks   []uint64 // their hashes
	version int64

	stranger bool // nothing tells but the wire that it is there
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{byMAC: map[MAC]*indexed{}, byID: map[string]*indexed{}, named: map[string]*indexed{}, alike: newMarked(),
		names: newNames(), state: map[State]int{}, due: map[string]time.Time{}}
}

// Lookup returns the machine that has mac.
func (x *Index) Lookup(mac MAC) (Entry, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m, ok := x.byMAC[mac]; ok {
		return m.Entry, true
	}
	return Entry{}, false
}

// Len is the number of machines.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}

// ids are those of all machines, in their order.
func (x *Index) ids() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Sorted(maps.Keys(x.byID))
}

// find returns the IDs of the machines that have one of the names or addresses.
func (x *Index) find(names []string, macs []MAC) (ids []string) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, mac := range macs {
		if m, ok := x.byMAC[mac]; ok && !slices.Contains(ids, m.ID) {
			ids = append(ids, m.ID)
		}
	}
	for _, name := range names {
		if m, ok := x.named[name]; ok && !slices.Contains(ids, m.ID) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// candidates returns the IDs of the machines that reg may be from: those that have
// one of its addresses, its UUID or its serial number.
func (x *Index) candidates(reg Registration) []string {
	ids := x.find(nil, reg.MACs)
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.alike.find(reg.Hardware.System, func(m *indexed) {
		if !slices.Contains(ids, m.ID) {
			ids = append(ids, m.ID)
		}
	})
	return ids
}

// version is that of the record as it is known here; 0 where none is.
func (x *Index) version(id string) int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m, ok := x.byID[id]; ok {
		return m.version
	}
	return 0
}

// freeName is the first [Name] for seed, from an attempt on, that no machine but
// the one with that ID has, as far as it is known here.
func (x *Index) freeName(id, seed string, attempt int) string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for ; ; attempt++ {
		name := Name(seed, attempt)
		if holder, taken := x.named[name]; !taken || holder.ID == id {
			return name
		}
	}
}

// clear forgets every machine.
func (x *Index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.byMAC)
	clear(x.byID)
	clear(x.named)
	x.alike.clear()
	clear(x.state)
	clear(x.due)
	clear(x.full)
	x.strangers = 0
}

// countStrangers is the number of machines that are known from the wire alone.
func (x *Index) countStrangers() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.strangers
}

// count is the number of machines in a state.
func (x *Index) count(s State) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.state[s]
}

// deadlines are those of all machines that have one, by ID.
func (x *Index) deadlines() map[string]time.Time {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return maps.Clone(x.due)
}

// stateOf is the state of a machine; empty for one that is not known.
func (x *Index) stateOf(id string) State {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m, ok := x.byID[id]; ok {
		return m.State
	}
	return ""
}

// bootsNext is what a machine boots instead of what its state says.
func (x *Index) bootsNext(id string) BootTarget {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m, ok := x.byID[id]; ok {
		return m.Next
	}
	return ""
}

// isNamed reports whether a machine has the name, as far as it is known here.
func (x *Index) isNamed(name string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.named[name] != nil
}

// put replaces what is known of m, unless something newer is: a write here and
// what is read of the database may overtake one another.
func (x *Index) put(m Machine) {
	entry := &indexed{Entry: Entry{ID: m.ID, Name: m.Name, State: State(unique.Make(string(m.State)).Value()), Next: m.BootNext, Boots: m.BootMAC()},
		macs: slices.Clone(m.MACs), marks: x.alike.hashes(m.Hardware.System), version: m.Version}
	entry.stranger = m.State == Discovered && len(entry.marks) == 0 && hasGivenName(m, Registration{})
	x.mu.Lock()
	defer x.mu.Unlock()
	old, ok := x.byID[m.ID]
	if ok && old.version > m.Version {
		return
	}
	if ok && old.Name != m.Name {
		x.free(old.Name)
	}
	x.drop(m.ID)
	for _, mac := range m.MACs {
		x.byMAC[mac] = entry
	}
	x.alike.add(entry)
	x.named[m.Name], x.byID[m.ID] = entry, entry
	x.state[m.State]++
	if entry.stranger {
		x.strangers++
	}
	if !m.Deadline.IsZero() {
		x.due[m.ID] = m.Deadline
	}
}

// remove forgets the machine.
func (x *Index) remove(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m, ok := x.byID[id]; ok {
		x.free(m.Name)
	}
	x.drop(id)
}

func (x *Index) drop(id string) {
	old, ok := x.byID[id]
	if !ok {
		return
	}
	for _, mac := range old.macs {
		if x.byMAC[mac] == old { // the address may have moved to another machine
			delete(x.byMAC, mac)
		}
	}
	if x.named[old.Name] == old { // the name, too
		delete(x.named, old.Name)
	}
	x.alike.remove(old)
	x.state[old.State]--
	if old.stranger {
		x.strangers--
	}
	delete(x.due, id)
	delete(x.byID, id)
}
