// Package backup is the file that an appliance comes back from: a tar, packed with
// zstd, which every tool for those opens.
//
//	manifest.json     what is in it: version, time, and the size and SHA-256 of each file
//	database.sqlite   everything that the registry knows
//	secrets.key       what opens the secrets in the database
//
// The manifest is first, so that what follows is checked while it is read: a file that
// is not as the manifest says, is missing, or is one too many makes the whole archive
// worth nothing ([ErrDamaged]).
//
// Whoever has such a file has every secret of the appliance.
package backup

import (
	"errors"
	"time"
)

// The files of an archive, in their order.
const (
	ManifestName = "manifest.json"
	Database     = "database.sqlite"
	SealingKey   = "secrets.key"
)

// names are the files that are read; no other one is written to a disk.
var names = []string{Database, SealingKey}

// Format is the form of the archives that this package writes, and the newest it reads.
const Format = 1

// ErrDamaged is returned for what is no whole archive.
var ErrDamaged = errors.New("the file is no whole backup of a Dragonfly")

// Manifest says what is in an archive.
type Manifest struct {
	Format   int       `json:"format"`
	Version  string    `json:"version"`  // of the program that wrote it
	At       time.Time `json:"at"`       // when the database was copied
	Schema   int       `json:"schema"`   // of the database: a program that knows fewer steps cannot read it
	Machines int       `json:"machines"` // in the database
	Files    []File    `json:"files"`
}

// File is one file of an archive.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}
