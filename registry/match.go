package registry

import (
	"slices"
	"strings"
)

// Match picks, among candidates, the record that is the same machine as reg:
// by SMBIOS UUID, else by vendor and serial number, else by any hardware
// address. So a machine keeps its record when a NIC or its mainboard is swapped.
//
// Boards of one batch may carry one UUID, and blades often carry the serial of their
// chassis. So a record is another machine when identity is all it shares with reg and
// they have no part in common, or its agent runs at this moment, as alive tells; and
// so it is when only an address is, such as that of a NIC on USB.
func Match(reg Registration, candidates []Machine, alive func(id string) bool) (Machine, bool) {
	best, bestScore := Machine{}, 0
	for _, m := range candidates {
		s := likeness(reg, m)
		if s == 0 || isApart(reg, m) || (alive(m.ID) && isTwin(reg, m)) {
			continue
		}
		if s > bestScore || (s == bestScore && m.CreatedAt.Before(best.CreatedAt)) {
			best, bestScore = m, s
		}
	}
	return best, bestScore > 0
}

// likeness ranks how sure it is that reg and m are one machine: any UUID match
// outranks any serial match, which outranks any address match.
func likeness(reg Registration, m Machine) int {
	score := 0
	if sameUUID(reg.Hardware.System, m.Hardware.System) {
		score += 8
	}
	if sameSerial(reg.Hardware.System, m.Hardware.System) {
		score += 4
	} else if awaits(m, reg.Hardware.System.Serial) {
		score += 2
	}
	if sharesMAC(reg.MACs, m.MACs) && (score > 0 || !isStranger(reg, m)) {
		score++
	}
	return score
}

// isStranger reports whether all that reg shares with m is an address that it did
// not boot from: UUID and serial number both say that they are two machines. That
// address is only said, and so is not enough to take over a record.
func isStranger(reg Registration, m Machine) bool {
	return !slices.Contains(m.MACs, reg.MAC) && areStrangers(reg.Hardware.System, m.Hardware.System)
}

// areStrangers reports whether UUID and serial number both say that two systems are not
// one.
func areStrangers(a, b System) bool {
	return usableUUID(a.UUID) && usableUUID(b.UUID) && !sameUUID(a, b) &&
		usableSerial(a.Serial) && usableSerial(b.Serial) && !sameSerial(a, b)
}

// isTwin reports whether reg is a machine beside m, given that m is alive now. One that
// has a UUID says so in every boot: an address alone may be another's that was moved, or
// made up.
func isTwin(reg Registration, m Machine) bool {
	if !sharesMAC(reg.MACs, m.MACs) {
		return true
	}
	return usableUUID(m.Hardware.System.UUID) && !sameUUID(reg.Hardware.System, m.Hardware.System)
}

// isApart reports whether reg and m have no part in common, and both name parts, though
// they share an address, or say one UUID or serial number. A mainboard that was swapped
// leaves memory and disks, and a NIC all else; but one that is plugged in from outside
// goes from machine to machine.
func isApart(reg Registration, m Machine) bool {
	if sharesMAC(reg.MACs, m.MACs) && !areStrangers(reg.Hardware.System, m.Hardware.System) {
		return false
	}
	a, b := serials(reg.Hardware), serials(m.Hardware)
	return len(a) > 0 && len(b) > 0 && !slices.ContainsFunc(a, func(serial string) bool { return slices.Contains(b, serial) })
}

// serials are those of a machine's memory modules and disks, as keys, where they tell
// parts apart. A disk that is plugged in from outside is anybody's.
func serials(h Hardware) (keys []string) {
	for _, d := range h.Memory.DIMMs {
		if usableSerial(d.Serial) {
			keys = append(keys, "memory "+d.Serial)
		}
	}
	for _, d := range h.Disks {
		if usableSerial(d.Serial) && !d.Removable && d.Transport != "usb" {
			keys = append(keys, "disk "+d.Serial)
		}
	}
	return keys
}

func sharesMAC(a, b []MAC) bool {
	return slices.ContainsFunc(a, func(mac MAC) bool { return slices.Contains(b, mac) })
}

func sameUUID(a, b System) bool {
	return usableUUID(a.UUID) && strings.EqualFold(a.UUID, b.UUID)
}

func sameSerial(a, b System) bool {
	return usableSerial(a.Serial) && a.Serial == b.Serial && strings.EqualFold(a.Vendor, b.Vendor)
}

// sameIdentity reports whether two systems say that they are one.
func sameIdentity(a, b System) bool { return sameUUID(a, b) || sameSerial(a, b) }

// awaits reports whether m is expected, by a list, under that serial number. What a
// list calls the vendor is not what the firmware does, so that is not compared.
func awaits(m Machine, serial string) bool {
	return m.RegisteredAt.IsZero() && usableSerial(serial) && serial == m.Hardware.System.Serial
}

// marks are what may tell that a system is the same one, as keys: its UUID and its
// serial number, where they tell machines apart.
func marks(s System) (keys []string) {
	if usableUUID(s.UUID) {
		keys = append(keys, "uuid "+strings.ToLower(s.UUID))
	}
	if usableSerial(s.Serial) {
		keys = append(keys, "serial "+s.Serial)
	}
	return keys
}

// usableUUID reports whether an SMBIOS UUID tells machines apart. Some boards
// ship without one (all zero or all one bits, DSP0134 section 7.2.1) or with
// their BIOS vendor's sample.
func usableUUID(uuid string) bool {
	switch strings.ToLower(uuid) {
	case "03000200-0400-0500-0006-000700080009", // AMI's sample
		"00020003-0004-0005-0006-000700080009", // the same with swapped bytes
		"12345678-1234-5678-90ab-cddeefaabbcc",
		"fefefefe-fefe-fefe-fefe-fefefefefefe":
		return false
	}
	return !sameRune(strings.ReplaceAll(uuid, "-", ""))
}

// usableSerial reports whether a serial number tells machines apart: makers
// leave placeholders.
func usableSerial(serial string) bool {
	switch strings.ToLower(strings.TrimSpace(serial)) {
	case "none", "n/a", "na", "not specified", "not applicable", "not available", "unknown",
		"default string", "default", "to be filled by o.e.m.", "system serial number",
		"chassis serial number", "empty", "invalid", "oem", "123456789", "0123456789", "1234567890", "12345678":
		return false
	}
	return !sameRune(strings.TrimSpace(serial))
}

// sameRune reports whether s is empty or repeats one character, as "0000" does.
func sameRune(s string) bool {
	return s == "" || strings.Trim(s, s[:1]) == ""
}
