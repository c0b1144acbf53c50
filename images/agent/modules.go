package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// Modules are the kernel modules of an image, as depmod describes them
// (modules.dep(5), modules.alias, modules.softdep), and the way to load them.
// It is safe for concurrent use.
type Modules struct {
	aliases map[string][]alias  // by [busOf]
	deps    map[string][]string // module name -> files, what is needed first first, itself last
	soft    map[string][]string // module name -> names or aliases wanted before it
	insert  func(file string) error

	mu   sync.Mutex
	done map[string]func() error // by file: loads it once
}

// alias is one line of modules.alias; the pattern is cut after its literal
// start, which refuses most of the thousands of patterns by one comparison.
type alias struct{ literal, pattern, module string }

// NewModules reads the index of the modules in fsys, the folder
// /lib/modules/RELEASE. insert gives one file, named relative to that folder,
// to the kernel; a module that is loaded already is not an error.
func NewModules(fsys fs.FS, insert func(file string) error) (*Modules, error) {
	m := &Modules{
		aliases: map[string][]alias{}, deps: map[string][]string{}, soft: map[string][]string{},
		insert: insert, done: map[string]func() error{},
	}
	for name, parse := range map[string]func(line string){
		"modules.dep": m.dep, "modules.alias": m.alias, "modules.softdep": m.softdep,
	} {
		data, err := fs.ReadFile(fsys, name)
		if err != nil && name != "modules.softdep" {
			return m, fmt.Errorf("module index: %w", err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			parse(lines.Text())
		}
	}
	return m, nil
}

// dep reads "kernel/b.ko: kernel/a.ko kernel/z.ko", where z is needed first.
func (m *Modules) dep(line string) {
	file, rest, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	files := strings.Fields(rest)
	slices.Reverse(files)
	m.deps[moduleName(file)] = append(files, file)
}

// alias reads "alias pci:v00008086d*sv*sd*bc*sc*i* e1000e".
func (m *Modules) alias(line string) {
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != "alias" {
		return
	}
	bus := busOf(f[1])
	cut := strings.IndexAny(f[1], "*?[")
	if cut < 0 {
		cut = len(f[1])
	}
	m.aliases[bus] = append(m.aliases[bus], alias{f[1][:cut], f[1][cut:], moduleName(f[2])})
}

// busOf is what a pattern and the device names it matches have in common: the
// part before ":", where ACPI's patterns have a "*" ("acpi*:IPI0001:*").
func busOf(alias string) string {
	if end := strings.IndexAny(alias, ":*?["); end >= 0 {
		return alias[:end]
	}
	return alias
}

// softdep reads "softdep ext4 pre: crc32c post: x". Only what comes before
// matters: there is no modprobe in the image that the kernel could call later.
func (m *Modules) softdep(line string) {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "softdep" {
		return
	}
	name, pre := moduleName(f[1]), false
	for _, word := range f[2:] {
		if strings.HasSuffix(word, ":") {
			pre = word == "pre:"
		} else if pre {
			m.soft[name] = append(m.soft[name], word)
		}
	}
}

// moduleName is a module's name as the kernel writes it: no folder, no suffix,
// "_" for "-".
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// Match names the modules for a device with that modalias. A module's own name
// matches too.
func (m *Modules) Match(modalias string) []string {
	var names []string
	for _, a := range m.aliases[busOf(modalias)] {
		rest, ok := strings.CutPrefix(modalias, a.literal)
		if ok && glob(a.pattern, rest) && !slices.Contains(names, a.module) {
			names = append(names, a.module)
		}
	}
	if name := moduleName(modalias); len(names) == 0 && m.deps[name] != nil {
		names = append(names, name)
	}
	return names
}

// glob is fnmatch(3) without flags, where "*" also matches "/": a PCI or DMI
// alias is no path.
func glob(pattern, s string) bool {
	if pattern == "*" {
		return true
	}
	if strings.Contains(s, "/") {
		s, pattern = strings.ReplaceAll(s, "/", "\x01"), strings.ReplaceAll(pattern, "/", "\x01")
	}
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

// Load loads the modules that match modalias, or the module of that name, and
// first what they need. It returns the names it tried and the first error.
func (m *Modules) Load(modalias string) (names []string, err error) {
	names = m.Match(modalias)
	for _, file := range m.order(names) {
		if e := m.once(file)(); e != nil && err == nil {
			err = fmt.Errorf("load %s: %w", moduleName(file), e)
		}
	}
	return names, err
}

// order lists the files of the named modules with all they need before them.
func (m *Modules) order(names []string) []string {
	var files []string
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] { // soft dependencies may form a circle
			return
		}
		seen[name] = true
		for _, file := range m.deps[name] {
			need := moduleName(file)
			for _, soft := range m.soft[need] {
				for _, s := range m.Match(soft) {
					visit(s)
				}
			}
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	for _, name := range names {
		visit(name)
	}
	return files
}

// once is the one loading of file that every caller shares and waits for.
func (m *Modules) once(file string) func() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done[file] == nil {
		m.done[file] = sync.OnceValue(func() error { return m.insert(file) })
	}
	return m.done[file]
}

// Loaded reports whether loading the named module was tried.
func (m *Modules) Loaded(name string) bool {
	files := m.deps[name]
	if len(files) == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done[files[len(files)-1]] != nil
}
