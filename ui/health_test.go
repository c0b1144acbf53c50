package ui

import (
	"context"
	"encoding/json"
	"testing"

	"dragonfly/registry"
)

// A part that is red is never below a line that says that nothing is wrong.
func TestCalm(t *testing.T) {
	good, bad, off := Check{Good: true}, Check{}, Check{Off: true}
	for _, c := range []struct {
		h    health
		calm bool
	}{
		{health{}, true}, {health{Checks: []Check{good, off}}, true}, {health{Checks: []Check{good, bad}}, false},
		{health{Problems: []string{"the disk is full"}, Checks: []Check{good}}, false},
	} {
		if c.h.calm() != c.calm {
			t.Errorf("%+v: %v", c.h, !c.calm)
		}
	}
}

// The audit log calls a machine by its name, one that is gone by that which it had then,
// and takes the name where it is asked; however long it is, the store is asked for no
// machine of it.
func TestAuditNames(t *testing.T) {
	k := newRack(2)
	here := k.machines[1]
	var asked string
	u := newUI(t, k, func(c *Config) {
		c.Records = namedRecords{machine: here}
		c.Audit = func(_ context.Context, object string, _ int64, _ int) ([]registry.AuditEntry, error) {
			asked = object
			return []registry.AuditEntry{
				{Object: here.ID, Action: "machine.locked", Before: json.RawMessage(`{"name":"old"}`)},
				{Object: "m-gone", Action: "machine.edited", Before: json.RawMessage(`{"name":"elk"}`), After: json.RawMessage(`{"name":"elk-2"}`)},
				{Object: "m-lost", Action: "machine.deleted", Before: json.RawMessage(`{"name":"yak"}`), After: json.RawMessage(`{"name":""}`)},
				{Object: "m-bare", Action: "machine.noted"},
				{Object: "os/debian-12", Action: "os.edited", After: json.RawMessage(`{"name":"Debian 12"}`)},
			}, nil
		}
	})
	page := get(t, u, "/audit?object="+here.Name)
	wantTexts(t, page, `<a href="/machines/`+here.ID+`" title="`+here.ID+`">`+here.Name+`</a>`,
		"elk-2 <small>m-gone</small>", "yak <small>m-lost</small>", "m-bare", `<a href="/systems/debian-12">os/debian-12</a>`, `value="`+here.Name+`"`)
	wantTexts(t, get(t, u, "/audit"), here.Name)
	if k.queries > 0 {
		t.Errorf("%d queries for machines", k.queries)
	}
	if get(t, u, "/audit?object="+here.Name); asked != here.ID {
		t.Errorf("asked for the entries of %q", asked)
	}
	if get(t, u, "/audit?object=m-gone"); asked != "m-gone" {
		t.Errorf("asked for the entries of %q", asked)
	}
}

// namedRecords knows one machine.
type namedRecords struct {
	Records
	machine registry.Machine
}

func (n namedRecords) Machine(_ context.Context, id string) (registry.Machine, error) {
	if id == n.machine.ID || id == n.machine.Name {
		return n.machine, nil
	}
	return registry.Machine{}, registry.ErrNotFound
}
