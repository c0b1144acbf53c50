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
	switch stat, err := os.Lstat(path); {
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
	return errors.Join(copyEntries(log, src), copyValues(log, src), log.Close())
}

// copyEntries copies a megabyte at a time. An empty log has nothing to copy.
func copyEntries(to, from raft.LogStore) error {
	last, err := from.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return migrate.CopyLogs(context.Background(), to, from, 1<<20, nil)
}

// The values that raft keeps beside the log: the term, and for whom this node voted in
// which. What rqlite keeps there is for features that are off.
var numbers, texts = []string{"CurrentTerm", "LastVoteTerm"}, []string{"LastVoteCand"}

func copyValues(to, from raft.StableStore) error {
	for _, key := range numbers {
		n, err := from.GetUint64([]byte(key))
		if err == nil {
			err = to.SetUint64([]byte(key), n)
		}
		if err != nil && !errors.Is(err, old.ErrKeyNotFound) {
			return err
		}
	}
	for _, key := range texts {
		value, err := from.Get([]byte(key))
		if err == nil {
			err = to.Set([]byte(key), value)
		}
		if err != nil && !errors.Is(err, old.ErrKeyNotFound) {
			return err
		}
	}
	return nil
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
