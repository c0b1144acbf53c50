package images

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDebianNetwork builds both flavours twice from Debian's real packages. It
// needs Debian's apt and its archive, fetches 160 MB once, and so runs only
// where the environment variable DRAGONFLY_IMAGE names a directory to keep the
// packages in.
func TestDebianNetwork(t *testing.T) {
	cache := os.Getenv("DRAGONFLY_IMAGE")
	if cache == "" {
		t.Skip("set DRAGONFLY_IMAGE to a cache directory to build from Debian's packages")
	}
	agent := buildAgent(t, "amd64")
	for _, flavour := range []string{Full, Cloud} {
		t.Run(flavour, func(t *testing.T) {
			first, second := t.TempDir(), t.TempDir()
			report, err := Build(t.Context(), Options{Flavour: flavour, Agent: agent, Out: first, Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Build(t.Context(), Options{Flavour: flavour, Agent: agent, Out: second, Cache: cache}); err != nil {
				t.Fatal(err)
			}
			if report.OverBudget() || len(report.Absent) > 0 {
				t.Errorf("%d bytes, budget %d; absent: %q", report.Total, report.Budget, report.Absent)
			}
			for _, name := range []string{"amd64/vmlinuz", "amd64/initramfs.zst", "amd64/manifest.json",
				"nbp/undionly.kpxe", "nbp/snponly.efi", "nbp/ipxe.efi", "nbp/ipxe-arm64.efi", "nbp/manifest.json"} {
				sameFile(t, filepath.Join(first, name), filepath.Join(second, name))
			}
			var table strings.Builder
			if _, err := report.WriteTo(&table); err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + table.String())
		})
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	one, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(one) == 0 || !bytes.Equal(one, two) {
		t.Errorf("%s: %d bytes, and %d the second time: want the same ones", filepath.Base(a), len(one), len(two))
	}
}
