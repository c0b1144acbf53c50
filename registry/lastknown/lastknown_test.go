package lastknown

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

func reopen(t *testing.T, file string) *Copy {
	t.Helper()
	c, err := Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // some tests have closed it
	return c
}

func machine(id, name string, version int64) registry.Machine {
	return registry.Machine{ID: id, Name: name, Version: version, State: registry.Ready,
		Hardware: registry.Hardware{System: registry.System{Vendor: "Acme"}, CPU: registry.CPU{Model: "fast"}}}
}

// names is what q finds, in its order.
func names(t *testing.T, c *Copy, q registry.Query) string {
	t.Helper()
	found, err := c.Machines(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range found {
		list = append(list, m.Name)
	}
	return strings.Join(list, " ")
}

// TestKeepAndSave asks the same before and after the disk has it, and after a restart.
func TestKeepAndSave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	c := reopen(t, file)
	c.Keep([]registry.Machine{machine("1", "beta", 2), machine("2", "alpha", 1), machine("3", "gone", 1)}, nil)
	c.Keep([]registry.Machine{machine("1", "older", 1)}, []string{"3"})
	filter, err := registry.ParseFilter("name:beta")
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for _, tt := range []struct {
			query registry.Query
			want  string
		}{
			{registry.Query{}, "alpha beta"},
			{registry.Query{Limit: 1}, "alpha"},
			{registry.Query{Filter: filter}, "beta"},
			{registry.Query{IDs: []string{"1"}}, "beta"},
			{registry.Query{IDs: []string{"3", "4"}}, ""},
			{registry.Query{Brief: true}, "alpha beta"},
		} {
			if got := names(t, c, tt.query); got != tt.want {
				t.Errorf("%s: %+v: %q, want %q", when, tt.query, got, tt.want)
			}
		}
		brief, err := c.Machines(t.Context(), registry.Query{Brief: true})
		if err != nil || len(brief) == 0 || brief[0].Hardware.System.Vendor != "Acme" {
			t.Errorf("%s: brief %+v, %v", when, brief, err)
		}
		whole, err := c.Machines(t.Context(), registry.Query{IDs: []string{"1"}})
		if err != nil || len(whole) != 1 || whole[0].Hardware.CPU.Model != "fast" {
			t.Errorf("%s: whole %+v, %v", when, whole, err)
		}
	}
	check("in memory")
	mark := registry.Mark{Seq: 7, At: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)}
	if err := c.Save(mark); err != nil {
		t.Fatal(err)
	}
	check("on disk")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, file)
	check("after a restart")
	if c.Mark() != mark {
		t.Errorf("mark %v, want %v", c.Mark(), mark)
	}
	c.Keep([]registry.Machine{machine("1", "older", 1)}, nil)
	check("after an older version")
}

func TestWhatIsNotSavedIsNotThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	c := reopen(t, file)
	c.Keep([]registry.Machine{machine("1", "alpha", 1)}, nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, reopen(t, file), registry.Query{}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestSaveWritesWhereSomethingChanged(t *testing.T) {
	c := reopen(t, filepath.Join(t.TempDir(), "copy.db"))
	writes := func() int64 { s := c.db.Stats(); return s.TxStats.GetWrite() }
	start := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	if err := c.Save(registry.Mark{Seq: 1, At: start}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		keep  []registry.Machine
		mark  registry.Mark
		write bool
	}{
		{"nothing new", nil, registry.Mark{Seq: 1, At: start.Add(time.Second)}, false},
		{"an event", nil, registry.Mark{Seq: 2, At: start.Add(2 * time.Second)}, true},
		{"a machine", []registry.Machine{machine("1", "alpha", 1)}, registry.Mark{Seq: 2, At: start.Add(3 * time.Second)}, true},
		{"a minute", nil, registry.Mark{Seq: 2, At: start.Add(5 * time.Minute)}, true},
	} {
		before := writes()
		c.Keep(tt.keep, nil)
		if err := c.Save(tt.mark); err != nil {
			t.Fatal(err)
		}
		if wrote := writes() > before; wrote != tt.write {
			t.Errorf("%s: wrote %v, want %v", tt.name, wrote, tt.write)
		}
		if c.Mark() != tt.mark {
			t.Errorf("%s: mark %v, want %v", tt.name, c.Mark(), tt.mark)
		}
	}
}

func TestClearKeepsDocuments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	c := reopen(t, file)
	c.Keep([]registry.Machine{machine("1", "alpha", 3)}, nil)
	if err := c.Save(registry.Mark{Seq: 4}); err != nil {
		t.Fatal(err)
	}
	if err := c.KeepDocument("accounts", []byte("ana")); err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	if got, mark := names(t, c, registry.Query{}), c.Mark(); got != "" || mark != (registry.Mark{}) {
		t.Errorf("%q, %v", got, mark)
	}
	c.Keep([]registry.Machine{machine("1", "from a backup", 1)}, nil)
	if got := names(t, c, registry.Query{}); got != "from a backup" {
		t.Errorf("an older version after Clear: %q", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, file)
	if got := string(c.Document("accounts")); got != "ana" {
		t.Errorf("document %q", got)
	}
	if got := c.Document("other"); got != nil {
		t.Errorf("document %q, want none", got)
	}
}

// TestDamagedFile opens files that are not what was written: never a panic, and
// the damaged one is kept aside.
func TestDamagedFile(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"not a database": func([]byte) []byte { return []byte(strings.Repeat("no", 10_000)) },
		"cut short":      func(b []byte) []byte { return b[:4*os.Getpagesize()] },
		"only its head":  func(b []byte) []byte { return b[:2*os.Getpagesize()] },
		"zeroes after the head": func(b []byte) []byte {
			clear(b[2*os.Getpagesize():])
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "copy.db")
			c := reopen(t, file)
			c.Keep([]registry.Machine{machine("1", "alpha", 1)}, nil)
			if err := c.Save(registry.Mark{Seq: 1}); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c = reopen(t, file)
			if got := names(t, c, registry.Query{}); got != "" {
				t.Errorf("found %q in a damaged file", got)
			}
			if _, err := os.Stat(file + ".damaged"); err != nil {
				t.Error(err)
			}
			c.Keep([]registry.Machine{machine("2", "beta", 1)}, nil)
			if err := c.Save(registry.Mark{Seq: 2}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnotherProcessHasIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	reopen(t, file)
	if _, err := Open(file, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened twice")
	}
	if _, err := os.Stat(file + ".damaged"); err == nil {
		t.Error("the file of another process was set aside")
	}
}

// TestKeepDoesNotWaitForTheDisk keeps and reads machines while the file is being
// written, which takes as long as the test wants.
func TestKeepDoesNotWaitForTheDisk(t *testing.T) {
	c := reopen(t, filepath.Join(t.TempDir(), "copy.db"))
	c.Keep([]registry.Machine{machine("1", "alpha", 1), machine("2", "beta", 1)}, nil)
	disk, err := c.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	saved := make(chan error)
	go func() { saved <- c.Save(registry.Mark{Seq: 1}) }()
	for c.saving() == 0 {
		time.Sleep(time.Millisecond)
	}
	c.Keep([]registry.Machine{machine("1", "older", 0), machine("2", "newer", 2), machine("3", "gamma", 1)}, nil)
	if got := names(t, c, registry.Query{}); got != "alpha gamma newer" {
		t.Errorf("while it is saved: %q", got)
	}
	if got := names(t, c, registry.Query{IDs: []string{"1", "2"}}); got != "alpha newer" {
		t.Errorf("while it is saved, by ID: %q", got)
	}
	c.Keep(nil, []string{"1"})
	if err := disk.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := names(t, c, registry.Query{}); got != "gamma newer" {
			t.Errorf("after it was saved: %q", got)
		}
		if err := c.Save(registry.Mark{Seq: 2}); err != nil {
			t.Fatal(err)
		}
	}
}

// saving is how many machines a Save writes now.
func (c *Copy) saving() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.news.saving)
}

// TestSaveThatFails loses nothing of what it was to save: here a machine whose ID
// the file does not take.
func TestSaveThatFails(t *testing.T) {
	c := reopen(t, filepath.Join(t.TempDir(), "copy.db"))
	bad := strings.Repeat("x", 40_000)
	c.Keep([]registry.Machine{machine("1", "alpha", 1), machine(bad, "bad", 1)}, nil)
	if err := c.Save(registry.Mark{Seq: 1}); err == nil {
		t.Fatal("saved")
	}
	if got := names(t, c, registry.Query{}); got != "alpha bad" || c.Mark() != (registry.Mark{}) {
		t.Errorf("%q, %v", got, c.Mark())
	}
	c.Keep(nil, []string{bad})
	if err := c.Save(registry.Mark{Seq: 2}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, c, registry.Query{}); got != "alpha" || c.Mark().Seq != 2 {
		t.Errorf("%q, %v", got, c.Mark())
	}
}

// TestMemoryIsGivenBack writes and reads some MB, and looks at how much of the file
// counts as memory of this process.
func TestMemoryIsGivenBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	c := reopen(t, file)
	var all []registry.Machine
	for i := range 3 * releaseEvery {
		m := machine(fmt.Sprintf("m-%06d", i), fmt.Sprintf("machine-%06d", i), 1)
		m.Note = strings.Repeat("n", 1000)
		all = append(all, m)
	}
	c.Keep(all, nil)
	if err := c.Save(registry.Mark{Seq: 1}); err != nil {
		t.Fatal(err)
	}
	if kib := resident(t, file); kib > 256 {
		t.Errorf("%d KiB after it was saved", kib)
	}
	if found, err := c.Machines(t.Context(), registry.Query{Brief: true}); err != nil || len(found) != len(all) {
		t.Errorf("%d machines, %v", len(found), err)
	}
	if kib := resident(t, file); kib > 256 {
		t.Errorf("%d KiB after it was read", kib)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, file)
	if kib := resident(t, file); kib > 256 {
		t.Errorf("%d KiB after it was opened", kib)
	}
}

// resident is how much of a mapped file is in memory, in KiB; see proc_pid_smaps(5).
func resident(t *testing.T, file string) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	here, found := false, false
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case strings.Contains(fields[0], "-"):
			here = strings.HasSuffix(strings.TrimSpace(line), file)
			found = found || here
		case here && fields[0] == "Rss:":
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			kib += n
		}
	}
	if !found {
		t.Fatalf("%s is not mapped", file)
	}
	return kib
}
