package rqlite_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
)

// Hardware and its history are read as they were written, with HTTP and without it,
// whether they are worth compressing or not.
func TestHardwareByBothWays(t *testing.T) {
	n := startNode(t, t.TempDir())
	ways := map[string]*rqlite.Store{"without HTTP": embedded(t, n)}
	byHTTP, err := rqlite.Open(t.Context(), rqlite.Config{HTTP: n.Client()})
	if err != nil {
		t.Fatal(err)
	}
	ways["by HTTP"] = byHTTP
	at, machine := time.UnixMilli(1_700_000_000_000).UTC(), 0
	for written, store := range ways {
		for _, found := range []string{"Debian", strings.Repeat("Débian, ", 1000)} {
			machine++
			m := newMachine(machine)
			for version, name := range []string{found, found + " 13"} { // the first one goes to the history
				m.Version, m.Hardware = int64(version), registry.Hardware{OSFound: []registry.OSFound{{Disk: "sda", Name: name}}}
				c := registry.Change{Op: fmt.Sprint("write ", machine, version), Put: []registry.Machine{m},
					History: []registry.HardwareRecord{{Machine: m.ID, At: at.Add(time.Duration(version) * time.Second), Hardware: m.Hardware}}}
				if err := store.Commit(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			for read, store := range ways {
				got, err := store.Machines(t.Context(), registry.Query{IDs: []string{m.ID}})
				if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0].Hardware, m.Hardware) {
					t.Errorf("written %s, read %s: %.99s, %v", written, read, fmt.Sprint(got), err)
				}
				history, err := store.History(t.Context(), m.ID, 10)
				if err != nil || len(history) != 2 || !reflect.DeepEqual(history[0].Hardware, m.Hardware) || history[1].Hardware.OSFound[0].Name != found {
					t.Errorf("written %s, history read %s: %.99s, %v", written, read, fmt.Sprint(history), err)
				}
			}
		}
	}
}
