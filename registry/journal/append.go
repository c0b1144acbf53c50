package journal

import (
	"fmt"

	"dragonfly/registry"
	"dragonfly/registry/durable"
)

// batch is what is written and synced at once.
type batch struct {
	first  frame
	frames []byte
	count  int
	done   chan struct{} // closed when err is known
	err    error
}

// maxBatch bounds what one write may take: whoever comes later waits for the next.
const maxBatch = 4 << 20

// reserved is the part of the journal, in percent, that only vital records may
// use.
const reserved = 20

// Append returns when record is safe on disk. The first of a batch waits for the
// disk and then writes for all who came meanwhile.
func (j *Journal) Append(record []byte, vital bool) error {
	b, leader, err := j.join(record, vital)
	if err != nil {
		return err
	}
	if leader {
		j.disk.Lock()
		j.seal(b)
		b.err = j.write(b)
		j.disk.Unlock()
		close(b.done)
	}
	<-b.done
	return b.err
}

// join puts a record into the batch that gathers, and reports whether it is the
// first one there.
func (j *Journal) join(record []byte, vital bool) (b *batch, leader bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.room(len(record), vital); err != nil {
		j.stats.Refused++
		j.stats.Full = true
		return nil, false, err
	}
	if leader = j.gather == nil || len(j.gather.frames) > maxBatch; leader {
		j.gather = &batch{done: make(chan struct{})}
	}
	b = j.gather
	f := frame{at: j.now(), record: record}
	if leader {
		b.first = f
	}
	b.frames = appendFrame(b.frames, f)
	b.count++
	j.waiting.bytes += frameHead + int64(len(record))
	j.waiting.records++
	return b, leader, nil
}

// room reports why a record does not fit.
func (j *Journal) room(length int, vital bool) error {
	if length > maxRecord {
		return fmt.Errorf("append %d bytes to the journal: at most %d: %w", length, maxRecord, registry.ErrJournalFull)
	}
	used := j.waiting
	for _, s := range j.segments {
		used.bytes += s.size
		used.records += s.records - s.settled
	}
	maxBytes, maxRecords := j.cfg.MaxBytes, j.cfg.MaxRecords
	if !vital {
		maxBytes, maxRecords = maxBytes/100*(100-reserved), maxRecords*(100-reserved)/100
	}
	if used.bytes+frameHead+int64(length) > maxBytes || used.records >= maxRecords {
		return fmt.Errorf("append to the journal: it holds %d records in %d bytes: %w", used.records, used.bytes, registry.ErrJournalFull)
	}
	return nil
}

// seal lets nobody else into the batch.
func (j *Journal) seal(b *batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.gather == b {
		j.gather = nil
	}
}

// write puts a batch on disk. Where that fails the segment is left behind: after
// a sync that failed nobody knows what the disk has, so nothing may follow it.
func (j *Journal) write(b *batch) error {
	s, err := j.writable()
	if err == nil {
		_, err = j.active.Write(b.frames)
	}
	if err == nil {
		err = j.active.Sync()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting.bytes -= int64(len(b.frames))
	j.waiting.records -= b.count
	if err != nil {
		j.stats.Refused += int64(b.count)
		j.stats.Full = true
		j.abandon(s)
		return fmt.Errorf("append to the journal: %w: %w", registry.ErrJournalFull, err)
	}
	if s.records == 0 {
		s.first = b.first.at
	}
	s.size += int64(len(b.frames))
	s.records += b.count
	j.stats.Appended += int64(b.count)
	j.stats.Full = false
	return nil
}

// writable is the segment that takes the next batch.
func (j *Journal) writable() (*segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active != nil {
		s := j.segments[len(j.segments)-1]
		if s.size < j.cfg.SegmentBytes {
			return s, nil
		}
		if err := j.closeActive(); err != nil {
			return nil, err
		}
	}
	s := &segment{path: segmentPath(j.cfg.Dir, j.next)}
	j.next++
	f, err := j.create(s.path)
	if err != nil {
		return nil, err
	}
	j.active = f
	j.segments = append(j.segments, s)
	return s, durable.SyncDir(j.cfg.Dir)
}

// abandon takes back what a failed write may have left in s, as well as it can,
// and makes the next write start a new segment.
func (j *Journal) abandon(s *segment) {
	if j.active == nil {
		return
	}
	if s != nil {
		_ = j.active.Truncate(s.size)
	}
	_ = j.closeActive()
}
