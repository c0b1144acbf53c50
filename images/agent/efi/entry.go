// Package efi reads and writes the boot entries of UEFI firmware (UEFI 2.10 section
// 3.1), which the kernel shows as files of efivarfs: BootOrder lists the entries,
// BootCurrent is the one that this boot came from, BootNext is the one to take next,
// once.
package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// Entry is an EFI_LOAD_OPTION (UEFI 3.1.3), the value of a variable Boot####.
type Entry struct {
	Attributes  uint32
	Description string
	Path        []Node // without the node that ends it
	Data        []byte // for the loader
}

// active is the attribute of an entry that may be booted.
const active = 1

// Active reports whether the firmware may boot the entry by itself.
func (e Entry) Active() bool { return e.Attributes&active != 0 }

// Node is one node of a device path (UEFI 10.3).
type Node struct {
	Type, Kind byte
	Data       []byte
}

// The types of nodes that are told apart here.
const (
	typeMessaging, typeMedia, typeEnd = 3, 4, 0x7f

	kindMAC, kindIPv4, kindIPv6, kindURI = 11, 12, 13, 24
	kindHardDrive, kindFile              = 1, 4
	kindEndAll                           = 0xff
)

// ParseEntry reads an entry.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) < 6 {
		return Entry{}, errors.New("a boot entry is shorter than its header")
	}
	e := Entry{Attributes: binary.LittleEndian.Uint32(b)}
	length, rest := int(binary.LittleEndian.Uint16(b[4:])), b[6:]
	text, rest, ok := cutText(rest)
	if !ok || length > len(rest) {
		return Entry{}, errors.New("a boot entry ends in the middle")
	}
	e.Description, e.Data = text, rest[length:]
	var err error
	e.Path, err = parsePath(rest[:length])
	return e, err
}

// cutText reads UTF-16 up to a zero.
func cutText(b []byte) (text string, rest []byte, ok bool) {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			return string(utf16.Decode(units)), b[2:], true
		}
		units = append(units, u)
	}
	return "", nil, false
}

func putText(b []byte, text string) []byte {
	for _, u := range append(utf16.Encode([]rune(text)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// parsePath reads the nodes up to the first that ends a path: an entry may have
// several paths, of which the others are not for booting.
func parsePath(b []byte) (path []Node, err error) {
	for len(b) >= 4 {
		size := int(binary.LittleEndian.Uint16(b[2:]))
		if b[0] == typeEnd {
			return path, nil
		}
		if size < 4 || size > len(b) {
			return nil, errors.New("a boot entry has a broken device path")
		}
		path = append(path, Node{b[0], b[1], b[4:size]})
		b = b[size:]
	}
	return path, nil
}

// Bytes is the entry as the firmware keeps it.
func (e Entry) Bytes() []byte {
	var path []byte
	for _, n := range append(slices.Clone(e.Path), Node{Type: typeEnd, Kind: kindEndAll}) {
		path = append(path, n.Type, n.Kind)
		path = binary.LittleEndian.AppendUint16(path, uint16(4+len(n.Data)))
		path = append(path, n.Data...)
	}
	b := binary.LittleEndian.AppendUint32(nil, e.Attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b = putText(b, e.Description)
	return append(append(b, path...), e.Data...)
}

// HardDrive is a node that names a partition (UEFI 10.3.5.1). Positions are in
// sectors.
type HardDrive struct {
	Number        uint32
	Start, Size   uint64
	Signature     [16]byte // GPT: the partition's GUID; DOS: the disk's signature, in the first four bytes
	Format, Named byte     // 1: DOS, 2: GPT, each
}

// Node is the hard drive as a node.
func (h HardDrive) Node() Node {
	b := binary.LittleEndian.AppendUint32(nil, h.Number)
	b = binary.LittleEndian.AppendUint64(b, h.Start)
	b = binary.LittleEndian.AppendUint64(b, h.Size)
	b = append(append(b, h.Signature[:]...), h.Format, h.Named)
	return Node{typeMedia, kindHardDrive, b}
}

// File is a node that names a file on the partition before it, such as
// \EFI\debian\shimx64.efi.
func File(name string) Node { return Node{typeMedia, kindFile, putText(nil, name)} }

// FromDisk reports whether the entry boots from a partition.
func (e Entry) FromDisk() bool {
	return slices.ContainsFunc(e.Path, func(n Node) bool { return n.Type == typeMedia && n.Kind == kindHardDrive })
}

// FromNetwork reports whether the entry boots over a network port, by PXE or HTTP.
func (e Entry) FromNetwork() bool {
	return !e.FromDisk() && slices.ContainsFunc(e.Path, func(n Node) bool {
		return n.Type == typeMessaging && (n.Kind == kindMAC || n.Kind == kindIPv4 || n.Kind == kindIPv6 || n.Kind == kindURI)
	})
}

// same reports whether two entries boot the same file of the same partition. The
// file system of the partition does not tell upper from lower case.
func (e Entry) same(other Entry) bool {
	return slices.EqualFunc(e.Path, other.Path, func(a, b Node) bool {
		if a.Type == typeMedia && a.Kind == kindFile && b.Type == typeMedia && b.Kind == kindFile {
			x, _, _ := cutText(a.Data)
			y, _, _ := cutText(b.Data)
			return strings.EqualFold(x, y)
		}
		return a.Type == b.Type && a.Kind == b.Kind && string(a.Data) == string(b.Data)
	})
}

// name is the name of an entry's variable.
func name(n uint16) string { return fmt.Sprintf("Boot%04X", n) }
