// Package journal keeps records on disk that could not be written to the
// database, until they can be.
//
// A record is acknowledged when it is synced, and not before. Those who append
// at the same time share a sync: while the disk is busy with one batch, the next
// one gathers. Records are read back in their order, and forgotten when whoever
// reads says that they are settled; a crash in between brings them back, so
// settling twice has to be harmless. It is: every record carries the id of its
// operation, which the database applies once.
//
// The journal is bounded in bytes and in records. When it is full, or the disk
// does not take a record, that record is refused, loudly, and nothing is
// pretended. What a file looks like is told beside frame, and what a crash leaves
// beside what reads it.
package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"dragonfly/registry"
)

// Config says where a journal is and how much it may hold.
type Config struct {
	Dir          string // made where it is not there; for this user only, for one process at a time
	MaxBytes     int64  // 0: 256 MiB
	MaxRecords   int    // 0: 100,000
	SegmentBytes int64  // 0: 4 MiB; a file is removed when all of it is settled
	Log          *slog.Logger
}

// Journal is a [registry.Journal] and its [registry.DeadLetters]. It is safe for
// concurrent use.
type Journal struct {
	cfg    Config
	now    func() time.Time
	create func(path string) (file, error)
	lock   *os.File

	draining sync.Mutex // one reader at a time
	disk     sync.Mutex // one writer at a time; taken before mu
	active   file       // the last segment, open for writing; nil: the next write makes one
	mu       sync.Mutex // for what follows
	segments []*segment // the oldest first; the last one is the active one, where there is one
	next     uint64     // number of the next segment
	gather   *batch     // those who wait for the disk
	waiting  size       // what is in batches that are not written yet
	stats    registry.JournalStats
}

// file is what a segment is written to.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

type size struct {
	bytes   int64
	records int
}

var (
	_ registry.Journal     = (*Journal)(nil)
	_ registry.DeadLetters = (*Journal)(nil)
)

// Open opens the journal in cfg.Dir with whatever another run has left in it.
func Open(cfg Config) (*Journal, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 256<<20)
	cfg.MaxRecords = cmp.Or(cfg.MaxRecords, 100_000)
	cfg.SegmentBytes = cmp.Or(cfg.SegmentBytes, 4<<20)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	j := &Journal{cfg: cfg, now: time.Now, create: createFile}
	if err := errors.Join(os.MkdirAll(j.deadDir(), 0o700), j.acquire()); err != nil {
		return nil, fmt.Errorf("open journal %s: %w", cfg.Dir, err)
	}
	if err := errors.Join(j.load(), j.countDead()); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", cfg.Dir, err), j.Close())
	}
	return j, nil
}

// acquire keeps other processes out.
func (j *Journal) acquire() (err error) {
	if j.lock, err = os.OpenFile(filepath.Join(j.cfg.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(j.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process has it open: %w", err)
	}
	return nil
}

// load counts what is there. New records go to a new file: the end of the last
// one may be torn.
func (j *Journal) load() error {
	entries, err := os.ReadDir(j.cfg.Dir) // sorted by name, which is by age
	if err != nil {
		return err
	}
	for _, e := range entries {
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), "%016x"+segmentSuffix, &n); err != nil || !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		s, err := openSegment(filepath.Join(j.cfg.Dir, e.Name()))
		if err != nil {
			return err
		}
		j.next = n + 1
		j.segments = append(j.segments, s)
		j.stats.Damaged += s.damaged
		if s.damaged > 0 {
			j.cfg.Log.Error("a part of the journal is damaged; the file is kept among the dead letters once the rest of it is settled",
				"file", s.path, "bytes", s.damaged)
		}
	}
	return j.removeSettled()
}

// Close lets go of the files. Nothing is lost by a process that ends without it.
func (j *Journal) Close() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	return errors.Join(j.closeActive(), j.lock.Close())
}

// Stats is what the journal holds.
func (j *Journal) Stats() registry.JournalStats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	for _, seg := range j.segments {
		s.Records += seg.records - seg.settled
		s.Bytes += seg.size
		if s.Oldest.IsZero() && seg.settled < seg.records {
			s.Oldest = seg.first
		}
	}
	return s
}

// Each calls f with every record that is not settled, the oldest first.
func (j *Journal) Each(f func(record []byte) error) error {
	j.draining.Lock()
	defer j.draining.Unlock()
	j.mu.Lock()
	segments := slices.Clone(j.segments)
	j.mu.Unlock()
	for _, s := range segments {
		records, _, err := j.read(s, int(^uint(0)>>1))
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := f(record); err != nil {
				return err
			}
		}
	}
	return nil
}

// read returns up to limit of a segment's records that are not settled.
func (j *Journal) read(s *segment, limit int) ([][]byte, int64, error) {
	j.mu.Lock()
	cursor, size := s.cursor, s.size
	j.mu.Unlock()
	records, next, err := s.read(cursor, size, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	return records, next, nil
}

// Drain hands up to limit of the oldest records to apply, and forgets them when
// that returns nil.
func (j *Journal) Drain(limit int, apply func(records [][]byte) error) (settled int, err error) {
	j.draining.Lock()
	defer j.draining.Unlock()
	s := j.oldest()
	if s == nil {
		return 0, nil
	}
	records, next, err := j.read(s, limit)
	if err != nil {
		return 0, err
	}
	if len(records) == 0 {
		j.lose(s)
		return 0, j.removeSettled()
	}
	if err := apply(records); err != nil {
		return 0, err
	}
	j.mu.Lock()
	s.cursor, s.settled = next, s.settled+len(records)
	j.stats.Settled += int64(len(records))
	j.stats.Full = false
	j.mu.Unlock()
	return len(records), j.removeSettled()
}

// oldest is the first segment with a record that is not settled; nil for none.
func (j *Journal) oldest() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		if s.settled < s.records {
			return s
		}
	}
	return nil
}

// lose gives up on the rest of a segment that was whole when it was written and
// is not any more.
func (j *Journal) lose(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cfg.Log.Error("a part of the journal cannot be read any more; the file is kept among the dead letters",
		"file", s.path, "records", s.records-s.settled)
	s.damaged += s.size - s.cursor
	j.stats.Damaged += s.size - s.cursor
	s.settled = s.records
}

// removeSettled removes the files at the start of which every record is settled.
func (j *Journal) removeSettled() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.segments) > 0 && j.segments[0].settled == j.segments[0].records {
		if len(j.segments) == 1 {
			if err := j.closeActive(); err != nil {
				return err
			}
		}
		if err := j.discard(j.segments[0]); err != nil {
			return fmt.Errorf("remove a settled part of the journal: %w", err)
		}
		j.segments = j.segments[1:]
	}
	return nil
}

// closeActive makes the next write start a new segment.
func (j *Journal) closeActive() error {
	if j.active == nil {
		return nil
	}
	f := j.active
	j.active = nil
	return f.Close()
}

// discard removes the file of a segment, or keeps it aside when it is damaged:
// somebody may want to look.
func (j *Journal) discard(s *segment) error {
	if s.damaged > 0 {
		return os.Rename(s.path, filepath.Join(j.deadDir(), filepath.Base(s.path)+".damaged"))
	}
	return os.Remove(s.path)
}

func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}
