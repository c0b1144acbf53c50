package images

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxLinks bounds how many symbolic links stand between a firmware name and its
// file.
const maxLinks = 8

// firmwareFile is one file or link below /lib/firmware.
type firmwareFile struct {
	Name   string // such as "bnx2x/bnx2x-e2-7.13.21.0.fw"
	Target string // for a symbolic link: where it points, as the package has it
	Body   []byte // for a file
}

// chooseFirmware reads the files that the modules may ask for out of the
// unpacked firmware packages, links with their targets, sorted by name. Of
// several versions of one file only the newest is kept: drivers that name
// several try the newest first. absent lists what no package has.
func chooseFirmware(modules []module, packages []fs.FS) (files []firmwareFile, absent []string, err error) {
	var names []string
	for _, m := range modules {
		names = append(names, m.Firmware...)
		names = append(names, unnamedFirmware(m.Name)...)
	}
	slices.Sort(names)
	found := map[string]firmwareFile{}
	var present []string
	for _, name := range slices.Compact(names) {
		matches := findFirmware(name, packages)
		if len(matches) == 0 {
			absent = append(absent, name)
		}
		present = append(present, matches...)
	}
	for _, name := range newest(present) {
		if err := readFirmware(name, packages, found); err != nil {
			return nil, nil, err
		}
	}
	for _, file := range found {
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b firmwareFile) int { return strings.Compare(a.Name, b.Name) })
	return files, absent, nil
}

// unnamedFirmware lists files that a driver asks for without naming them in its
// .modinfo. cxgb4 wants a configuration beside its firmware, for each chip.
func unnamedFirmware(module string) []string {
	if module == "cxgb4" {
		return []string{"cxgb4/t4-config.txt", "cxgb4/t5-config.txt", "cxgb4/t6-config.txt"}
	}
	return nil
}

// findFirmware lists the names that a pattern, mostly a plain name, stands for.
func findFirmware(pattern string, packages []fs.FS) []string {
	var names []string
	for _, pkg := range packages {
		for _, dir := range firmwareDirs() {
			matches, err := fs.Glob(pkg, path.Join(dir, pattern))
			if err != nil { // a malformed pattern is only a name that nobody has
				continue
			}
			for _, match := range matches {
				names = append(names, strings.TrimPrefix(match, dir+"/"))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// firmwareDirs is where packages put firmware: since Debian 13 below usr.
func firmwareDirs() []string { return []string{"usr/lib/firmware", "lib/firmware"} }

// readFirmware adds a file to those found; for a link, the link and its target.
func readFirmware(name string, packages []fs.FS, found map[string]firmwareFile) error {
	for range maxLinks {
		file, err := openFirmware(name, packages)
		if err != nil {
			return fmt.Errorf("read firmware %s: %w", name, err)
		}
		found[name] = file
		if file.Target == "" {
			return nil
		}
		name = path.Join(path.Dir(name), file.Target)
	}
	return fmt.Errorf("read firmware %s: more than %d links", name, maxLinks)
}

func openFirmware(name string, packages []fs.FS) (firmwareFile, error) {
	for _, pkg := range packages {
		for _, dir := range firmwareDirs() {
			full := path.Join(dir, name)
			if target, err := fs.ReadLink(pkg, full); err == nil {
				return firmwareFile{Name: name, Target: target}, nil
			}
			body, err := fs.ReadFile(pkg, full)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return firmwareFile{Name: name, Body: body}, err
		}
	}
	return firmwareFile{}, fs.ErrNotExist
}

// newest keeps of all names that differ only in a version the highest one.
func newest(names []string) []string {
	best := map[string]string{}
	for _, name := range names {
		family, version := splitVersion(name)
		_, held := splitVersion(best[family])
		if best[family] == "" || slices.Compare(version, held) > 0 {
			best[family] = name
		}
	}
	kept := make([]string, 0, len(best))
	for _, name := range best {
		kept = append(kept, name)
	}
	slices.Sort(kept)
	return kept
}

// splitVersion takes "bnx2x-e2-7.13.21.0.fw" apart into "bnx2x-e2-.fw" and
// 7, 13, 21, 0. A single number is a chip's revision (rtl8168h-2.fw), no version.
func splitVersion(name string) (family string, version []int) {
	ending := path.Ext(name)
	stem := strings.TrimSuffix(name, ending)
	dash := strings.LastIndexByte(stem, '-')
	words := strings.Split(stem[dash+1:], ".")
	if dash < 0 || len(words) < 2 {
		return name, nil
	}
	for _, word := range words {
		number, err := strconv.Atoi(word)
		if err != nil {
			return name, nil
		}
		version = append(version, number)
	}
	return stem[:dash+1] + ending, version
}
