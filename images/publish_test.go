package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublishReplacesTheWholeDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "amd64")
	for _, files := range []map[string][]byte{
		{"vmlinuz": []byte("old"), "leftover": []byte("x")},
		{"vmlinuz": []byte("new"), "initramfs.zst": []byte("new")},
	} {
		if err := publish(path, files); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(files) {
			t.Errorf("%d files, want %d", len(entries), len(files))
		}
		for name, want := range files {
			got, err := os.ReadFile(filepath.Join(path, name))
			if err != nil || string(got) != string(want) {
				t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
			}
		}
	}
	beside, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(beside) != 1 {
		t.Errorf("beside it stand %v, %v; want nothing", beside, err)
	}
}

func TestPublishLeavesTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "amd64")
	had := func(files map[string][]byte) os.FileInfo {
		t.Helper()
		if err := publish(path, files); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(path, "vmlinuz"))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	kernel := had(map[string][]byte{"vmlinuz": []byte("one"), "initramfs.zst": []byte("a")})
	if again := had(map[string][]byte{"vmlinuz": []byte("one"), "initramfs.zst": []byte("a")}); !os.SameFile(kernel, again) {
		t.Error("the same files were written anew")
	}
	for name, files := range map[string]map[string][]byte{
		"other bytes": {"vmlinuz": []byte("one"), "initramfs.zst": []byte("b")},
		"one less":    {"vmlinuz": []byte("one")},
		"other name":  {"vmlinuz": []byte("one"), "initrd": []byte("a")},
	} {
		before := had(map[string][]byte{"vmlinuz": []byte("one"), "initramfs.zst": []byte("a")})
		if os.SameFile(before, had(files)) {
			t.Errorf("%s: the files were left", name)
		}
	}
}

func TestPublishLeavesTheOldOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "amd64")
	if err := publish(path, map[string][]byte{"vmlinuz": []byte("old")}); err != nil {
		t.Fatal(err)
	}
	err := publish(path, map[string][]byte{"no/such/directory": nil})
	if err == nil || !strings.Contains(err.Error(), "write "+path) {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(path, "vmlinuz")); err != nil || string(got) != "old" {
		t.Errorf("got %q, %v; want the old kernel", got, err)
	}
}
