package raftboltdb

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	old "github.com/hashicorp/raft-boltdb/v2"
	"github.com/hashicorp/raft-wal/migrate"
)

// takeOver makes a log of the file that rqlite's package kept at path. A crash in
// between starts it anew, or ends it: the file goes when all of it is in the log.
func takeOver(path string) error {
	next, done := path+".new", path+".old"
	switch stat, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist): // also after a crash between the two names
	case err != nil:
		return err
	case stat.IsDir():
		return remove(done)
	default:
		if err := copyAll(next, path); err != nil {
			return err
		}
		if err := rename(path, done); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(done); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever here
	}
	if err := rename(next, path); err != nil {
		return err
	}
	return remove(done)
}

// copyAll makes a log at to of the file at from.
func copyAll(to, from string) error {
	if err := remove(to); err != nil {
		return err
	}
	src, err := old.NewBoltStore(from)
	if err != nil {
		return err
	}
	defer src.Close()
	log, err := open(to)
	if err != nil {
		return err
	}
	return errors.Join(copyEntries(log, src), migrate.CopyStable(context.Background(), log, values{src}, nil, nil, nil), log.Close())
}

// copyEntries copies a megabyte at a time. An empty log has nothing to copy.
func copyEntries(to, from raft.LogStore) error {
	last, err := from.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return migrate.CopyLogs(context.Background(), to, from, 1<<20, nil)
}

// values are what raft keeps beside its log: the term, and for whom this node voted. One
// that was never written is nothing, and no error. (When it last had SQLite optimize the
// database, rqlite notes there, and anew where that is missing.)
type values struct{ *old.BoltStore }

func (v values) Get(key []byte) ([]byte, error) { return orNothing(v.BoltStore.Get(key)) }

func (v values) GetUint64(key []byte) (uint64, error) { return orNothing(v.BoltStore.GetUint64(key)) }

func orNothing[T any](value T, err error) (T, error) {
	if errors.Is(err, old.ErrKeyNotFound) {
		err = nil
	}
	return value, err
}

// rename renames, durably.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// remove removes, durably. What is not there is no error.
func remove(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
