package registry

import (
	"maps"
	"slices"
	"strings"
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
//
// What finds a machine has its [place] and no pointer: with 100,000 machines, following
// those is most of what the garbage collector does, and it has to whenever somebody reads
// a few lists.
type Index struct {
	mu    sync.RWMutex
	kept  places
	byMAC map[MAC]place
	byID  map[string]place
	named map[string]place
	alike marked // by what tells machines apart beside addresses
	state map[State]int
	due   map[string]time.Time // the deadlines by ID
	names

	strangers int // the machines that are known from the wire alone
}

// indexed is a machine, the same for all it is found by.
type indexed struct {
	Entry
	macs    []MAC // to drop those that moved away
	marks   hashes
	version int64

	stranger bool // nothing tells but the wire that it is there
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{byMAC: map[MAC]place{}, byID: map[string]place{}, named: map[string]place{}, alike: newMarked(),
		names: newNames(), state: map[State]int{}, due: map[string]time.Time{}}
}

// Lookup returns the machine that has mac.
func (x *Index) Lookup(mac MAC) (Entry, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if at, ok := x.byMAC[mac]; ok {
		return x.kept.all[at].Entry, true
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
	found := func(at place, ok bool) {
		if ok && !slices.Contains(ids, x.kept.all[at].ID) {
			ids = append(ids, x.kept.all[at].ID)
		}
	}
	for _, mac := range macs {
		at, ok := x.byMAC[mac]
		found(at, ok)
	}
	for _, name := range names {
		at, ok := x.named[name]
		found(at, ok)
	}
	return ids
}

// candidates returns the IDs of the machines that reg may be from: those that have
// one of its addresses, its UUID or its serial number.
func (x *Index) candidates(reg Registration) []string {
	ids := x.find(nil, reg.MACs)
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.alike.find(reg.Hardware.System, func(at place) {
		if id := x.kept.all[at].ID; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	})
	return ids
}

// version is that of the record as it is known here; 0 where none is.
func (x *Index) version(id string) int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m, _ := x.machine(id)
	return m.version
}

// clear forgets every machine.
func (x *Index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kept.clear()
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

// startsAgent reports whether the script of a machine starts the agent for certain: one
// that has registered boots its own disk, and one that was given something boots that.
func (x *Index) startsAgent(id string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m, _ := x.machine(id)
	return m.State == Discovered && m.Next != BootDisk
}

// bootsNext is what a machine boots instead of what its state says.
func (x *Index) bootsNext(id string) BootTarget {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m, _ := x.machine(id)
	return m.Next
}

// isNamed reports whether a machine has the name, as far as it is known here.
func (x *Index) isNamed(name string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, named := x.named[name]
	return named
}

// put replaces what is known of m, unless something newer is: a write here and
// what is read of the database may overtake one another.
func (x *Index) put(m Machine) {
	name := strings.Clone(m.Name) // which may be a piece of a registration, and would keep all of it
	entry := indexed{Entry: Entry{ID: m.ID, Name: name, State: State(unique.Make(string(m.State)).Value()), Next: m.BootNext, Boots: m.BootMAC()},
		macs: slices.Clone(m.MACs), marks: x.alike.hashes(m.Hardware.System), version: m.Version}
	entry.stranger = m.State == Discovered && entry.marks == (hashes{}) && hasGivenName(m, Registration{})
	x.mu.Lock()
	defer x.mu.Unlock()
	old, ok := x.machine(m.ID)
	if ok && old.version > m.Version {
		return
	}
	if ok && old.Name != m.Name {
		x.free(old.Name)
	}
	x.drop(m.ID)
	at := x.kept.put(entry)
	for _, mac := range m.MACs {
		x.byMAC[mac] = at
	}
	x.alike.add(entry.marks, at)
	x.named[name], x.byID[m.ID] = at, at
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
	if m, ok := x.machine(id); ok {
		x.free(m.Name)
	}
	x.drop(id)
}

func (x *Index) drop(id string) {
	at, ok := x.byID[id]
	if !ok {
		return
	}
	old := x.kept.take(at)
	for _, mac := range old.macs {
		if x.byMAC[mac] == at { // the address may have moved to another machine
			delete(x.byMAC, mac)
		}
	}
	if x.named[old.Name] == at { // the name, too
		delete(x.named, old.Name)
	}
	x.alike.remove(old.marks, at)
	x.state[old.State]--
	if old.stranger {
		x.strangers--
	}
	delete(x.due, id)
	delete(x.byID, id)
}

// machine is what is kept of a machine; the caller has the lock.
func (x *Index) machine(id string) (m indexed, ok bool) {
	at, ok := x.byID[id]
	if !ok {
		return indexed{}, false
	}
	return x.kept.all[at], true
}

// holder is the ID of the machine that has a name; the caller has the lock.
func (x *Index) holder(name string) (id string, taken bool) {
	at, taken := x.named[name]
	if !taken {
		return "", false
	}
	return x.kept.all[at].ID, true
}

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

func (p *places) clear() { p.all, p.spare = nil, nil }
