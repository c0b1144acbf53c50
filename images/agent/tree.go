package agent

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tree reads sysfs and procfs below a root. What cannot be read is the zero
// value: a missing attribute is an answer, not an error.
type tree struct{ fs.FS }

// bytes is a whole file; nil where there is none.
func (t tree) bytes(elem ...string) []byte {
	data, err := fs.ReadFile(t.FS, path.Join(elem...))
	if err != nil {
		return nil
	}
	return data
}

// text is a file's content, fit to be shown.
func (t tree) text(elem ...string) string { return clean(string(t.bytes(elem...))) }

// number is a decimal file; 0 where there is none or it is no number.
func (t tree) number(elem ...string) int64 {
	n, err := strconv.ParseInt(t.text(elem...), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// hex4 is a PCI id file such as "0x8086" as "8086"; "" where there is none.
func (t tree) hex4(elem ...string) string {
	return strings.TrimPrefix(t.text(elem...), "0x")
}

// names lists a folder, sorted.
func (t tree) names(elem ...string) []string {
	entries, err := fs.ReadDir(t.FS, path.Join(elem...))
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// link is where a symbolic link points to, as written; "" where there is none.
func (t tree) link(elem ...string) string {
	target, err := fs.ReadLink(t.FS, path.Join(elem...))
	if err != nil {
		return ""
	}
	return target
}

// base is the last element of a link's target, "" where there is no link.
func (t tree) base(elem ...string) string {
	if target := t.link(elem...); target != "" {
		return path.Base(target)
	}
	return ""
}

func (t tree) exists(elem ...string) bool {
	_, err := fs.Stat(t.FS, path.Join(elem...))
	return err == nil
}

// maxText bounds, in bytes, what a string of the firmware or a device may be.
const maxText = 256

// clean makes a string of the firmware or a device fit to be shown and sent: no
// control characters, no broken UTF-8, no markup, which a registration may not
// have, runs of blanks as one, bounded.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			return '('
		case r == '>':
			return ')'
		case unicode.IsSpace(r) || r == 0:
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s[:min(len(s), 4*maxText)])
	s = strings.Join(strings.Fields(s), " ")
	for len(s) > maxText {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
