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
// What finds a machine has its [place] and no pointer, and its texts are one: with 100,000
// machines, following pointers is most of what the garbage collector does, and it has to
// whenever somebody reads a few lists.
type Index struct {
	mu    sync.RWMutex
	kept  places
	byMAC map[MAC]place
	byID  hashed
	named hashed // the machine that took the name last
	alike hashed // by what tells machines apart beside addresses
	state map[State]int
	due   map[string]time.Time // the deadlines by ID
	names

	strangers int // the machines that are known from the wire alone
}

// indexed is a machine, the same for all it is found by.
type indexed struct {
	Entry
	macs    string    // the bytes of its addresses, to drop those that moved away
	marks   [2]uint64 // the hashes of its [marks]; 0 stands for one that it lacks
	version int64

	stranger bool // nothing tells but the wire that it is there
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{byMAC: map[MAC]place{}, byID: newHashed(), named: newHashed(), alike: newHashed(),
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
	return x.kept.count()
}

// ids are those of all machines, in their order.
func (x *Index) ids() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	ids := make([]string, 0, x.kept.count())
	for m := range x.kept.each() {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	return ids
}

// own is an ID as it is kept here, for who keeps it, too.
func (x *Index) own(id string) string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m, ok := x.machine(id); ok {
		return m.ID
	}
	return id
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
		found(x.withName(name))
	}
	return ids
}

// candidates returns the IDs of the machines that reg may be from: those that have
// one of its addresses, its UUID or its serial number.
func (x *Index) candidates(reg Registration) []string {
	ids := x.find(nil, reg.MACs)
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, hash := range x.marksOf(reg.Hardware.System) {
		for at := range x.alike.find(hash) {
			if id := x.kept.all[at].ID; !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
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
	x.byID.clear()
	x.named.clear()
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
	_, named := x.withName(name)
	return named
}

// put replaces what is known of m, unless something newer is: a write here and
// what is read of the database may overtake one another.
func (x *Index) put(m Machine) {
	entry := x.entry(m)
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
	for _, hash := range entry.marks {
		if hash != 0 {
			x.alike.add(hash, at)
		}
	}
	name := x.named.of(m.Name)
	if other, taken := x.withName(m.Name); taken {
		x.named.remove(name, other)
	}
	x.named.add(name, at)
	x.byID.add(x.byID.of(m.ID), at)
	x.state[m.State]++
	if entry.stranger {
		x.strangers++
	}
	if !m.Deadline.IsZero() {
		x.due[entry.ID] = m.Deadline
	}
}

// entry is what is kept of m. Its texts are copies, since they may be pieces of a
// registration, and would keep all of it; and they are one, which is found dead or alive
// at once.
func (x *Index) entry(m Machine) indexed {
	var texts strings.Builder
	texts.Grow(len(m.ID) + len(m.Name) + len(MAC{})*len(m.MACs))
	texts.WriteString(m.ID)
	texts.WriteString(m.Name)
	for _, mac := range m.MACs {
		texts.Write(mac[:])
	}
	id, rest := texts.String()[:len(m.ID)], texts.String()[len(m.ID):]
	e := indexed{Entry: Entry{ID: id, Name: rest[:len(m.Name)], State: State(unique.Make(string(m.State)).Value()), Next: m.BootNext, Boots: m.BootMAC()},
		macs: rest[len(m.Name):], marks: x.marksOf(m.Hardware.System), version: m.Version}
	e.stranger = m.State == Discovered && e.marks == [2]uint64{} && hasGivenName(m, Registration{})
	return e
}

// marksOf are the hashes of the [marks] of a system, of which there are two at most.
func (x *Index) marksOf(s System) (all [2]uint64) {
	for i, mark := range marks(s) {
		all[i] = x.alike.of(mark)
	}
	return all
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
	at, ok := x.withID(id)
	if !ok {
		return
	}
	old := x.kept.take(at)
	for macs := []byte(old.macs); len(macs) > 0; macs = macs[len(MAC{}):] {
		if mac := MAC(macs); x.byMAC[mac] == at { // the address may have moved to another machine
			delete(x.byMAC, mac)
		}
	}
	x.named.remove(x.named.of(old.Name), at) // unless that moved, too
	for _, hash := range old.marks {
		x.alike.remove(hash, at)
	}
	x.state[old.State]--
	if old.stranger {
		x.strangers--
	}
	delete(x.due, id)
	x.byID.remove(x.byID.of(id), at)
}

// machine is what is kept of a machine; the caller has the lock.
func (x *Index) machine(id string) (m indexed, ok bool) {
	at, ok := x.withID(id)
	return x.kept.at(at), ok
}

// withID is where the machine is kept; the caller has the lock.
func (x *Index) withID(id string) (at place, ok bool) {
	for at := range x.byID.find(x.byID.of(id)) {
		if x.kept.all[at].ID == id {
			return at, true
		}
	}
	return 0, false
}

// withName is where the machine is kept that has a name; the caller has the lock.
func (x *Index) withName(name string) (at place, ok bool) {
	for at := range x.named.find(x.named.of(name)) {
		if x.kept.all[at].Name == name {
			return at, true
		}
	}
	return 0, false
}

// holder is the ID of the machine that has a name; the caller has the lock.
func (x *Index) holder(name string) (id string, taken bool) {
	at, taken := x.withName(name)
	return x.kept.at(at).ID, taken
}
