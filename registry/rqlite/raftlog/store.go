// Package raftboltdb keeps the raft log of an rqlite node. It stands in the place of
// rqlite's package of that name, which keeps it in a B-tree: with entries as large as a
// rack's registrations that writes each of them four times over, and waits for the disk
// twice. Here it is HashiCorp's append-only log, which does either once.
//
// rqlite opens its log itself and cannot be given another, so the module is replaced in
// go.mod.
package raftboltdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// segmentSize is how large a file of the log becomes, in bytes. It has its size from
// the start, so that an entry that is appended finds room on the disk.
const segmentSize = 16 << 20

// maxEntry is how many bytes of data an entry may have: the log would take one of more
// than 64 MiB, and not read it again.
const maxEntry = 63 << 20

// Options say where the log is. The others of rqlite's package mean nothing here.
type Options struct {
	Path        string // a directory; a file that is there was written by rqlite's package
	BoltOptions *bbolt.Options
}

// BoltStore is a [raft.LogStore] and [raft.StableStore] on disk: what a write returns
// for is there after a loss of power. It is safe for concurrent use.
type BoltStore struct {
	path string
	mu   sync.RWMutex // held for writing while the log is opened anew
	log  *wal.WAL
}

var (
	_ raft.LogStore          = (*BoltStore)(nil)
	_ raft.MonotonicLogStore = (*BoltStore)(nil)
	_ raft.StableStore       = (*BoltStore)(nil)
)

// New opens the log, or begins one. What rqlite's package wrote there is taken over.
func New(o Options) (*BoltStore, error) {
	if err := takeOver(o.Path); err != nil {
		return nil, fmt.Errorf("take over the raft log %s: %w", o.Path, err)
	}
	log, err := open(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open the raft log %s: %w", o.Path, err)
	}
	return &BoltStore{path: o.Path, log: log}, nil
}

func open(path string) (*wal.WAL, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "raft-wal", Level: hclog.Error})
	return wal.Open(path, wal.WithSegmentSize(segmentSize), wal.WithLogger(log))
}

// Close lets go of the files.
func (b *BoltStore) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Close()
}

// Stats is empty: there is no bbolt.
func (b *BoltStore) Stats() bbolt.Stats { return bbolt.Stats{} }

// IsMonotonic is [raft.MonotonicLogStore]: indexes have no gaps.
func (b *BoltStore) IsMonotonic() bool { return true }

// StoreLogs appends entries, durably.
func (b *BoltStore) StoreLogs(entries []*raft.Log) error {
	for _, e := range entries {
		if len(e.Data)+len(e.Extensions) > maxEntry {
			return fmt.Errorf("an entry of %d bytes for the raft log, which takes %d", len(e.Data), maxEntry)
		}
	}
	err := b.store(entries)
	if !errors.Is(err, wal.ErrSealed) {
		return err
	}
	// A file was full, and there was no room on the disk for the next one. The log looks
	// for room only when it is opened, and cannot be read where that fails.
	if err := b.reopen(); err != nil {
		return err
	}
	return b.store(entries)
}

func (b *BoltStore) store(entries []*raft.Log) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.StoreLogs(entries)
}

func (b *BoltStore) reopen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var disk unix.Statfs_t
	if err := unix.Statfs(b.path, &disk); err != nil {
		return err
	}
	if disk.Bavail*uint64(disk.Bsize) < 2*segmentSize {
		return fmt.Errorf("the next file of the raft log needs %d MiB: %w", segmentSize>>20, unix.ENOSPC)
	}
	if err := b.log.Close(); err != nil {
		return err
	}
	log, err := open(b.path)
	if err != nil {
		return fmt.Errorf("open the raft log %s again: %w", b.path, err)
	}
	b.log = log
	return nil
}

// StoreLog appends one entry, durably.
func (b *BoltStore) StoreLog(entry *raft.Log) error { return b.StoreLogs([]*raft.Log{entry}) }

// GetLog reads an entry; [raft.ErrLogNotFound] where there is none.
func (b *BoltStore) GetLog(index uint64, entry *raft.Log) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	err := b.log.GetLog(index, entry)
	if errors.Is(err, wal.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	return err
}

// FirstIndex is that of the oldest entry; 0 where there is none.
func (b *BoltStore) FirstIndex() (uint64, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.FirstIndex()
}

// LastIndex is that of the newest entry; 0 where there is none.
func (b *BoltStore) LastIndex() (uint64, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.LastIndex()
}

// DeleteRange removes the oldest or the newest entries.
func (b *BoltStore) DeleteRange(first, last uint64) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.DeleteRange(first, last)
}

// Set keeps a value beside the log; nil removes it.
func (b *BoltStore) Set(key, value []byte) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.Set(key, value)
}

// Get is what was kept under key; nil for nothing.
func (b *BoltStore) Get(key []byte) ([]byte, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.Get(key)
}

// SetUint64 keeps a number beside the log.
func (b *BoltStore) SetUint64(key []byte, value uint64) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.SetUint64(key, value)
}

// GetUint64 is what was kept under key; 0 for nothing.
func (b *BoltStore) GetUint64(key []byte) (uint64, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.GetUint64(key)
}
