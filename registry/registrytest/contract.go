package registrytest

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// Store tests that a store keeps the contract of [registry.Store]. open returns
// an empty store, anew for each test; the tests run side by side.
func Store(t *testing.T, open func(t *testing.T) registry.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s registry.Store)
	}{
		{"an empty store", testEmpty},
		{"a machine comes back as it was stored", testRoundTrip},
		{"text comes back as it was stored", testText},
		{"a query matches any of what it names", testQuery},
		{"machines are ordered by name and paged", testPaging},
		{"a filter finds what matches, in every order", testFilter},
		{"machines are counted by what they have", testTally},
		{"a field that is not known is an error", testUnknownField},
		{"lists may be brief", testBrief},
		{"history, timeline and audit are kept", testRecords},
		{"history of what is put", testHistoryOfPut},
		{"rules are replaced as a whole", testRules},
		{"the defaults are replaced as a whole", testDefaults},
		{"of concurrent writes of the rules one wins", testRulesRace},
		{"a deployment comes back as it was stored", testDeployment},
		{"a write of a deployment names the version it read", testDeploymentVersions},
		{"deployments are found and paged", testDeploymentQuery},
		{"deployments belong to their machine", testDeploymentsOfMachines},
		{"progress is apart from the deployment", testTrack},
		{"lines are kept once, and the middle of many is not", testLines},
		{"operating systems are kept", testOSes},
		{"the full machine lacks nothing", testFull},
		{"more machines than fit one answer", testMany},
		{"many machines with all their hardware in one change", testLarge},
		{"a write names the version it read", testVersions},
		{"an operation applies once", testOnce},
		{"a change applies whole or not at all", testAtomic},
		{"a name belongs to one machine", testNames},
		{"an address belongs to one machine", testAddresses},
		{"an address moves within a change", testMove},
		{"a machine is deleted", testDelete},
		{"a machine is merged into another", testMerge},
		{"what happened to a machine becomes another's", testMoveRecords},
		{"the hardware of a machine becomes another's", testMoveHardware},
		{"events are numbered in their order", testEvents},
		{"signs of life only go forward", testTouch},
		{"of concurrent writes one wins", testRace},
		{"concurrent writes to different machines all win", testConcurrent},
		{"a context that has ended", testEnded},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// noon is the time in the tests.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 987_000_000, time.UTC) }

// mac is the n-th address.
func mac(n int) registry.MAC {
	return registry.MAC{0x52, 0x54, 0, byte(n >> 16), byte(n >> 8), byte(n)}
}

// machine is the n-th machine, with one address.
func machine(n int) registry.Machine {
	return registry.Machine{
		ID:        fmt.Sprintf("m-%012d", n),
		Name:      fmt.Sprintf("name-%03d", n),
		State:     registry.Discovered,
		MACs:      []registry.MAC{mac(n)},
		CreatedAt: noon(),
		Hardware: registry.Hardware{System: registry.System{
			Serial: fmt.Sprintf("serial-%d", n),
			UUID:   fmt.Sprintf("uuid-%d", n),
		}},
	}
}

// full is a machine without an empty field.
func full() registry.Machine {
	m := machine(1)
	m.State, m.Reason, m.Pending = registry.Failed, "the disk is gone", registry.Reboot
	m.MACs = []registry.MAC{mac(9), mac(1), mac(5)} // their order means something
	m.Hostname, m.Address = "node1.example", netip.MustParseAddr("2001:db8::7")
	m.Owner, m.Note, m.Tags = "ana", "ask ana first", []string{"gpu", "Rack-7"}
	m.OS, m.Deployment, m.BootNext, m.AgentBoot = "x'4142'", "d-1", registry.BootAgent, "0011223344556677"
	m.Labels = map[string]string{"rack": "x'4142'", "": "A"}
	m.Lock, m.Deadline = &registry.Lock{By: "ana", Note: "disk is being copied", At: noon()}, noon().Add(3*time.Hour)
	m.RegisteredAt, m.SeenAt = noon().Add(time.Hour), noon().Add(2*time.Hour)
	h := &m.Hardware
	h.Firmware = registry.Firmware{Mode: "uefi", SecureBoot: "disabled", TPM: "2.0"}
	h.CPU = registry.CPU{Arch: "amd64", Sockets: 2, Cores: 64, Threads: 128}
	h.Memory = registry.Memory{Bytes: 1<<53 + 1, DIMMs: []registry.DIMM{{Slot: "A1", Bytes: 1 << 36}}}
	h.Disks = []registry.Disk{{Name: "sda", Bytes: 1<<62 + 1, Rotational: true, Serial: "x'4142'",
		Contents: registry.Member, Found: []registry.Signature{{On: "sda1", Role: "data", Type: "LVM2_member", Label: "vg0", UUID: "u", Member: true, Parts: 2}}}}
	h.NICs = []registry.NIC{{Name: "eth0", MAC: mac(9), Link: true, Address: netip.MustParseAddr("192.0.2.7")}}
	h.BMC = &registry.BMC{Address: netip.MustParseAddr("192.0.2.8"), MAC: mac(10)}
	h.OSFound = []registry.OSFound{{Disk: "sda", Name: "Debian GNU/Linux 13"}}
	return m
}

// commit applies a change and fails the test if it cannot.
func commit(t *testing.T, s registry.Store, c registry.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("commit %s: %v", c.Op, err)
	}
}

// create stores machines n to m, inclusive, in one change.
func create(t *testing.T, s registry.Store, n, m int) {
	t.Helper()
	c := registry.Change{Op: fmt.Sprintf("create %d to %d", n, m)}
	for i := n; i <= m; i++ {
		c.Put = append(c.Put, machine(i))
	}
	commit(t, s, c)
}

// find returns what q matches.
func find(t *testing.T, s registry.Store, q registry.Query) []registry.Machine {
	t.Helper()
	machines, err := s.Machines(t.Context(), q)
	if err != nil {
		t.Fatalf("machines %+v: %v", q, err)
	}
	return machines
}

// names joins the names of what q matches.
func names(t *testing.T, s registry.Store, q registry.Query) string {
	t.Helper()
	var list []string
	for _, m := range find(t, s, q) {
		list = append(list, strings.TrimPrefix(m.Name, "name-"))
	}
	return strings.Join(list, " ")
}

// get returns the n-th machine.
func get(t *testing.T, s registry.Store, n int) registry.Machine {
	t.Helper()
	found := find(t, s, registry.Query{IDs: []string{machine(n).ID}})
	if len(found) != 1 {
		t.Fatalf("machine %d: found %d", n, len(found))
	}
	return found[0]
}

// wantConflict fails the test unless err is a lost race over object.
func wantConflict(t *testing.T, err error, object string) {
	t.Helper()
	conflict, ok := errors.AsType[*registry.ConflictError](err)
	if !ok {
		t.Errorf("want a conflict over %s, got %v", object, err)
	} else if conflict.Object != object {
		t.Errorf("conflict over %q, want %q", conflict.Object, object)
	}
}

// wantEqual fails the test unless got is want.
func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// testFull keeps [full] honest: a field that is added to a machine has to be
// given a value there, and so comes back from every store on its first day.
func testFull(t *testing.T, s registry.Store) {
	m := reflect.ValueOf(full())
	for field, value := range m.Fields() {
		never := slices.Contains([]string{"AsOf", "Journaled", "Packed"}, field.Name) // stored, that is
		if field.Name != "Version" && !never && value.IsZero() {
			t.Errorf("full() leaves %s empty", field.Name)
		}
	}
}
