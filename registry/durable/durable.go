// Package durable writes small files so that they outlive the loss of power.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes a file of mode 0600, in place of one that is there: whatever happens,
// it is the old one or the new, and once Replace has returned nil it is the new one.
// What a crash leaves behind has a name with a dot before it.
func Replace(path string, data []byte) error { return write(path, data, os.Rename) }

// Create is [Replace] where no file may be yet: it leaves one that is there, and errs
// with [fs.ErrExist].
func Create(path string, data []byte) error { return write(path, data, os.Link) }

// write has a file written under another name, and given its own when all of it lasts.
func write(path string, data []byte, name func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = name(f.Name(), path)
	}
	_ = os.Remove(f.Name()) // where it was not renamed
	if err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
