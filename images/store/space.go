package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dragonfly/registry"
)

// checkEvery is how many bytes are written before the room is looked at again.
const checkEvery = 16 << 20

// room is an error where the file system has not that much left.
func (s *Store) room(need int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.cfg.Dir, &fs); err != nil {
		return nil // then writing says so
	}
	free := int64(fs.Bavail) * fs.Bsize
	if free-s.cfg.Reserve < need { // need is what somebody says: a sum with it could overflow
		return &registry.SpaceError{Dir: s.cfg.Dir, Free: free, Need: max(need, need+s.cfg.Reserve)}
	}
	return nil
}

// Free is how many bytes the file system has left for images.
func (s *Store) Free() int64 {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.cfg.Dir, &fs); err != nil {
		return 0
	}
	return max(0, int64(fs.Bavail)*fs.Bsize-s.cfg.Reserve)
}

// careful writes to a file for as long as there is room for others as well.
type careful struct {
	store *Store
	file  *os.File
	since int64 // bytes since the last look
}

func (c *careful) Write(p []byte) (int, error) {
	if c.since += int64(len(p)); c.since >= checkEvery {
		c.since = 0
		if err := c.store.room(int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := c.file.Write(p)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = errors.Join(c.store.full(), err)
	}
	return n, err
}

// full is the error of a file system that has nothing left, or a quota that has not.
func (s *Store) full() error {
	if err := s.room(checkEvery); err != nil {
		return err
	}
	return &registry.SpaceError{Dir: s.cfg.Dir, Need: s.cfg.Reserve + checkEvery}
}
