package journal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// segment is one file of the journal. Its size counts only what is synced: what
// lies behind was never acknowledged.
type segment struct {
	path    string
	size    int64
	records int       // in the file
	settled int       // of them, from the start
	cursor  int64     // where the first one that is not settled starts
	first   time.Time // when the first record was appended
	damaged int64     // bytes that belong to no frame, before the last one
}

func segmentPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", n, segmentSuffix))
}

const segmentSuffix = ".seg"

// openSegment reads a segment that another run has left, to count what is in it.
func openSegment(path string) (*segment, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path}
	for at := 0; ; {
		f, skipped, length := nextFrame(b[at:])
		if length == 0 { // what is left is the torn end of a write that was never acknowledged
			return s, nil
		}
		if s.records == 0 {
			s.first = f.at
		}
		s.records++
		s.damaged += int64(skipped)
		at += skipped + length
		s.size = int64(at)
	}
}

// read returns up to limit records from the cursor on, and where the next starts.
func (s *segment) read(cursor, size int64, limit int) (records [][]byte, next int64, err error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	b := make([]byte, size-cursor)
	n, err := file.ReadAt(b, cursor)
	if err != nil && err != io.EOF { // EOF: it was cut short, and has what it has
		return nil, 0, err
	}
	at := 0
	for len(records) < limit {
		f, skipped, length := nextFrame(b[at:n])
		if length == 0 {
			break
		}
		records = append(records, f.record)
		at += skipped + length
	}
	return records, cursor + int64(at), nil
}
