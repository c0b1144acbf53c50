package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = ms(100 - i)
	}
	for _, c := range []struct {
		all  []time.Duration
		p    int
		want time.Duration
	}{
		{nil, 99, 0},
		{hundred[:1], 50, ms(100)},
		{hundred, 99, ms(99)},
		{hundred, 50, ms(50)},
		{hundred, 100, ms(100)},
		{hundred[:3], 99, ms(100)},
	} {
		if got := percentile(c.all, c.p); got != c.want {
			t.Errorf("%d of %d values: %v, want %v", c.p, len(c.all), got, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	figures := []figure{
		timed("quick", []time.Duration{ms(1), ms(2)}, ms(3), ms(20)),
		timed("slow", []time.Duration{ms(21)}, 0, ms(20)),
		plain("memory", 599.96, 600, "MiB"),
		plain("no promise", 7, noLimit, "s"),
		plain("nothing may be lost", 1, 0, "events"),
	}
	var out bytes.Buffer
	if err := printFigures(&out, figures); err != nil {
		t.Fatal(err)
	}
	golden(t, "figures.txt", out.String())
	if n := broken(figures); n != 2 {
		t.Errorf("%d figures are over their limits, want 2", n)
	}
}

// TestFleet looks at whether the fleet is one that could be registered: every
// machine valid, of a plausible size, and nothing twice that must be there once.
func TestFleet(t *testing.T) {
	once := map[string]bool{}
	bytes := 0
	for n := range 5000 {
		m := fleetMachine(n)
		reg := registry.Registration{MAC: m.BootMAC(), MACs: m.MACs, Hostname: m.Hostname, Address: m.Address, Hardware: m.Hardware}
		if err := reg.Validate(); err != nil {
			t.Fatalf("machine %d: %v", n, err)
		}
		system := m.Hardware.System
		keys := []string{m.ID, system.UUID, system.Vendor + system.Serial, m.Hardware.BMC.Address.String(), m.Hardware.BMC.MAC.String()}
		for _, mac := range m.MACs {
			keys = append(keys, mac.String())
		}
		for _, key := range keys {
			if once[key] {
				t.Fatalf("machine %d: %s is taken", n, key)
			}
			once[key] = true
		}
		text, err := json.Marshal(m.Hardware)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(text)
		if len(text) < 2000 || len(text) > 4500 || !slices.Contains(registry.States(), m.State) {
			t.Errorf("machine %d: %d bytes of hardware, %s", n, len(text), m.State)
		}
	}
	if mean := bytes / 5000; mean < 2500 || mean > 4000 {
		t.Errorf("%d bytes of hardware in the mean", mean)
	}
}

// TestPartOf searches for parts of names of every length, and of the shortest
// that a machine of the fleet can get.
func TestPartOf(t *testing.T) {
	for name, want := range map[string]string{"brave-otter": "ave-ot", "icy-elm": "y-elm", "able-elk": "le-elk", "ab": "", "a": "", "": ""} {
		if got := partOf(name); got != want {
			t.Errorf("part of %q: %q, want %q", name, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for begin := time.Now(); after <= before && err == nil && time.Since(begin) < time.Minute; {
		_ = strings.Repeat("busy", 1000)
		after, err = cpuTime(os.Getpid())
	}
	if err != nil || after <= before || after > before+time.Minute {
		t.Errorf("from %v to %v of CPU, %v", before, after, err)
	}
	for _, key := range []string{"VmRSS", "VmHWM"} {
		if mib, err := memory(os.Getpid(), key); err != nil || mib < 1 || mib > 1<<20 {
			t.Errorf("%s: %f MiB, %v", key, mib, err)
		}
	}
	if _, err := memory(os.Getpid(), "VmNothing"); err == nil {
		t.Error("a line that is not there was read")
	}
}

// TestFill fills a database twice: the second time there is nothing to do.
func TestFill(t *testing.T) {
	dir := t.TempDir()
	first, err := fill(t.Context(), dir, 300)
	if err != nil || len(first) != 300 {
		t.Fatalf("%d machines, %v", len(first), err)
	}
	again, err := fill(t.Context(), dir, 300)
	if err != nil || len(again) != 300 || again[299].Name != first[299].Name || again[7].ID != first[7].ID {
		t.Errorf("%d machines, %v", len(again), err)
	}
}
