package registry

import "time"

// Backup is a copy of everything that the registry knows, as it was handed to somebody.
type Backup struct {
	At       time.Time `json:"at" doc:"when the database was copied"`
	By       string    `json:"by" doc:"who asked for it"`
	Version  string    `json:"version" doc:"of the program that wrote it"`
	Machines int       `json:"machines" doc:"in it"`
	Bytes    int64     `json:"bytes" doc:"of the whole file"`
	SHA256   string    `json:"sha256" doc:"of the whole file"`
	ReadAt   time.Time `json:"read_at,omitzero" doc:"when it had been read back, whole, from where it is kept"`
}

// Backups is what is known of the last ones. One that was handed out is no backup yet:
// whoever took it has to say that it was read back.
type Backups struct {
	Taken Backup `json:"taken,omitzero" doc:"the last that was handed out"`
	Good  Backup `json:"good,omitzero" doc:"the last that was read back where it is kept"`
}
