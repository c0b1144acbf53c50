package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden compares a text with a file of testdata; UPDATE=1 writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestReportTable(t *testing.T) {
	img := &image{
		Release: fakeRelease, Kernel: make([]byte, 12_171_200), Agent: make([]byte, 7_000_000),
		Groups: []group{{Name: "net", Modules: []string{"igb", "igc", "absent"}}, {Name: "empty"}},
		Modules: []module{
			{Name: "igb", Body: make([]byte, 1000)}, {Name: "igc", Body: make([]byte, 234)}, {Name: "dca", Body: make([]byte, 99)},
		},
		Firmware: []firmwareFile{{Name: "a", Target: "b"}, {Name: "b", Body: make([]byte, 5)}},
		Packed:   make([]byte, 15_000_000), Archive: make([]byte, 70_000_000), Initramfs: make([]byte, 1<<24),
		DriversAbsent: []string{"tg3", "absent"}, FirmwareAbsent: []string{"c"},
	}
	var text strings.Builder
	if n, err := img.report().WriteTo(&text); err != nil || n != int64(text.Len()) {
		t.Errorf("wrote %d of %d bytes: %v", n, text.Len(), err)
	}
	golden(t, "report.txt", text.String())
}

func TestReportOverBudget(t *testing.T) {
	for _, test := range []struct {
		r    Report
		over bool
		says string
	}{
		{Report{Total: 100, Budget: 100}, false, "budget, 0 left"},
		{Report{Total: 3_000_100, Budget: 100}, true, "budget, 3,000,000 over"},
		{Report{Total: 100}, false, "FILES"}, // boot programs alone have no budget
	} {
		var text strings.Builder
		if _, err := test.r.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		if test.r.OverBudget() != test.over || !strings.Contains(text.String(), test.says) {
			t.Errorf("%+v: over %v, says %q", test.r, test.r.OverBudget(), text.String())
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
