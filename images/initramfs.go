package images

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// tree is the root file system of an initramfs: records by their path without
// a leading slash. Times, owners and inode numbers are all zero.
type tree map[string]cpio.Record

// newTree has what the kernel and an init expect before anything is mounted.
// The kernel opens /dev/console for init before devtmpfs is there.
func newTree() tree {
	t := tree{}
	for _, dir := range []string{"dev", "proc", "run", "sys", "tmp"} {
		t.directory(dir)
	}
	t.add(cpio.CharDev("dev/console", 0o600, 5, 1))
	t.add(cpio.CharDev("dev/null", 0o666, 1, 3))
	return t
}

func (t tree) file(name string, body []byte, perm uint64) {
	t.add(cpio.StaticRecord(body, cpio.Info{Name: name, Mode: cpio.S_IFREG | perm}))
}

func (t tree) directory(name string) { t.add(cpio.Directory(name, 0o755)) }

// add puts a record and the directories above it into the tree.
func (t tree) add(record cpio.Record) {
	if dir := path.Dir(record.Name); dir != "." && t[dir].Name == "" {
		t.directory(dir)
	}
	t[record.Name] = cpio.MakeReproducible(record)
}

// cpio writes the tree as a newc archive (Linux, driver-api/early-userspace),
// sorted, so that a directory comes before what is in it.
func (t tree) cpio() ([]byte, error) {
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		if err := w.WriteRecord(t[name]); err != nil {
			return nil, fmt.Errorf("write %s into the initramfs: %w", name, err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, fmt.Errorf("end the initramfs: %w", err)
	}
	return archive.Bytes(), nil
}
