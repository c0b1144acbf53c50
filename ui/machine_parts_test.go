package ui

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// Each part of a machine's page has what belongs to it, and nothing where nothing is
// known.
func TestPartsOfMachine(t *testing.T) {
	m := testMachine(1)
	m.Lock, m.OS, m.Tags, m.Labels, m.Note = &registry.Lock{By: "ana", Note: "copying"}, "debian-12", []string{"gpu"}, map[string]string{"rack": "a1"}, "cold"
	m.Hardware.BMC = &registry.BMC{Address: netip.MustParseAddr("10.1.0.9"), Version: "2.1"}
	m.Hardware.NICs = []registry.NIC{{Name: "eth0", MAC: m.MACs[0], Link: true, SpeedMbit: 25000, Driver: "ice"}}
	m.Hardware.Disks = []registry.Disk{{Name: "sda", Bytes: 1e12, Serial: "S1", ByID: "/dev/disk/by-id/ata-S1", Contents: registry.Member, Found: []registry.Signature{{Type: "linux_raid_member", Label: "md0", UUID: "u-1", Parts: 4}}}}
	m.Hardware.OSFound = []registry.OSFound{{Disk: "sda", Partition: "sda1", Name: "Debian GNU/Linux 12"}}
	now := time.Now()
	facts, parts := hardwareOf(m)
	addresses, ports := networkOf(m)
	for what, test := range map[string]struct {
		facts []factGroup
		parts []partGroup
		want  []string
	}{
		"hardware":      {facts, parts, []string{m.Hardware.System.Serial, "Cores", "1 TiB"}},
		"storage":       {nil, storageOf(m), []string{"ata-S1", "member", "linux_raid_member", "md0", "u-1", "4 disks", "the whole disk", "Debian GNU/Linux 12"}},
		"network":       {addresses, ports, []string{m.MACs[0].String(), "up, 25 Gb/s", "ice", "10.1.0.9", "2.1"}},
		"configuration": {configurationOf(m, now), nil, []string{m.Name, "debian-12", "gpu", "a1", "cold", "by ana: copying", "UTC"}},
	} {
		text := fmt.Sprint(test.facts, test.parts)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q: %s", what, want, text)
			}
		}
	}
	stranger := registry.Machine{ID: "m-1", Name: "otter"}
	if facts, parts := hardwareOf(stranger); len(facts)+len(parts)+len(storageOf(stranger)) != 0 {
		t.Errorf("of a stranger is known %v %v", facts, parts)
	}
	if facts, parts := networkOf(stranger); slices.ContainsFunc(facts, func(g factGroup) bool { return len(g.Facts) == 0 }) || len(parts) != 0 {
		t.Errorf("of a stranger's network is known %v %v", facts, parts)
	}
}
