package images

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// publish puts a directory with these files, by name, at path in one step. A
// kernel and an initramfs of two builds do not fit together, so a server that
// reads while we write must see both old or both new. Where they are there already,
// they stay as they are, with their times.
func publish(path string, files map[string][]byte) error {
	if published(path, files) {
		return nil
	}
	temp, err := stage(path, files)
	if temp != "" {
		defer os.RemoveAll(temp)
	}
	if err == nil {
		err = swap(temp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// published reports whether a directory has these files, and no others.
func published(path string, files map[string][]byte) bool {
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != len(files) {
		return false
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(path, name)); err != nil || !bytes.Equal(got, want) {
			return false
		}
	}
	return true
}

// stage writes the files into a new directory beside path.
func stage(path string, files map[string][]byte) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), ".publish-*")
	if err != nil {
		return "", err
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(temp, name), body, 0o644); err != nil {
			return temp, err
		}
	}
	return temp, os.Chmod(temp, 0o755)
}

// swap exchanges the new directory with the one at path, if there is one.
func swap(temp, path string) error {
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		return os.Rename(temp, path)
	}
	if errors.Is(err, unix.EINVAL) { // a file system that cannot exchange: a gap of one step
		return errors.Join(os.RemoveAll(path), os.Rename(temp, path))
	}
	return err
}
