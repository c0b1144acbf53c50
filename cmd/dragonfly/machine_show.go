package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// printMachine writes a machine for people: what it is, what is in it, and what
// happened to it, the newest last.
func printMachine(w io.Writer, m api.Machine, events []api.Event) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range describe(m) {
		if line[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
		}
	}
	table.Flush()
	if m.Hardware != nil {
		printHardware(w, *m.Hardware)
	}
	if len(events) > 0 {
		fmt.Fprintln(w, "\nTimeline")
	}
	for _, e := range slices.Backward(events) {
		fmt.Fprintf(w, "  %s  %-20s %s\n", e.At.Local().Format("2006-01-02 15:04:05"), e.Kind, e.Message)
	}
}

// describe is the head of a machine, as lines of a name and a value.
func describe(m api.Machine) [][2]string {
	var macs, labels []string
	for _, mac := range m.MACs {
		macs = append(macs, mac.String())
	}
	for key, value := range m.Labels {
		labels = append(labels, key+"="+value)
	}
	slices.Sort(labels)
	lock, address, deadline := "", "", ""
	if !m.Deadline.IsZero() {
		deadline = moment(m.Deadline)
	}
	if m.Lock != nil {
		lock = strings.TrimSuffix(fmt.Sprintf("by %s since %s: %s", m.Lock.By, moment(m.Lock.At), m.Lock.Note), ": ")
	}
	if m.Address.IsValid() {
		address = m.Address.String()
	}
	return [][2]string{
		{"Name", m.Name}, {"ID", m.ID}, {"State", string(m.State)}, {"Reason", m.Reason}, {"Online", yesNo(m.Online)},
		{"Model", strings.TrimSpace(m.Vendor + " " + m.Model)}, {"Serial", m.Serial}, {"MACs", strings.Join(macs, " ")},
		{"Address", address}, {"Host name", m.Hostname}, {"Owner", m.Owner}, {"Tags", strings.Join(m.Tags, " ")},
		{"Labels", strings.Join(labels, " ")}, {"Assigned OS", m.OS}, {"Note", strings.ReplaceAll(m.Note, "\n", " / ")}, {"Locked", lock},
		{"Pending", string(m.Pending)}, {"Deadline", deadline}, {"Registered", moment(m.RegisteredAt)}, {"Seen", moment(m.SeenAt)},
		{"Version", fmt.Sprint(m.Version)},
	}
}

func printHardware(w io.Writer, h registry.Hardware) {
	fmt.Fprintln(w, "\nHardware")
	table := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  CPU\t%s, %s, %s\n", h.CPU.Model, registry.Counted(h.CPU.Cores, "core"), registry.Counted(h.CPU.Threads, "thread"))
	fmt.Fprintf(table, "  Memory\t%s in %s\n", size(h.Memory.Bytes), registry.Counted(len(h.Memory.DIMMs), "module"))
	fmt.Fprintf(table, "  Firmware\t%s %s %s\n", h.Firmware.Mode, h.Firmware.Vendor, h.Firmware.Version)
	for _, d := range h.Disks {
		fmt.Fprintf(table, "  Disk\t%s  %s  %s  %s\n", d.Name, size(d.Bytes), d.Model, d.Serial)
		if d.Contents != "" {
			fmt.Fprintf(table, "  \t%s  %s\n", d.Contents, d.Describe(h.OSFound))
		}
	}
	for _, n := range h.NICs {
		fmt.Fprintf(table, "  Port\t%s  %s  %s  %s\n", n.Name, n.MAC, n.Driver, map[bool]string{true: "link", false: "no link"}[n.Link])
	}
	if h.BMC != nil && h.BMC.Address.IsValid() {
		fmt.Fprintf(table, "  BMC\t%s  %s\n", h.BMC.Address, h.BMC.MAC)
	}
	table.Flush()
}

// size is bytes for people, in binary units.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}
