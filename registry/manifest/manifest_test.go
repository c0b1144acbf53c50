package manifest_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/manifest"
)

// everything is a machine of which everything is known and said.
func everything() registry.Machine {
	return registry.Machine{
		ID: "m-1", Name: "rack1-7", State: registry.Retired, Version: 7,
		MACs: []registry.MAC{{0x52, 0x54, 0, 0x12, 0x34, 0x56}, {2, 0, 0, 0, 0, 0x0a}},
		Hardware: registry.Hardware{System: registry.System{Vendor: "Dell Inc.", Product: "PowerEdge R760", Serial: "0012", UUID: "4c4c4544-0042-3510-8052-b4c04f4a3232"},
			Disks: []registry.Disk{{Name: "sda", Serial: "S3CRET"}}},
		Owner: "ana", Note: "second PSU is out\n  ask ben: #7\n", Tags: []string{"gpu", "no"},
		Labels: map[string]string{"rack": "a1", "row": "7", "empty": "", "on": "yes", "umlaut": "Größe \U0001F409"}, OS: "debian-12",
		Lock:   &registry.Lock{By: "ana/ci", Note: "its disk is being copied", At: time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.UTC)},
		SeenAt: time.Now(), RegisteredAt: time.Now(), Hostname: "lease-17",
	}
}

func someRules() []registry.Rule {
	return []registry.Rule{
		{Name: "rack 1: the first", Match: registry.RuleMatch{Vendor: "Dell*", MACPrefix: "52:54:00", Subnet: "192.0.2.0/24", BMC: new(false)},
			Set: registry.RuleSetTo{NamePattern: "rack1-{n:3}", Tags: []string{"gpu"}, Labels: map[string]string{"rack": "a1"}, OS: "debian-12"}},
		{Name: "all", Set: registry.RuleSetTo{Owner: "lab"}},
	}
}

// written is the manifest of machines and rules.
func written(t testing.TB, rules []registry.Rule, machines ...registry.Machine) string {
	t.Helper()
	var text bytes.Buffer
	w := manifest.NewWriter(&text)
	if rules != nil {
		if err := w.Rules(rules); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range machines {
		if err := w.Machine(m); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

func TestWrite(t *testing.T) {
	got := written(t, someRules(), everything(), registry.Machine{Name: "elk", State: registry.Ready, MACs: []registry.MAC{{2, 0, 0, 0, 0, 1}}})
	const path = "testdata/whole.yaml"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is written (UPDATE=1 to accept):\n%s", path, got)
	}
	for _, secret := range []string{"S3CRET", "lease-17", "m-1"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is written", secret)
		}
	}
}

// However much is written, little is held.
func TestWriterHoldsNothing(t *testing.T) {
	w, m := manifest.NewWriter(io.Discard), everything()
	held := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := held()
	for range 5000 {
		if err := w.Machine(m); err != nil {
			t.Fatal(err)
		}
	}
	if after := held(); after > before+1<<20 {
		t.Errorf("after 5000 machines %d bytes more are held", after-before)
	}
	runtime.KeepAlive(w)
}

func BenchmarkWrite(b *testing.B) {
	m := everything()
	b.ReportAllocs()
	for b.Loop() {
		written(b, nil, m)
	}
}

func BenchmarkParse(b *testing.B) {
	var all []registry.Machine
	for i := range 1000 {
		m := everything()
		m.Name, m.MACs, m.Hardware.System.Serial, m.Hardware.System.UUID = fmt.Sprintf("n%d", i), []registry.MAC{{2, 0, 0, 0, byte(i >> 8), byte(i)}}, "", ""
		all = append(all, m)
	}
	text := []byte(written(b, nil, all...))
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := manifest.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
