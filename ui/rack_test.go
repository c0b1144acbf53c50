package ui

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/registry"
)

// rack is machines and their events in memory: the Machines and the Feed of a
// test.
type rack struct {
	mu       sync.Mutex
	machines []registry.Machine // by name
	events   []registry.Event
	more     chan struct{}
	broken   error // what Machines answers
	queries  int
}

func newRack(n int) *rack {
	k := &rack{more: make(chan struct{})}
	for i := range n {
		k.machines = append(k.machines, testMachine(i))
	}
	return k
}

func (k *rack) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queries++
	if k.broken != nil {
		return nil, k.broken
	}
	var found []registry.Machine
	for _, m := range k.machines {
		if q.Match(m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b registry.Machine) int { return q.Sort.Compare(q.Sort.Position(a), q.Sort.Position(b)) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found, ctx.Err()
}

func (k *rack) Tally(ctx context.Context, q registry.Query, by registry.TallyBy) ([]registry.Tally, error) {
	machines, err := k.Machines(ctx, registry.Query{Filter: q.Filter, Now: q.Now})
	return by.Of(machines, q.Now), err
}

func (k *rack) Glances(ids ...string) (found []registry.Glance) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.machines {
		if len(ids) == 0 || slices.Contains(ids, m.ID) {
			found = append(found, registry.Glance{Entry: registry.Entry{ID: m.ID, Name: m.Name, State: m.State}, SeenAt: m.SeenAt})
		}
	}
	return found
}

func (k *rack) Last() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return int64(len(k.events))
}

func (k *rack) Next(ctx context.Context, after int64) ([]registry.Event, error) {
	for {
		k.mu.Lock()
		events, more := k.events[min(after, int64(len(k.events))):], k.more
		k.mu.Unlock()
		if len(events) > 0 {
			return slices.Clone(events[:min(len(events), 500)]), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// put stores m and tells the feed.
func (k *rack) put(m registry.Machine, kind registry.Kind, message string) {
	k.mu.Lock()
	at := slices.IndexFunc(k.machines, func(o registry.Machine) bool { return o.ID == m.ID })
	if at < 0 {
		k.machines = append(k.machines, m)
	} else {
		k.machines[at] = m
	}
	slices.SortFunc(k.machines, func(a, b registry.Machine) int { return strings.Compare(a.Name, b.Name) })
	k.mu.Unlock()
	k.tell(registry.Event{Kind: kind, Machine: m.ID, Message: message})
}

// remove deletes the machine as a merge does.
func (k *rack) remove(id, into string) {
	k.mu.Lock()
	k.machines = slices.DeleteFunc(k.machines, func(m registry.Machine) bool { return m.ID == id })
	k.mu.Unlock()
	k.tell(registry.Event{Kind: registry.MachineMerged, Machine: into, Message: "was the same machine"})
}

func (k *rack) tell(e registry.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.Seq, e.At = int64(len(k.events)+1), time.Now()
	k.events = append(k.events, e)
	close(k.more)
	k.more = make(chan struct{})
}

func (k *rack) setBroken(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = err
}

// models are real machines, as their firmware names itself.
var models = []struct {
	vendor, product, cpu string
	sockets, cores       int
	memory               int64
	disks                []int64
}{
	{"Dell Inc.", "PowerEdge R650", "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", 2, 64, 512 << 30, []int64{480e9, 480e9, 3840e9, 3840e9}},
	{"Supermicro", "AS -1114S-WN10RT", "AMD EPYC 7763 64-Core Processor", 1, 64, 1 << 40, []int64{960e9, 7681e9, 7681e9}},
	{"HPE", "ProLiant DL360 Gen10 Plus", "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz", 2, 32, 256 << 30, []int64{1920e9}},
	{"Lenovo", "ThinkSystem SR645", "AMD EPYC 7313 16-Core Processor", 2, 32, 128 << 30, []int64{240e9, 16e12, 16e12, 16e12}},
}

// testMachine is the i-th of a mixed rack.
func testMachine(i int) registry.Machine {
	words := strings.Fields("amber basalt cedar delta ember flint garnet heron indigo juniper")
	now := time.Now()
	model := models[i%len(models)]
	m := registry.Machine{
		ID:        fmt.Sprintf("m-%012d", i),
		Name:      fmt.Sprintf("%s-%s-%04d", words[i*10/5000%10], words[i%10], i),
		State:     []registry.State{registry.Ready, registry.Ready, registry.Installed, registry.Ready, registry.Failed, registry.Installed, registry.Discovered}[i%7],
		MACs:      []registry.MAC{{0x3c, 0xec, 0xef, byte(i >> 16), byte(i >> 8), byte(i)}},
		CreatedAt: now.Add(-time.Duration(i+90) * time.Minute), SeenAt: now.Add(-10 * time.Second),
	}
	if i%5 == 3 {
		m.SeenAt = now.Add(-time.Duration(i+3) * 7 * time.Minute)
	}
	if m.State == registry.Discovered {
		return m
	}
	if m.State == registry.Failed {
		m.Reason = "no disk is large enough: debian-13 needs 8 GB, the largest is 4 GB"
	}
	m.RegisteredAt, m.Version = m.CreatedAt.Add(time.Minute), 3
	m.Hostname = fmt.Sprintf("node-%04d.rack%d.example.net", i, i/40)
	m.Address = netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})
	m.Hardware = registry.Hardware{
		System: registry.System{Vendor: model.vendor, Product: model.product, Serial: fmt.Sprintf("7CZ%05dX%d", 31415+i, i%9)},
		CPU:    registry.CPU{Arch: "amd64", Model: model.cpu, Sockets: model.sockets, Cores: model.cores},
		Memory: registry.Memory{Bytes: model.memory - 3<<30, DIMMs: []registry.DIMM{{Bytes: model.memory}}},
	}
	for n, size := range model.disks {
		m.Hardware.Disks = append(m.Hardware.Disks, registry.Disk{Name: fmt.Sprintf("nvme%dn1", n), Bytes: size, Model: "SAMSUNG MZQL23T8"})
	}
	return m
}

// desk is who is signed in: one name for everybody.
type desk struct {
	mu   sync.Mutex
	user string
	err  error
}

func (d *desk) SignIn(_ context.Context, name, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.user = name
	}
	return d.err
}

func (d *desk) SignOut(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.user = ""
	return d.err
}

func (d *desk) User(context.Context) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.user
}

// drawer keeps nothing but what was put into it last.
type drawer struct{ doc []byte }

func (d *drawer) Preferences(context.Context, string) ([]byte, error) { return d.doc, nil }

func (d *drawer) PutPreferences(_ context.Context, _ string, doc []byte) error {
	d.doc = doc
	return nil
}

// newUI returns pages over k with ana signed in; change may alter the rest.
func newUI(t testing.TB, k *rack, change ...func(*Config)) *UI {
	t.Helper()
	c := Config{Machines: k, Feed: k, Sessions: &desk{user: "ana"}, Preferences: &drawer{}, Answering: []string{"eth0 10.77.0.2"},
		Version: "1.2.3", Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Deployments says that nothing runs.
func (k *rack) Deployments(context.Context, registry.DeploymentQuery) ([]registry.Deployment, error) {
	return nil, nil
}
