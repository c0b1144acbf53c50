package ui

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// hardwareOf is what the machine is made of, but its disks and its network.
func hardwareOf(m registry.Machine) ([]factGroup, []partGroup) {
	h := m.Hardware
	facts := []factGroup{
		{"System", []labelled{{"Vendor", h.System.Vendor, false}, {"Product", h.System.Product, false}, {"Serial", h.System.Serial, true}, {"UUID", h.System.UUID, true}, {"Virtual", h.System.Virtualisation, false}}},
		{"Firmware", []labelled{{"Mode", strings.ToUpper(h.Firmware.Mode), false}, {"Vendor", h.Firmware.Vendor, false}, {"Version", h.Firmware.Version, false}, {"Date", h.Firmware.Date, false},
			{"Secure boot", h.Firmware.SecureBoot, false}, {"TPM", h.Firmware.TPM, false}}},
		{"CPU", []labelled{{"Model", cpuName(h.CPU), false}, {"Architecture", h.CPU.Arch, false}, {"Sockets", number(h.CPU.Sockets), false}, {"Cores", number(h.CPU.Cores), false}, {"Threads", number(h.CPU.Threads), false}}},
		{"Memory", []labelled{{"Installed", sizeOf(h.Memory.Installed()), false}, {"Seen by the kernel", sizeOf(h.Memory.Bytes), false}}},
	}
	modules := partGroup{"Memory modules", []string{"Slot", "Size", "Type", "Vendor", "Part", "Serial"}, nil}
	for _, d := range h.Memory.DIMMs {
		speed := ""
		if d.MTs > 0 {
			speed = fmt.Sprintf("%d MT/s", d.MTs)
		}
		modules.Rows = append(modules.Rows, []string{d.Slot, binarySize(d.Bytes), words(d.Type, speed), d.Vendor, d.Part, d.Serial})
	}
	return known(facts), there(modules)
}

// storageOf is its disks, with what stands on each.
func storageOf(m registry.Machine) (parts []partGroup) {
	h := m.Hardware
	disks := partGroup{"Disks", []string{"Name", "Size", "Model", "Serial", "Kind", "Path below /dev/disk/by-id", "What is on it"}, nil}
	found := partGroup{"What was found on them", []string{"Disk", "On", "What", "Label", "UUID", "Reaches over"}, nil}
	for _, d := range h.Disks {
		kind := words(d.Transport, map[bool]string{true: "spinning"}[d.Rotational], map[bool]string{true: "removable"}[d.Removable])
		disks.Rows = append(disks.Rows, []string{d.Name, decimalSize(d.Bytes), d.Model, d.Serial, kind, cmp.Or(strings.TrimPrefix(d.ByID, "/dev/disk/by-id/"), d.WWN), cmp.Or(string(d.Contents), "nobody has looked")})
		for _, s := range d.Found {
			reach := ""
			if s.Parts > 1 {
				reach = registry.Counted(s.Parts, "disk")
			}
			found.Rows = append(found.Rows, []string{d.Name, cmp.Or(s.On, "the whole disk"), cmp.Or(s.Type, s.Role), s.Label, s.UUID, reach})
		}
	}
	systems := partGroup{"Operating systems that were on it", []string{"Disk", "Partition", "Name"}, nil}
	for _, s := range h.OSFound {
		systems.Rows = append(systems.Rows, []string{s.Disk, s.Partition, s.Name})
	}
	return there(disks, found, systems)
}

// networkOf is its addresses and its network ports.
func networkOf(m registry.Machine) ([]factGroup, []partGroup) {
	h := m.Hardware
	addresses := []labelled{{"Address", addressOf(m), true}, {"Hostname", m.Hostname, true}}
	if boots := m.BootMAC(); boots != (registry.MAC{}) {
		addresses = append(addresses, labelled{"Boots from", boots.String(), true})
	}
	for _, mac := range m.MACs {
		addresses = append(addresses, labelled{"Hardware address", mac.String(), true})
	}
	bmc := factGroup{Title: "Management controller"}
	if h.BMC != nil {
		if h.BMC.Address.IsValid() {
			bmc.Facts = append(bmc.Facts, labelled{"Address", h.BMC.Address.String(), true})
		}
		if h.BMC.MAC != (registry.MAC{}) {
			bmc.Facts = append(bmc.Facts, labelled{"Hardware address", h.BMC.MAC.String(), true})
		}
		bmc.Facts = append(bmc.Facts, labelled{"Firmware", h.BMC.Version, false})
	}
	return known([]factGroup{{"Addresses", addresses}, bmc}), there(portsOf(h.NICs))
}

func portsOf(nics []registry.NIC) partGroup {
	ports := partGroup{"Network ports", []string{"Name", "MAC", "Link", "Driver", "PCI", "Address"}, nil}
	for _, n := range nics {
		mac, address, link := "", "", "down"
		if n.MAC != (registry.MAC{}) {
			mac = n.MAC.String()
		}
		if n.Address.IsValid() {
			address = n.Address.String()
		}
		if n.Link {
			link = "up"
			if n.SpeedMbit > 0 {
				link += fmt.Sprintf(", %g Gb/s", float64(n.SpeedMbit)/1000)
			}
		}
		ports.Rows = append(ports.Rows, []string{n.Name, mac, link, cmp.Or(n.Driver, "none"), words(n.PCI, n.PCIID), address})
	}
	return ports
}

// configurationOf is what is decided about the machine, and not found in it.
func configurationOf(m registry.Machine, now time.Time) []factGroup {
	kept := append([]labelled{{"Name", m.Name, true}}, keptOfMachine(m)...)
	boots := []labelled{{"State", string(m.State), false}, {"Boots next", string(m.BootNext), false}, {"Deployment", m.Deployment, true}}
	if !m.Deadline.IsZero() {
		boots = append(boots, labelled{"Fails by itself", m.Deadline.UTC().Format("2 Jan 2006 15:04:05") + " UTC", false})
	}
	if m.Lock != nil {
		boots = append(boots, labelled{"Locked", strings.TrimSuffix("by "+m.Lock.By+": "+m.Lock.Note, ": "), false})
	}
	record := []labelled{{"ID", m.ID, true}, {"Version", strconv.FormatInt(m.Version, 10), false}, {"Known since", moment{m.CreatedAt, now}.absolute(), false}}
	if !m.RegisteredAt.IsZero() {
		record = append(record, labelled{"Registered", moment{m.RegisteredAt, now}.absolute(), false})
	}
	return known([]factGroup{{"Kept by you", kept}, {"What it does", boots}, {"Its record", record}})
}

// keptOfMachine is what operators say of it.
func keptOfMachine(m registry.Machine) []labelled {
	kept := []labelled{{"Operating system", m.OS, false}, {"Owner", m.Owner, false}, {"Tags", strings.Join(m.Tags, ", "), false}}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		kept = append(kept, labelled{key, m.Labels[key], false})
	}
	return append(kept, labelled{"Note", m.Note, false})
}

// known leaves out what is not.
func known(groups []factGroup) []factGroup {
	for i := range groups {
		groups[i].Facts = slices.DeleteFunc(groups[i].Facts, func(l labelled) bool { return l.Value == "" })
	}
	return slices.DeleteFunc(groups, func(g factGroup) bool { return len(g.Facts) == 0 })
}

// there leaves out the groups of which there is no part.
func there(groups ...partGroup) []partGroup {
	return slices.DeleteFunc(groups, func(g partGroup) bool { return len(g.Rows) == 0 })
}

// number is n, and nothing where it is not known.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func sizeOf(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return binarySize(bytes)
}
