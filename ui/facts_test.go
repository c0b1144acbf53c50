package ui

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dragonfly/registry"
)

// TestFactsStayInOrder compares the order and the counts that are kept with those
// made anew, while machines come, go, and take one another's names.
func TestFactsStayInOrder(t *testing.T) {
	k := newRack(200)
	b := newBoard(k, k, k)
	now := time.Now()
	for round := range 60 {
		if _, err := b.step(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		want := counts{Total: len(k.machines), ByState: map[registry.State]int{}}
		var names []string
		for _, m := range k.machines {
			want.ByState[m.State]++
			if m.Online(now) {
				want.Online++
			}
			names = append(names, m.Name)
		}
		slices.Sort(names)
		got := b.counts()
		maps.DeleteFunc(got.ByState, func(_ registry.State, n int) bool { return n == 0 })
		if !slices.Equal(b.facts.names, names) || got.Total != want.Total || got.Online != want.Online || !maps.Equal(got.ByState, want.ByState) {
			t.Fatalf("round %d: %+v and %d names, want %+v and %d", round, got, len(b.facts.names), want, len(names))
		}
		one, other := k.machines[rand.N(len(k.machines))], k.machines[rand.N(len(k.machines))]
		one.Name, other.Name = other.Name, one.Name
		k.put(one, registry.MachineEdited, "renamed")
		if other.ID != one.ID {
			k.put(other, registry.MachineEdited, "renamed")
		}
		for n := range rand.N(4) {
			k.put(testMachine(1000+round*4+n), registry.MachineRegistered, "new")
		}
		gone := k.machines[rand.N(len(k.machines))]
		k.machines = slices.DeleteFunc(k.machines, func(m registry.Machine) bool { return m.ID == gone.ID })
		k.tell(registry.Event{Kind: registry.MachineDeleted, Machine: gone.ID})
	}
}

// TestFirstPageReadsOnePage counts what the first page costs the store: its own
// machines, whatever their number is.
func TestFirstPageReadsOnePage(t *testing.T) {
	k := newRack(5000)
	wantPage(t, get(t, newUI(t, k), "/machines"), "of 5,000")
	if k.queries != 1 {
		t.Errorf("the first page took %d queries, want 1", k.queries)
	}
}

// TestOtherServersSeeMachines: a machine that this server has not heard of is
// asked for at the store before it counts as offline, and a store that does not
// answer changes nothing.
func TestOtherServersSeeMachines(t *testing.T) {
	k := newRack(3)
	b := newBoard(k, k, k)
	now := time.Now()
	if _, err := b.step(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	online := b.counts().Online
	later := now.Add(registry.OnlineFor + recheck)
	k.setBroken(errors.New("no leader"))
	if d, err := b.step(t.Context(), later); err == nil || !d.empty() || b.counts().Online != online {
		t.Errorf("while the store is away: %+v, %v, %d online", d, err, b.counts().Online)
	}
	k.setBroken(nil)
	later = later.Add(recheck)
	if d, err := b.step(t.Context(), later); err != nil || len(d.machines) != online || b.counts().Online != 0 {
		t.Errorf("%d changed, %d online, %v; want %d and none", len(d.machines), b.counts().Online, err, online)
	}
}
