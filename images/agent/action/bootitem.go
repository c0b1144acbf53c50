package action

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// bootItem is a kernel, its initrd and its command line.
type bootItem struct{ kernel, initrd, options string }

// bootFiles is what is looked at of a file system.
type bootFiles interface {
	readConfig(name string) (string, error)
	names(dir string) []string
}

// findBoot finds what a boot loader would start: the first entry of the Boot Loader
// Specification (Fedora and its kin; systemd-boot), else the first one in grub.cfg
// (Debian and its kin). The file system is that of the system, or that of its /boot.
func findBoot(v bootFiles) (bootItem, error) {
	for _, prefix := range []string{"/boot", ""} {
		item, found, err := findBLS(v, prefix)
		if found || err != nil {
			return item, err
		}
	}
	for _, name := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub/grub.cfg", "/grub2/grub.cfg"} {
		config, err := v.readConfig(name)
		if err != nil {
			continue
		}
		item, err := parseGRUB(config)
		if err != nil {
			return item, fmt.Errorf("%s: %w; name the kernel by KERNEL_PATH", name, err)
		}
		return item, nil
	}
	return bootItem{}, errors.New("it has no grub.cfg and no loader entries; name the kernel by KERNEL_PATH")
}

// findBLS is the entry of the newest version, as their file names sort. Paths in an
// entry are those of the file system that holds it.
func findBLS(v bootFiles, prefix string) (item bootItem, found bool, err error) {
	dir := prefix + "/loader/entries"
	entries := slices.DeleteFunc(v.names(dir), func(name string) bool {
		return !strings.HasSuffix(name, ".conf") || strings.Contains(name, "rescue")
	})
	if len(entries) == 0 {
		return item, false, nil
	}
	name := path.Join(dir, slices.MaxFunc(entries, compareVersions))
	config, err := v.readConfig(name)
	if err != nil {
		return item, true, err
	}
	for line := range strings.Lines(config) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch value = strings.TrimSpace(value); key {
		case "linux":
			item.kernel = value
		case "initrd":
			item.initrd, _, _ = strings.Cut(value, " ") // the kernel takes one; of several the first is the system's
		case "options":
			item.options = strings.TrimSpace(item.options + " " + value)
		}
	}
	if item.options, err = expand(item.options, environmentOf(v)); err == nil && item.kernel == "" {
		err = errors.New("it names no kernel")
	}
	if err != nil {
		return item, true, fmt.Errorf("%s: %w; name the kernel by KERNEL_PATH", name, err)
	}
	if prefix != "" && !strings.HasPrefix(item.kernel, prefix) { // /boot is no file system of its own here
		for _, p := range []*string{&item.kernel, &item.initrd} {
			if *p != "" && !slices.Contains(v.names("/"), path.Base(*p)) {
				*p = path.Join(prefix, *p)
			}
		}
	}
	return item, true, nil
}

// environmentOf reads GRUB's environment block, where Fedora had its kernel options.
func environmentOf(v bootFiles) map[string]string {
	values := map[string]string{}
	for _, name := range []string{"/boot/grub2/grubenv", "/grub2/grubenv"} {
		block, err := v.readConfig(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(block) {
			if key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok && !strings.HasPrefix(line, "#") {
				values[key] = value
			}
		}
	}
	return values
}

// compareVersions compares names in which numbers count as numbers: 6.9 comes before
// 6.12.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, y := number.FindString(a), number.FindString(b)
		if x != "" && y != "" {
			p, q := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(p) != len(q) {
				return len(p) - len(q)
			}
			if p != q {
				return strings.Compare(p, q)
			}
			a, b = a[len(x):], b[len(y):]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

var number = regexp.MustCompile(`^[0-9]+`)

// parseGRUB is the first entry of a grub.cfg with a kernel. It knows the assignments
// and entries that grub-mkconfig writes, not the language.
func parseGRUB(config string) (item bootItem, err error) {
	values := map[string]string{}
	for line := range strings.Lines(config) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "set":
			name, value, _ := strings.Cut(strings.Join(words[1:], " "), "=")
			values[name] = strings.Trim(value, `"'`)
		case "linux", "linux16", "linuxefi":
			if item.kernel == "" {
				item.kernel, item.options = words[1], strings.Join(words[2:], " ")
			}
		case "initrd", "initrd16", "initrdefi":
			if item.kernel != "" && item.initrd == "" {
				item.initrd = words[1]
			}
		case "menuentry", "submenu":
			if item.kernel != "" {
				return item.expanded(values)
			}
		}
	}
	if item.kernel == "" {
		return item, errors.New("it has no entry with a kernel")
	}
	return item.expanded(values)
}

// expanded has the values of variables in their places.
func (b bootItem) expanded(values map[string]string) (bootItem, error) {
	var errs [3]error
	b.kernel, errs[0] = expand(b.kernel, values)
	b.initrd, errs[1] = expand(b.initrd, values)
	b.options, errs[2] = expand(b.options, values)
	return b, errors.Join(errs[:]...)
}

var variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?`)

// may are variables that GRUB sets itself, or that add what a system can do without.
var may = []string{"extra_cmdline", "tuned_params", "tuned_initrd", "vt_handoff", "early_initrd"}

// expand puts the values of variables in their places; one without a value is an
// error, for a command line that lacks its root boots nothing.
func expand(text string, values map[string]string) (string, error) {
	var missing []string
	text = variable.ReplaceAllStringFunc(text, func(v string) string {
		name := variable.FindStringSubmatch(v)[1]
		value, ok := values[name]
		if !ok && !slices.Contains(may, name) {
			missing = append(missing, v)
		}
		return value
	})
	if missing != nil {
		return "", fmt.Errorf("it uses %s, which has no value", strings.Join(missing, ", "))
	}
	return strings.Join(strings.Fields(text), " "), nil
}
