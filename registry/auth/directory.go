package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"dragonfly/registry"
)

// Directories keeps the directory, a document that only this package reads, and
// its version, which every write raises by one.
type Directories interface {
	// Directory returns the document and its version; nil and known when it
	// still has the version known, which is -1 for one that knows none.
	Directory(ctx context.Context, known int64) (data []byte, version int64, err error)
	// PutDirectory replaces the document that was read at a version, and applies
	// change with it or not at all; [*registry.ConflictError] when it has another
	// version by now. A change with an Op that was applied before does nothing.
	PutDirectory(ctx context.Context, data []byte, read int64, change registry.Change) error
}

// directory is every account and every API token, by name and by ID. One that
// others can see is never changed.
type directory struct {
	Users  map[string]user     `json:"users"`
	Tokens map[string]apiToken `json:"tokens"`
}

// user is an account. One with a Subject signs in at the identity provider.
type user struct {
	Hash      string        `json:"hash,omitempty"` // of the password, argon2id
	Subject   string        `json:"subject,omitempty"`
	Role      registry.Role `json:"role"`
	Epoch     string        `json:"epoch,omitempty"` // another one ends all sessions
	CreatedAt time.Time     `json:"created_at"`
}

// The document has to stay small, for it is written whole.
const (
	maxUsers  = 5000
	maxTokens = 5000
)

// localAdmins counts the administrators who need nobody else to sign in.
func (d directory) localAdmins() (n int) {
	for _, u := range d.Users {
		if u.Role == registry.Admin && u.Hash != "" {
			n++
		}
	}
	return n
}

// believedFor is how long the directory in memory is believed unread.
const believedFor = time.Second

// readWithin bounds the wait for a database that does not answer, when there is
// something to go on with.
const readWithin = 2 * time.Second

// book is the directory in memory.
type book struct {
	store   Directories
	now     func() time.Time
	reading chan struct{} // held by the one who reads; the others go on with what is known

	mu      sync.Mutex
	known   directory
	version int64 // of known; -1 before the first read
	read    time.Time
	err     error // of the last read
}

func newBook(store Directories) *book {
	return &book{store: store, now: time.Now, reading: make(chan struct{}, 1), version: -1}
}

// current is the directory. With an error it is what was known before, which is
// nothing until the first read.
func (b *book) current(ctx context.Context) (directory, error) {
	known, fresh, err := b.inMemory()
	if fresh {
		return known, err
	}
	select {
	case b.reading <- struct{}{}:
	default:
		if known.Users != nil {
			return known, err
		}
		select {
		case b.reading <- struct{}{}:
		case <-ctx.Done():
			return known, ctx.Err()
		}
	}
	defer func() { <-b.reading }()
	if known, fresh, err := b.inMemory(); fresh { // somebody has read it meanwhile
		return known, err
	}
	b.refresh(ctx)
	known, _, err = b.inMemory()
	return known, err
}

// standsIn reports whether d, which was known before err, is an answer nevertheless.
func (d directory) standsIn(err error) bool {
	return d.Users != nil && errors.Is(err, registry.ErrUnavailable)
}

func (b *book) inMemory() (known directory, fresh bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known, !b.read.IsZero() && b.now().Sub(b.read).Abs() < believedFor, b.err
}

// refresh reads the directory where it is newer than the one known.
func (b *book) refresh(ctx context.Context) {
	b.mu.Lock()
	version := b.version
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin)
	defer cancel()
	data, newest, err := b.store.Directory(ctx, version)
	var read directory
	if err == nil && newest != version {
		read, err = decodeDirectory(data)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.read = err, b.now()
	if err == nil && newest > b.version { // a write of ours may have been faster
		b.known, b.version = read, newest
	}
}

func decodeDirectory(data []byte) (directory, error) {
	d := directory{Users: map[string]user{}, Tokens: map[string]apiToken{}}
	if err := json.Unmarshal(data, &d); err != nil {
		return directory{}, fmt.Errorf("read the accounts: %w", err)
	}
	return d, nil
}

// attempts bounds the retries of a write that loses races.
const attempts = 16

// errUnchanged ends a change that has nothing to do.
var errUnchanged = errors.New("nothing to change")

// change edits a fresh copy of the directory and writes it with what edit has to
// say for the audit log.
func (b *book) change(ctx context.Context, edit func(*directory) (registry.AuditEntry, error)) error {
	var lost error
	for range attempts {
		data, version, err := b.store.Directory(ctx, -1)
		if err != nil {
			return fmt.Errorf("read the accounts: %w", err)
		}
		copied, err := decodeDirectory(data)
		if err != nil {
			return err
		}
		entry, err := edit(&copied)
		if errors.Is(err, errUnchanged) {
			return nil
		}
		if err != nil {
			return err
		}
		lost = b.put(ctx, copied, version, entry)
		if _, raced := errors.AsType[*registry.ConflictError](lost); !raced {
			return lost
		}
	}
	return lost
}

func (b *book) put(ctx context.Context, d directory, read int64, entry registry.AuditEntry) error {
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write the accounts: %w", err)
	}
	entry.At, entry.Actor = b.now(), registry.ActorOf(ctx)
	change := registry.Change{Op: registry.OpOf(ctx), Audit: []registry.AuditEntry{entry}}
	if err := registry.WriteOnce(ctx, change.Op, func() error { return b.store.PutDirectory(ctx, data, read, change) }); err != nil {
		return fmt.Errorf("write the accounts: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if read+1 > b.version {
		b.known, b.version, b.read, b.err = d, read+1, b.now(), nil
	}
	return nil
}

// audited is an entry for the audit log; before and after have a JSON form, nil
// for none.
func audited(action, object string, before, after any) registry.AuditEntry {
	entry := registry.AuditEntry{Action: action, Object: object}
	if before != nil {
		entry.Before, _ = json.Marshal(before) // plain values of ours always have one
	}
	if after != nil {
		entry.After, _ = json.Marshal(after)
	}
	return entry
}
