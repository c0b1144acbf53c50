package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"dragonfly/registry"
)

func TestLook(t *testing.T) {
	h := &host{log: slog.New(slog.DiscardHandler)}
	device := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(device, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		device string
		bytes  int64
		want   registry.Contents
	}{
		"blank":   {device, 1 << 20, registry.Blank},
		"short":   {device, 2 << 20, registry.Unreadable},
		"no disk": {device + "x", 1 << 20, registry.Unreadable},
	} {
		got := h.look(test.device, registry.Disk{Name: "sda", Serial: "S", Bytes: test.bytes})
		if got.Contents != test.want || len(got.Found) > 0 || got.Serial != "S" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
