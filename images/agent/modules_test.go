package agent

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"dragonfly/images/packed"
)

// index is a small /lib/modules/RELEASE as depmod writes it.
func index() fstest.MapFS {
	return fstest.MapFS{
		"modules.dep": {Data: []byte(`kernel/net/virtio_net.ko: kernel/net/net_failover.ko kernel/net/failover.ko
kernel/net/net_failover.ko: kernel/net/failover.ko
kernel/net/failover.ko:
kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/fs/mbcache.ko
kernel/fs/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/crypto/crc32c_generic.ko:
kernel/char/ipmi-si.ko:
`)},
		"modules.alias": {Data: []byte(`# Aliases extracted from modules themselves.
alias virtio:d00000001v* virtio_net
alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias acpi*:IPI0001:* ipmi_si
alias fs-ext4 ext4
alias crypto-crc32c crc32c_generic
`)},
		"modules.softdep": {Data: []byte("softdep ext4 pre: crypto-crc32c post: nothing\nsoftdep crc32c_generic pre: ext4\n")},
	}
}

func TestMatch(t *testing.T) {
	m, err := NewModules(index(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string][]string{
		"virtio:d00000001v00001AF4":                             {"virtio_net"},
		"pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00": {"e1000e"},
		"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01": {"ahci"},
		"pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00": nil,
		"acpi:IPI0001:": {"ipmi_si"},
		"fs-ext4":       {"ext4"},
		"ipmi-si":       {"ipmi_si"},
		"usb:v0bda/p1[": nil,
		"":              nil,
	} {
		if got := m.Match(alias); !slices.Equal(got, want) {
			t.Errorf("Match(%q) = %v, want %v", alias, got, want)
		}
	}
}

func TestLoadInDependencyOrder(t *testing.T) {
	for alias, want := range map[string][]string{
		"virtio:d00000001v00001AF4": {"failover", "net_failover", "virtio_net"},
		// The soft dependencies of the index form a circle.
		"fs-ext4": {"crc32c_generic", "mbcache", "jbd2", "ext4"},
	} {
		var got []string
		m, err := NewModules(index(), func(file string) error {
			got = append(got, moduleName(file))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Load(alias); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got[:len(got)-1]) // what is needed comes first; its own order is free here
		last := want[len(want)-1]
		slices.Sort(want[:len(want)-1])
		if !slices.Equal(got, want) || got[len(got)-1] != last {
			t.Errorf("%s: loaded %v, want %v", alias, got, want)
		}
	}
}

func TestLoadOnceForAll(t *testing.T) {
	var mu sync.Mutex
	count := map[string]int{}
	m, err := NewModules(index(), func(file string) error {
		mu.Lock()
		defer mu.Unlock()
		count[path.Base(file)]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := m.Load("virtio:d00000001v00001AF4"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(count) != 3 {
		t.Errorf("loaded %v", count)
	}
	for file, n := range count {
		if n != 1 {
			t.Errorf("%s was loaded %d times", file, n)
		}
	}
}

func TestLoadSaysWhatFailed(t *testing.T) {
	broken := errors.New("exec format error")
	m, err := NewModules(index(), func(file string) error {
		if strings.Contains(file, "jbd2") {
			return broken
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Load("fs-ext4"); !errors.Is(err, broken) || !strings.Contains(err.Error(), "jbd2") {
		t.Errorf("error %v", err)
	}
}

func TestNoIndex(t *testing.T) {
	if _, err := NewModules(fstest.MapFS{}, nil); err == nil {
		t.Error("an image without an index is not noticed")
	}
}

// TestUnpackDrivers takes the archive away once it is unpacked, and says what is
// wrong with one that is not.
func TestUnpackDrivers(t *testing.T) {
	root, log := t.TempDir(), slog.New(slog.DiscardHandler)
	archive := filepath.Join(root, packed.Drivers)
	if err := unpackDrivers(log, root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no archive: %v", err)
	}
	text, err := packed.Pack([]packed.File{{Name: "lib/modules/r/igb.ko", Body: []byte("igb")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		archive []byte
		ok      bool
	}{{text[:len(text)/2], false}, {text, true}} {
		if err := os.WriteFile(archive, tt.archive, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := unpackDrivers(log, root); (err == nil) != tt.ok {
			t.Errorf("%d of %d bytes: %v", len(tt.archive), len(text), err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(root, "lib/modules/r/igb.ko")); err != nil || string(got) != "igb" {
		t.Errorf("the module: %q, %v", got, err)
	}
	if _, err := os.Stat(archive); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the archive is still there: %v", err)
	}
}
