package lastknown

import (
	"log/slog"
	"os"
	"path/filepath"
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
