package ui

import (
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

func TestCPUName(t *testing.T) {
	for _, c := range []struct {
		cpu  registry.CPU
		want string
	}{
		{registry.CPU{Model: "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", Sockets: 2}, "2 × Xeon Gold 6338"},
		{registry.CPU{Model: "AMD EPYC 7763 64-Core Processor", Sockets: 1}, "EPYC 7763"},
		{registry.CPU{Model: "Intel(R) Core(TM) i5-8500T CPU @ 2.10GHz"}, "Core i5-8500T"},
		{registry.CPU{Model: "QEMU Virtual CPU version 2.5+"}, "QEMU Virtual CPU version 2.5+"},
		{registry.CPU{Model: "Neoverse-N1", Arch: "arm64"}, "Neoverse-N1"},
		{registry.CPU{Arch: "arm64"}, "arm64"},
		{registry.CPU{}, ""},
	} {
		if got := cpuName(c.cpu); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.cpu, got, c.want)
		}
	}
}

func TestProduct(t *testing.T) {
	for _, c := range []struct{ vendor, product, want string }{
		{"Dell Inc.", "PowerEdge R650", "Dell PowerEdge R650"},
		{"Supermicro", "Super Server", "Supermicro Super Server"},
		{"HPE", "HPE ProLiant", "HPE ProLiant"},
		{"Intel Corporation", "S2600WF", "Intel S2600WF"},
		{"GIGABYTE Co., Ltd.", "R282", "GIGABYTE R282"},
		{"", "thing", "thing"},
		{"QEMU", "", "QEMU"},
		{"", "", ""},
	} {
		if got := product(registry.System{Vendor: c.vendor, Product: c.product}); got != c.want {
			t.Errorf("%q %q: got %q, want %q", c.vendor, c.product, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64][2]string{
		0:             {"0 B", "0 B"},
		999:           {"999 B", "999 B"},
		480e9:         {"480 GB", "447 GiB"},
		3840755982336: {"3.84 TB", "3.49 TiB"},
		16e12:         {"16 TB", "14.6 TiB"},
		512 << 30:     {"550 GB", "512 GiB"},
		1536 << 30:    {"1.65 TB", "1.5 TiB"},
		1<<63 - 1:     {"9.22 EB", "8 EiB"},
	} {
		if got := [2]string{decimalSize(bytes), binarySize(bytes)}; got != want {
			t.Errorf("%d bytes: got %q, want %q", bytes, got, want)
		}
	}
}

func TestDisks(t *testing.T) {
	many := make([]registry.Disk, 24)
	for i := range many {
		many[i] = registry.Disk{Name: "sd" + string(rune('a'+i)), Bytes: 1e12}
	}
	count, capacity, list := disks(many)
	if count != "24 disks" || capacity != "24 TB" || !strings.HasSuffix(list, "and 16 more") {
		t.Errorf("got %q, %q, %q", count, capacity, list)
	}
	count, capacity, list = disks([]registry.Disk{{Name: "sdb", Bytes: 8e9, Removable: true}})
	if count+capacity+list != "" {
		t.Errorf("a stick counts as a disk: %q, %q, %q", count, capacity, list)
	}
	count, _, list = disks([]registry.Disk{{Name: "nvme0n1", Bytes: 960e9, Model: "KIOXIA"}})
	if count != "1 disk" || list != "nvme0n1 960 GB KIOXIA" {
		t.Errorf("got %q, %q", count, list)
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for past, want := range map[time.Duration]string{
		-time.Hour: "just now", 0: "just now", 5 * time.Second: "5 s ago", 59 * time.Second: "59 s ago",
		time.Minute: "1 min ago", 59 * time.Minute: "59 min ago", 47 * time.Hour: "47 h ago", 48 * time.Hour: "2 d ago",
	} {
		if got := (moment{now.Add(-past), now}).ago(); got != want {
			t.Errorf("%v: got %q, want %q", past, got, want)
		}
	}
}

func TestGroupedAndCut(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 5000: "5,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
	for _, c := range []struct{ in, want string }{{"", ""}, {"abc", "abc"}, {"abcd", "abc…"}, {"äöüß", "äöü…"}, {"\xff\xff\xff\xff", "\xff\xff\xff…"}} {
		if got := cut(c.in, 3); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}
