package rqlite_test

import (
	"fmt"
	"testing"
	"time"

	"dragonfly/registry"
)

// TestFilterOfMany asks a store for machines of which a term selects more than are
// looked up first, and fewer, and both: with what a filter matches one by one.
func TestFilterOfMany(t *testing.T) {
	const machines = 6000
	s := embedded(t, startNode(t, t.TempDir()))
	now := time.UnixMilli(time.Now().UnixMilli())
	var all []registry.Machine
	for from := 0; from < machines; from += 500 {
		c := registry.Change{Op: fmt.Sprint("fill ", from)}
		for n := from; n < from+500; n++ {
			m := newMachine(n)
			m.State, m.Tags, m.Labels = registry.Ready, []string{"common"}, map[string]string{"half": fmt.Sprint(n % 2)}
			m.Hardware.System = registry.System{Vendor: "Acme", Product: "Rocket", Serial: fmt.Sprintf("SN%05d", n), UUID: fmt.Sprintf("uuid-%04d", n)}
			if n < machines-600 {
				m.Labels["early"] = "yes"
			}
			if n >= 600 { // so 4,800 are both, and neither is few
				m.Labels["late"], m.Hardware.System.Product = "yes", "Late Rocket"
			}
			m.SeenAt = now
			m.Hostname, m.Hardware.CPU.Arch = fmt.Sprintf("Host-%d.fra2.example", n), "amd64"
			if n%1000 == 7 {
				m.State, m.Tags = registry.Failed, []string{"Rare", "common", "x9ZQ"} // which ends what is searched
				m.SeenAt = time.Time{}
				m.Owner, m.Hardware.CPU.Arch, m.Lock = "Ana Ray", "arm64", &registry.Lock{}
			}
			c.Put = append(c.Put, m)
			c.Events = append(c.Events, registry.Event{Kind: registry.MachineRegistered, Machine: m.ID})
			all = append(all, m)
		}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, filter := range []string{
		"state:ready", "state:failed", "tag:common", "tag:rare", "tag:common state:failed", "tag:common state:ready", "tag:common state:ready vendor:acme -tag:rare", "tag:common state:ready,failed rocket", "tag:rare state:ready", "state:ready,failed",
		"vendor:acme tag:rare", "rocket", "rocket tag:rare", "rocket -tag:rare", "sn00", "sn00007", "sn00007,sn01007", "00", "zq", "x", "q", "0.", "10", "ip:~zq", "ip:~.9", "bmc:~1", "mac:~0:", "zq,rocket", "zq tag:common", "zq -tag:rare", "-zq", "Zq state:ready", "-state:ready", "-state:ready,failed", "-tag:common", "-tag:common,rare", "-tag:~ar", "-tag:~ar -tag:rare -tag:common", "-tag:rare -tag:common -vendor:x -state:failed", "-label.late:yes", "-label.half:0,1", "-vendor:acme", "-vendor:~cm", "-host:~1,~2,~3,~4", "-online:yes", "-online:no", "online:no", "online:no state:failed", "online:no,yes", "-locked:no", "-locked:yes", "-owner:ana", "-mac:~5", "-id:~m", `-model:""`, `-tag:""`, "label.half:1", "label.half:1 tag:rare",
		"model:~rock state:failed", "label.early:yes label.late:yes", "late label.early:yes", "label.early:yes label.late:yes -state:failed", "late label.early:yes state:ready", "model:~nothing", "serial:~0100 -state:failed", "serial:SN00012", "uuid:UUID-0012", "uuid:~d-0012", "owner:nobody", "vendor:acme", "model:rocket", "-tag:common", "online:yes", "locked:yes", "locked:no", "arch:ARM64", "arch:amd64", "host:~.FRA2. arch:~arm", "host:~.fra2. vendor:~acm", "host:~-1007.",
		"host:~-1007.,~-2007. tag:common", "host:host-12.fra2.example", "host:nowhere", "host:~st_1", "host:~st%1", `host:~\\`, "owner:~ana", "tag:~rar", "tag:~ra vendor:~cm", "label.early:~ye", "label.half:~x", "vendor:~nothing", "id:" + all[5].ID, "id:~" + all[5].ID[2:], "uuid:~-000", "model:~et label.late:~y",
		"name:" + all[5].Name,
	} {
		for _, sort := range []string{"name", "-name", "model", "-registered", "state"} {
			q := registry.Query{Limit: 40, Brief: true, Now: now}
			var err error
			if q.Filter, err = registry.ParseFilter(filter); err != nil {
				t.Fatal(err)
			}
			if q.Sort, err = registry.ParseSort(sort); err != nil {
				t.Fatal(err)
			}
			want := 0
			for _, m := range all {
				if q.Filter.Match(m, q.Now) {
					want++
				}
			}
			got := 0
			for found := []registry.Machine(nil); ; q.After = q.Sort.Position(found[len(found)-1]) {
				if found, err = s.Machines(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				for _, m := range found {
					if !q.Filter.Match(m, q.Now) {
						t.Errorf("%s: %s does not match", filter, m.Name)
					}
				}
				if got += len(found); len(found) < q.Limit || got >= 200 {
					break
				}
			}
			if got != min(want, 200) {
				t.Errorf("%s by %s: %d machines, want %d", filter, sort, got, min(want, 200))
			}
		}
	}
}
