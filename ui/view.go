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

// row is one machine as the list shows it: text only, nothing to decide.
type row struct {
	ID, Name, Alias string // Alias is the hostname, or else the ID
	State           registry.State
	Online          bool
	Seen            moment
	MAC, IP         string
	Product, Serial string
	CPU, Size       string // Size is cores and memory
	Disks, Capacity string
	DiskList        string
	Doing           string // the last event, or why it failed
	DoingAt         moment
	Work            *work  // how far its deployment is, while one runs
	Flash           string // alternates where the row just changed, which starts its animation
	Left            bool   // it is in a list whose filter it does not match any more
	Locked          bool
	Tags            string
	Owner, Note     string
	OS              string // that is assigned
	Labels          string
	Vendor, BMC     string
	Known           moment // when it registered
}

// moment is a point in time as a page shows it; it is zero where nothing is known.
type moment struct{ at, now time.Time }

// rowOf is m as a row. last may be zero: then the record itself tells the last
// that is known.
func rowOf(m registry.Machine, last note, now time.Time) row {
	r := row{
		ID: m.ID, Name: m.Name, Alias: cmp.Or(m.Hostname, m.ID), State: m.State,
		Online: m.Online(now), Seen: moment{m.SeenAt, now},
		Product: product(m.Hardware.System), Serial: m.Hardware.System.Serial,
		CPU: cpuName(m.Hardware.CPU), Size: cpuSize(m.Hardware),
		Doing: last.text, DoingAt: moment{last.at, now},
		Locked: m.Lock != nil, Tags: strings.Join(m.Tags, " "), Owner: m.Owner, Note: cut(m.Note, maxMessage), OS: m.OS,
		Labels: labelText(m.Labels), Vendor: m.Hardware.System.Vendor, Known: moment{m.RegisteredAt, now},
	}
	if bmc := m.Hardware.BMC; bmc != nil && bmc.Address.IsValid() {
		r.BMC = bmc.Address.String()
	}
	if mac := m.BootMAC(); mac != (registry.MAC{}) {
		r.MAC = mac.String()
	}
	if m.Address.IsValid() {
		r.IP = m.Address.String()
	}
	r.Disks, r.Capacity, r.DiskList = disks(m.Hardware.Disks)
	switch {
	case m.State == registry.Failed && m.Reason != "":
		r.Doing = cut(m.Reason, maxMessage)
	case last.text != "":
	case !m.RegisteredAt.IsZero():
		r.Doing, r.DoingAt.at = "registered", m.RegisteredAt
	default:
		r.Doing, r.DoingAt.at = "seen for the first time", m.CreatedAt
	}
	return r
}

// labelText is labels in the order of their keys.
func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return cut(strings.Join(parts, " "), maxMessage)
}

// product is vendor and product without what carries no news.
func product(s registry.System) string {
	vendor := s.Vendor
	for _, noise := range []string{" Inc.", ",", " Corporation", " Corp.", " Co.", " Ltd."} {
		vendor = strings.ReplaceAll(vendor, noise, "")
	}
	if strings.HasPrefix(strings.ToLower(s.Product), strings.ToLower(vendor)) {
		return s.Product
	}
	return strings.TrimSpace(vendor + " " + s.Product)
}

// cpuName is the model as people say it: "Xeon Gold 6338", "EPYC 7763".
func cpuName(c registry.CPU) string {
	name, _, _ := strings.Cut(c.Model, " CPU @")
	for _, noise := range []string{"(R)", "(TM)", "(r)", "(tm)", "Processor", "Intel", "AMD "} {
		name = strings.ReplaceAll(name, noise, "")
	}
	words := strings.Fields(name)
	if n := len(words); n > 1 && strings.HasSuffix(words[n-1], "-Core") {
		words = words[:n-1]
	}
	short := strings.Join(words, " ")
	if short == "" {
		return c.Arch
	}
	if c.Sockets > 1 {
		return fmt.Sprintf("%d × %s", c.Sockets, short)
	}
	return short
}

// cpuSize is cores and memory: "64 cores, 512 GiB".
func cpuSize(h registry.Hardware) string {
	var parts []string
	if h.CPU.Cores > 0 {
		parts = append(parts, registry.Counted(h.CPU.Cores, "core"))
	}
	if bytes := h.Memory.Installed(); bytes > 0 {
		parts = append(parts, binarySize(bytes))
	}
	return strings.Join(parts, ", ")
}

// disks counts and sums the disks that stay in the machine.
func disks(all []registry.Disk) (count, capacity, list string) {
	const shown = 8
	var n int
	var bytes int64
	var lines []string
	for _, d := range all {
		if d.Removable {
			continue
		}
		n++
		bytes += max(0, d.Bytes)
		if n <= shown {
			lines = append(lines, strings.TrimSpace(d.Name+" "+decimalSize(d.Bytes)+" "+d.Model))
		}
	}
	if n == 0 {
		return "", "", ""
	}
	if n > shown {
		lines = append(lines, fmt.Sprintf("and %d more", n-shown))
	}
	return registry.Counted(n, "disk"), decimalSize(bytes), cut(strings.Join(lines, "\n"), 400)
}

// decimalSize is a disk's size as its label has it: "3.84 TB".
func decimalSize(bytes int64) string {
	return scaled(float64(bytes), 1000, []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"})
}

// binarySize is a memory's size as its modules have it: "512 GiB".
func binarySize(bytes int64) string {
	return scaled(float64(bytes), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}

// scaled keeps three digits.
func scaled(v, base float64, units []string) string {
	i := 0
	for v >= base && i < len(units)-1 {
		v, i = v/base, i+1
	}
	text := strconv.FormatFloat(v, 'f', 2, 64)
	switch {
	case v >= 100:
		text = strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		text = strconv.FormatFloat(v, 'f', 1, 64)
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " " + units[i]
}

// grouped is n with thousands apart: "5,000".
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// cut is at most n characters of s.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// iso is the machine-readable form, in seconds.
func (t moment) iso() string { return t.at.UTC().Format(time.RFC3339) }

// absolute is for people, until the script has put it into their own zone.
func (t moment) absolute() string { return t.at.UTC().Format("2 Jan 2006 15:04:05") + " UTC" }

// clock is the time of day, as absolute.
func (t moment) clock() string { return t.at.UTC().Format("15:04:05") }

// ago is the distance to now. app.js has the same steps.
func (t moment) ago() string {
	switch s := int(t.now.Sub(t.at) / time.Second); {
	case s < 5:
		return "just now"
	case s < 60:
		return strconv.Itoa(s) + " s ago"
	case s < 3600:
		return strconv.Itoa(s/60) + " min ago"
	case s < 48*3600:
		return strconv.Itoa(s/3600) + " h ago"
	default:
		return strconv.Itoa(s/86400) + " d ago"
	}
}

// took is a length of time as people say it: "0.4 s", "12 s", "3 min 20 s".
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(max(0, d.Seconds()), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}
