package tink

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"dragonfly/registry"
)

type number = protowire.Number

// pick takes the texts of a message by their numbers, and passes over the rest.
func pick(texts map[number]*string) func(f field) error {
	return func(f field) error {
		if to, ok := texts[f.number]; ok {
			return f.text(to)
		}
		return nil
	}
}

// attributes is what was found in a machine as AgentAttributes: what Tinkerbell's
// rules choose a Workflow by, and what its discovery makes Hardware of.
func attributes(h registry.Hardware) (b []byte) {
	b = appendMessage(b, 1, cpu(h.CPU))
	b = appendMessage(b, 2, texts(size(h.Memory.Installed()), size(h.Memory.Bytes)))
	for _, d := range h.Disks {
		b = appendMessage(b, 3, texts(d.Name, d.Transport, driveType(d), size(d.Bytes), "", "", d.Model, d.WWN, d.Serial))
	}
	for _, n := range h.NICs {
		if n.Name != "" {
			b = appendMessage(b, 4, texts(n.Name, n.MAC.String(), speed(n.SpeedMbit)))
		}
	}
	b = appendMessage(b, 7, texts(h.System.Serial, h.System.Vendor))
	b = appendMessage(b, 8, texts(h.Firmware.Vendor, h.Firmware.Version, h.Firmware.Date))
	return appendMessage(b, 10, texts(h.System.Product, h.System.Vendor, h.System.Serial))
}

// texts is a message that has nothing but texts, numbered from 1.
func texts(all ...string) (b []byte) {
	for i, text := range all {
		b = appendText(b, 1+number(i), strings.ToValidUTF8(text, ""))
	}
	return b
}

func cpu(c registry.CPU) (b []byte) {
	b = appendNumber(b, 1, uint64(max(c.Cores, 0)))
	b = appendNumber(b, 2, uint64(max(c.Threads, 0)))
	for id := range max(c.Sockets, 0) {
		socket := appendNumber(nil, 1, uint64(id))
		socket = appendNumber(socket, 2, uint64(max(c.Cores/c.Sockets, 0)))
		socket = appendNumber(socket, 3, uint64(max(c.Threads/c.Sockets, 0)))
		socket = appendText(socket, 4, strings.ToValidUTF8(c.Vendor, ""))
		b = appendMessage(b, 3, appendText(socket, 5, strings.ToValidUTF8(c.Model, "")))
	}
	return b
}

// size is a number of bytes as Tinkerbell's agent writes it, such as 16GB: rounded up.
func size(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	units := []string{"B", "KB", "MB", "GB", "TB", "PB", "EB"}
	unit, one := 0, int64(1)
	for bytes/one >= 1024 {
		unit, one = unit+1, one*1024
	}
	return fmt.Sprintf("%d%s", (bytes-1)/one+1, units[unit])
}

func speed(mbit int) string {
	if mbit <= 0 {
		return ""
	}
	return fmt.Sprintf("%dMb/s", mbit)
}

func driveType(d registry.Disk) string {
	if d.Rotational {
		return "HDD"
	}
	return "SSD"
}
