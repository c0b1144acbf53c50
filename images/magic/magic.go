// Package magic tells what a file is by how it begins, since names lie: how it is
// packed, and that it is no disk. The image store and the agent agree on it.
package magic

import (
	"bytes"
	"strings"
)

// Packing is a way to make a file smaller; empty: none.
type Packing string

// The packings that are unpacked.
const (
	Gzip  Packing = "gzip"  // RFC 1952 section 2.3.1
	XZ    Packing = "xz"    // https://tukaani.org/xz/xz-file-format.txt section 2.1.1.1
	Zstd  Packing = "zstd"  // RFC 8878 section 3.1.1
	Bzip2 Packing = "bzip2" // with the level behind it, a digit
)

// Size is how many bytes of a file have to be seen to know it.
const Size = 6

// PackingOf is how a file is packed that begins with head, of which [Size] bytes are
// enough.
func PackingOf(head []byte) Packing {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return Gzip
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return XZ
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), isSkippable(head):
		return Zstd
	case bytes.HasPrefix(head, []byte("BZh")) && len(head) > 3 && '1' <= head[3] && head[3] <= '9':
		return Bzip2
	}
	return ""
}

// isSkippable reports whether head is that of a skippable frame of zstd, with which
// pzstd begins a file (RFC 8878 section 3.1.2: 0x184D2A50 to 0x184D2A5F).
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18"))
}

// Ext is what names of files end with that are packed so, with its dot.
func (p Packing) Ext() string {
	return map[Packing]string{Gzip: ".gz", XZ: ".xz", Zstd: ".zst", Bzip2: ".bz2"}[p]
}

// HeadSize is how much of an unpacked file is worth looking at: the first sectors of a
// disk, where a partition table is.
const HeadSize = 4096

// strangers are files that are no disks, or disks of a kind that is not read.
var strangers = []struct {
	at          int
	magic, what string
}{
	{0, "KDMV", "a VMDK disk"},
	{0, "# Disk Descriptor", "the description of a VMDK disk"},
	{0, "vhdxfile", "a VHDX disk"},
	{0, "conectix", "a VHD disk"},
	{0x40, "\x7f\x10\xda\xbe", "a VDI disk"},
	{0, "PK\x03\x04", "a ZIP archive"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{257, "ustar", Tar},
}

// Tar is what [Stranger] says of a tar archive.
const Tar = "a tar archive"

// Stranger is what an unpacked file is that begins with head, where that is no raw disk
// for sure; empty: it may well be one. Of head [HeadSize] bytes are enough.
func Stranger(head []byte) string {
	for _, s := range strangers {
		if len(head) > s.at && bytes.HasPrefix(head[s.at:], []byte(s.magic)) {
			return s.what
		}
	}
	text := strings.ToLower(string(bytes.TrimLeft(head[:min(len(head), 64)], " \t\r\n\ufeff")))
	switch {
	case strings.HasPrefix(text, "<!doctype"), strings.HasPrefix(text, "<html"):
		return WebPage
	case strings.HasPrefix(text, "<?xml"):
		return "an XML document"
	}
	return ""
}

// WebPage is what [Stranger] says of what a server sends in place of a file.
const WebPage = "a web page"
