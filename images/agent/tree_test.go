package agent

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"
)

// recorded is a tree of testdata as a file system: what [Inventory] read of a
// machine, one path a line, a file with its quoted content, a link with "->" and
// its target, a folder with "/" at the end.
//
// vm.tree is a QEMU machine with BIOS, one port without a driver and a disk of
// every kind; server.tree one with UEFI, two sockets, NVMe and a RAID adapter.
func recorded(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	data, err := os.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	root := fstest.MapFS{}
	for line := range strings.Lines(string(data)) {
		name, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		mode := fs.FileMode(0o444)
		if target, ok := strings.CutPrefix(quoted, "-> "); ok {
			mode, quoted = fs.ModeSymlink, target
		}
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			root[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o555}
			continue
		}
		content, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %s: %v", name, quoted, err)
		}
		root[name] = &fstest.MapFile{Data: []byte(content), Mode: mode}
	}
	return root
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"  Dell  Inc.\n":                 "Dell Inc.",
		"a\x00\x00b":                     "a b",
		"\x1b[2Jevil\x07":                "[2Jevil",
		"tr\u00fcb \u202e\u200b":         "tr\u00fcb",
		"\xff\xfebroken":                 "broken",
		"<OUT OF SPEC>":                  "(OUT OF SPEC)",
		strings.Repeat("\u00e9", 10_000): strings.Repeat("\u00e9", maxText/2),
		"":                               "",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%.40q) = %.40q, want %.40q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("Dell\x00\x1b[1m \xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > maxText || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("clean(%q) = %q", s, got)
		}
	})
}
