package magic

import (
	"strings"
	"testing"
)

func TestPackingOf(t *testing.T) {
	for head, want := range map[string]struct {
		packing Packing
		ext     string
	}{
		"\x1f\x8b\x08\x00\x00\x00":     {Gzip, ".gz"},
		"\xfd7zXZ\x00\x00":             {XZ, ".xz"},
		"\x28\xb5\x2f\xfd\x04\x00":     {Zstd, ".zst"},
		"\x50\x2a\x4d\x18\x04\x00":     {Zstd, ".zst"},
		"\x5f\x2a\x4d\x18":             {Zstd, ".zst"},
		"\x60\x2a\x4d\x18\x04\x00":     {},
		"\x50\x2a\x4d":                 {},
		"BZh91AY":                      {Bzip2, ".bz2"},
		"BZhello":                      {}, // a raw disk may begin with anything
		"BZh":                          {},
		"\xebc\x90\x00\x00\x00":        {},
		"":                             {},
		"\x28\xb5\x2f":                 {},
		"\x00\x00\x28\xb5\x2f\xfd\x00": {},
	} {
		if got := PackingOf([]byte(head)); got != want.packing || got.Ext() != want.ext {
			t.Errorf("%q: %q with %q; want %q with %q", head, got, got.Ext(), want.packing, want.ext)
		}
	}
}

func TestStranger(t *testing.T) {
	at := func(offset int, magic string) string { return strings.Repeat("\x00", offset) + magic }
	for head, want := range map[string]string{
		"KDMV\x01": "a VMDK disk", "vhdxfile": "a VHDX disk", at(0x40, "\x7f\x10\xda\xbe"): "a VDI disk",
		at(257, "ustar\x0000"): Tar, "PK\x03\x04": "a ZIP archive", " \n<!DOCTYPE html>": WebPage, "<HTML><body>404": WebPage,
		"<?xml version=": "an XML document", at(256, "ustar"): "", "\xebc\x90": "", "": "", "hsqs": "",
	} {
		if got := Stranger([]byte(head)); got != want {
			t.Errorf("%.40q: %q; want %q", head, got, want)
		}
	}
}
