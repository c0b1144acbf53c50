package agent

import (
	"strconv"
	"strings"

	"github.com/u-root/u-root/pkg/smbios"

	"dragonfly/registry"
)

func memory(t tree) registry.Memory {
	return registry.Memory{
		Bytes: memTotal(string(t.bytes("proc/meminfo"))),
		DIMMs: dimms(t.bytes("sys/firmware/dmi/tables/smbios_entry_point"), t.bytes("sys/firmware/dmi/tables/DMI")),
	}
}

// memTotal reads /proc/meminfo, which counts in KiB, as bytes.
func memTotal(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// dimms are the populated memory devices of the SMBIOS table (DSP0134 section
// 7.18); none when the firmware's table does not parse.
func dimms(entry, table []byte) []registry.DIMM {
	if len(entry) == 0 || len(table) == 0 {
		return nil
	}
	info, err := smbios.ParseInfo(entry, table)
	if err != nil {
		return nil
	}
	devices, err := info.GetMemoryDevices()
	if err != nil {
		return nil
	}
	var found []registry.DIMM
	for _, d := range devices {
		// 0 is an empty slot, 0xffff a size the firmware does not know.
		if d.Size == 0 || d.Size == 0xffff {
			continue
		}
		found = append(found, registry.DIMM{
			Slot:   smbiosText(d.DeviceLocator),
			Bytes:  int64(d.GetSizeBytes()),
			Type:   dimmType(d.Type),
			MTs:    int(d.Speed),
			Vendor: smbiosText(d.Manufacturer),
			Part:   smbiosText(d.PartNumber),
			Serial: smbiosText(d.SerialNumber),
		})
	}
	return found
}

// smbiosText is a string of the table; the parser says "Not Specified" where the
// firmware gave none, and so do some firmwares.
func smbiosText(s string) string {
	if s = clean(s); strings.EqualFold(s, "Not Specified") {
		return ""
	}
	return s
}

// dimmType is "DDR4" and the like; types that say nothing (other, unknown, RAM)
// are left out.
func dimmType(t smbios.MemoryDeviceType) string {
	switch name := clean(t.String()); {
	case strings.Contains(name, "DDR"), strings.Contains(name, "HBM"):
		return name
	}
	return ""
}
