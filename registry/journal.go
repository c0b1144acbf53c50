package registry

import (
	"fmt"
	"time"
)

// Journal keeps, on this host's disk and in order, what could not be written to
// the store. A record is opaque to it. Package registry/journal has one.
type Journal interface {
	// Append returns when record is safe on disk. One that is not vital is
	// refused earlier, so that it never takes the last room from one that is.
	// Every refusal wraps [ErrJournalFull].
	Append(record []byte, vital bool) error
	// Each calls f with every record that is not settled, the oldest first.
	Each(f func(record []byte) error) error
	// Drain hands up to limit of the oldest records to apply. When that returns
	// nil they are settled, and forgotten; a crash in between brings them back.
	Drain(limit int, apply func(records [][]byte) error) (settled int, err error)
	// Stats is what the journal holds.
	Stats() JournalStats
}

// DeadLetters keeps the records of a journal that can never be applied, until
// somebody takes them away by hand.
type DeadLetters interface {
	// Bury keeps a letter; the same record is kept once.
	Bury(l DeadLetter) error
	// Buried returns the newest letters, the newest first.
	Buried() ([]DeadLetter, error)
}

// DeadLetter is a record that could not be applied, and why.
type DeadLetter struct {
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
	Record []byte    `json:"record"`
}

// JournalStats is what a journal holds and what became of it.
type JournalStats struct {
	Records  int       `json:"records"`         // that wait to be applied
	Bytes    int64     `json:"bytes"`           // on disk, with those that are settled and not removed yet
	Oldest   time.Time `json:"oldest,omitzero"` // when the oldest of them was appended, to within a file
	Full     bool      `json:"full,omitempty"`  // the last record was refused
	Appended int64     `json:"appended"`        // since the start
	Settled  int64     `json:"settled"`         // since the start
	Refused  int64     `json:"refused"`         // since the start
	Damaged  int64     `json:"damaged"`         // bytes that could not be read, since the start
	Dead     int       `json:"dead"`            // dead letters
}

// ErrJournalFull is returned where the store is away and the journal, which
// stands in for it, takes no more. Nothing was kept. It is an [ErrUnavailable].
var ErrJournalFull = fmt.Errorf("the journal that stands in for it takes no more: %w", ErrUnavailable)
