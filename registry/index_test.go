package registry

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestIndexForgets has machines come, change, take each other's addresses and names,
// and go, and compares what is found with what was said last: a place that is used
// again must not lead to the machine that had it before.
func TestIndexForgets(t *testing.T) {
	x, random := NewIndex(), rand.New(rand.NewPCG(1, 2))
	machines, macs, names := map[string]Machine{}, map[MAC]string{}, map[string]string{}
	forget := func(id string) {
		for _, mac := range machines[id].MACs {
			if macs[mac] == id {
				delete(macs, mac)
			}
		}
		if names[machines[id].Name] == id {
			delete(names, machines[id].Name)
		}
		delete(machines, id)
	}
	for n := range 5000 {
		id := fmt.Sprint("m-", random.IntN(20))
		forget(id)
		if random.IntN(3) == 0 {
			x.remove(id)
		} else {
			m := Machine{ID: id, Name: fmt.Sprint("name-", random.IntN(30)), State: Ready, Version: int64(n + 1)}
			for range random.IntN(4) {
				m.MACs = append(m.MACs, MAC{2, byte(random.IntN(40))})
			}
			x.put(m)
			machines[id], names[m.Name] = m, id
			for _, mac := range m.MACs {
				macs[mac] = id
			}
		}
		for last := range byte(40) {
			mac := MAC{2, last}
			if e, ok := x.Lookup(mac); e.ID != macs[mac] || ok != (macs[mac] != "") {
				t.Fatalf("step %d: %s leads to %q, want %q", n, mac, e.ID, macs[mac])
			}
		}
		for i := range 30 {
			name := fmt.Sprint("name-", i)
			if holder, _ := x.holder(name); holder != names[name] {
				t.Fatalf("step %d: %s is the name of %q, want %q", n, name, holder, names[name])
			}
		}
		if x.Len() != len(machines) || x.count(Ready) != len(machines) || x.kept.count() != len(machines) {
			t.Fatalf("step %d: %d machines, %d ready, %d of %d places spare, want %d", n, x.Len(), x.count(Ready), len(x.kept.spare), len(x.kept.all), len(machines))
		}
	}
}

// What one run of the garbage collector costs while 100,000 machines are known.
func BenchmarkIndexCollected(b *testing.B) {
	x := NewIndex()
	for n := range 100_000 {
		m := Machine{ID: fmt.Sprintf("%036x", n), Name: fmt.Sprint("machine-", n), State: Ready, Version: 1}
		for port := range byte(4) {
			m.MACs = append(m.MACs, MAC{2, port, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		}
		m.Hardware.System = System{Serial: fmt.Sprintf("SN%09d", n), UUID: fmt.Sprintf("4c4c4544-0042-3510-8052-%012x", n)}
		x.put(m)
	}
	for b.Loop() {
		runtime.GC()
	}
	runtime.KeepAlive(x)
}
