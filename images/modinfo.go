package images

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxModinfo bounds the .modinfo section of one module, in bytes. The largest
// of Debian 13 has 70 KiB.
const maxModinfo = 4 << 20

// module is one kernel module, as its own .modinfo section describes it.
// Names are in the kernel's spelling, with "_" for "-".
type module struct {
	Name     string
	Path     string   // below /lib/modules/<release>, uncompressed: "kernel/drivers/.../igb.ko"
	Depends  []string // modules whose symbols it uses
	Pre      []string // softdep: better loaded before it; may be an alias such as crypto_crc32c
	Post     []string // softdep: better loaded after it
	Softdeps []string // the same as the module spells it, such as "pre: crypto-crc32c"
	Aliases  []string // modalias patterns, such as "pci:v00008086d00001521sv*"
	Firmware []string // files it may ask for, below /lib/firmware; may hold "*"
	Body     []byte   // the uncompressed ELF file, signature and all
}

// readModule reads a module from its uncompressed ELF file.
func readModule(path string, body []byte) (module, error) {
	name := moduleName(path)
	section, err := modinfoSection(body)
	if err != nil {
		return module{}, fmt.Errorf("read module %s: %w", name, err)
	}
	m := parseModinfo(section)
	m.Name, m.Path, m.Body = name, path, body
	return m, nil
}

// modinfoSection returns the bytes of an ELF file's .modinfo section.
func modinfoSection(body []byte) ([]byte, error) {
	file, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no .modinfo section; is it a kernel module?")
	}
	if section.Size > maxModinfo {
		return nil, fmt.Errorf("the .modinfo section has %d bytes; %d are allowed", section.Size, maxModinfo)
	}
	return io.ReadAll(io.LimitReader(section.Open(), maxModinfo))
}

// parseModinfo reads "key=value" strings that each end with NUL
// (include/linux/moduleinfo.h). Unknown keys are skipped.
func parseModinfo(section []byte) module {
	var m module
	for entry := range bytes.SplitSeq(section, []byte{0}) {
		key, value, found := strings.Cut(string(entry), "=")
		if !found || value == "" {
			continue
		}
		switch key {
		case "depends":
			m.Depends = append(m.Depends, moduleNames(strings.Split(value, ","))...)
		case "softdep":
			m.Softdeps = append(m.Softdeps, value)
			pre, post := parseSoftdep(value)
			m.Pre, m.Post = append(m.Pre, pre...), append(m.Post, post...)
		case "alias":
			m.Aliases = append(m.Aliases, value)
		case "firmware":
			m.Firmware = append(m.Firmware, value)
		}
	}
	return m
}

// parseSoftdep reads "pre: a b post: c" (modprobe.d(5)). Words before the first
// keyword belong to neither list.
func parseSoftdep(value string) (pre, post []string) {
	var list *[]string
	for word := range strings.FieldsSeq(value) {
		switch {
		case word == "pre:":
			list = &pre
		case word == "post:":
			list = &post
		case list != nil:
			*list = append(*list, moduleNames([]string{word})...)
		}
	}
	return pre, post
}

// moduleName is the kernel's name of the module in a file: "-" and "_" are the
// same to it, and the endings do not count.
func moduleName(path string) string {
	base := path[strings.LastIndexByte(path, '/')+1:]
	base, _, _ = strings.Cut(base, ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

func moduleNames(words []string) []string {
	var names []string
	for _, word := range words {
		if word = strings.TrimSpace(word); word != "" {
			names = append(names, strings.ReplaceAll(word, "-", "_"))
		}
	}
	return names
}
