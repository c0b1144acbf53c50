package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSpaceFloor(t *testing.T) {
	for _, c := range []struct {
		size, floor uint64 // GiB
	}{{0, 1}, {2, 1}, {20, 1}, {40, 2}, {200, 10}, {10_000, 10}} {
		s := space{size: c.size << 30}
		if got := s.floor(); got != c.floor<<30 {
			t.Errorf("a disk of %d GiB: %d bytes should be free, want %d GiB", c.size, got, c.floor)
		}
		for free, short := range map[uint64]bool{0: true, c.floor<<30 - 1: true, c.floor << 30: false} {
			if s.free = free; s.short() != short {
				t.Errorf("%s: short is %v", s, s.short())
			}
		}
	}
}

func TestSpaceOf(t *testing.T) {
	if s, err := spaceOf(t.TempDir()); err != nil || s.size == 0 || s.free > s.size {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := spaceOf(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// A line is written when the disk runs short, and one when it does not any more.
func TestSpaceIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	a := &appliance{cfg: config{DataDir: filepath.Join(dir, "away")}, log: slog.New(slog.NewTextHandler(&log, nil))}
	short := a.tellSpace(a.tellSpace(false))
	if lines := strings.Count(log.String(), "\n"); !short || lines != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("short %v, %d lines: %s", short, lines, log.String())
	}
	a.cfg.DataDir = smallDisk(t, "3g") // larger than the floor; what is not written takes no memory
	log.Reset()
	short = a.tellSpace(a.tellSpace(short))
	if lines := strings.Count(log.String(), "\n"); short || lines != 1 || !strings.Contains(log.String(), "has room again") {
		t.Errorf("short %v, %d lines: %s", short, lines, log.String())
	}
}

// smallDisk is a file system of a size of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a file system can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// A disk that is nearly full is told to viewers in every place, and to nobody else.
func TestSmallDisk(t *testing.T) {
	cfg := testConfig(t)
	cfg.DataDir = smallDisk(t, "256m")
	r, log := startLogged(t, cfg)
	r.await(t, "ready")
	const nearly = `nearly full: 2\d\d(\.\d)? MiB free of 256 MiB, and 1 GiB should be`
	for _, path := range []string{"/readyz", "/machines"} { // this host, and no account yet
		if code, body := r.get(t, path); code != http.StatusOK || !regexp.MustCompile(nearly).MatchString(body) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if _, body := r.get(t, "/metrics"); !regexp.MustCompile(`\ndragonfly_disk_free_bytes 2\.\d+e\+08\n`).MatchString(body) ||
		!strings.Contains(body, "\ndragonfly_disk_size_bytes 2.68435456e+08\n") || !strings.Contains(body, "\ndragonfly_disk_free_wanted_bytes 1.073741824e+09\n") {
		t.Errorf("metrics: %s", body)
	}
	if out := r.run(t, "", "status"); !strings.HasPrefix(out, "ready\n- the disk of "+cfg.DataDir+" is nearly full") {
		t.Errorf("status: %s", out)
	}
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	if code, body := r.get(t, "/readyz"); code != http.StatusOK || strings.TrimSpace(body) != `{"status":"ready"}` {
		t.Errorf("/readyz for anybody: %d %s", code, body)
	}
	r.end(t)
	if log.find("level=WARN.*"+nearly) == nil {
		t.Error("the log does not say so")
	}
}
