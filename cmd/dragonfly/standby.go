package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"dragonfly/registry"
	"dragonfly/registry/auth"
	"dragonfly/registry/journal"
	"dragonfly/registry/lastknown"
	"dragonfly/registry/rqlite"
)

// standby is what the appliance goes on with while its database is away.
type standby struct {
	journal *journal.Journal
	copy    *lastknown.Copy
}

func openStandby(dir string, log *slog.Logger) (*standby, error) {
	j, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal"), Log: log})
	if err != nil {
		return nil, err
	}
	c, err := lastknown.Open(filepath.Join(dir, "lastknown.db"), log)
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return &standby{j, c}, nil
}

func (s *standby) forRegistry() *registry.Standby {
	return &registry.Standby{Journal: s.journal, Dead: s.journal, Copy: s.copy, Documents: s.copy}
}

func (s *standby) close() error { return errors.Join(s.journal.Close(), s.copy.Close()) }

// remembered is the store as registry/auth sees it: the accounts and the sealed
// secrets are remembered on disk, so that a start without the database still
// knows who may enter.
type remembered struct {
	*rqlite.Store
	copy *lastknown.Copy
	log  *slog.Logger
}

var _ auth.Store = remembered{}

// accounts is a document of registry/auth as it is remembered.
type accounts struct {
	Version int64           `json:"version"`
	Data    json.RawMessage `json:"data"`
}

// Directory is [auth.Directories.Directory].
func (r remembered) Directory(ctx context.Context, known int64) ([]byte, int64, error) {
	data, version, err := r.Store.Directory(ctx, known)
	switch {
	case err == nil && data != nil:
		r.keepAccounts(accounts{version, data})
	case errors.Is(err, registry.ErrUnavailable):
		var last accounts
		// Whoever changes the accounts reads them with -1, too. That change fails
		// at its write.
		if text := r.copy.Document("accounts"); known < 0 && json.Unmarshal(text, &last) == nil {
			return last.Data, last.Version, nil
		}
	}
	return data, version, err
}

// PutDirectory is [auth.Directories.PutDirectory]. What was written is not read
// again, so it is remembered here.
func (r remembered) PutDirectory(ctx context.Context, data []byte, read int64, change registry.Change) error {
	err := r.Store.PutDirectory(ctx, data, read, change)
	if err == nil {
		r.keepAccounts(accounts{read + 1, data})
	}
	return err
}

func (r remembered) keepAccounts(known accounts) {
	text, err := json.Marshal(known)
	if err = errors.Join(err, r.copy.KeepDocument("accounts", text)); err != nil {
		r.log.Error("remember the accounts", "err", err)
	}
}

// Secret is [auth.Secrets.Secret].
func (r remembered) Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error) {
	key := "secret/" + name
	secret, err := r.Store.Secret(ctx, name, fresh)
	if errors.Is(err, registry.ErrUnavailable) {
		if last := r.copy.Document(key); last != nil {
			return string(last), nil
		}
	}
	if err == nil && auth.IsSealed(secret) { // never in the clear
		if err := r.copy.KeepDocument(key, []byte(secret)); err != nil {
			return "", err
		}
	}
	return secret, err
}

// outageProblems tells what the operator should know of the database and the
// journal.
func (a *appliance) outageProblems() (found []string) {
	stats := a.standby.journal.Stats()
	o := a.registry.Outage()
	if !o.Since.IsZero() {
		line := fmt.Sprintf("the database is away since %s: boots go on, and this page shows what was known at %s; registrations wait in the journal (%d now); whatever else would change something is refused. Cause: %s",
			o.Since.Local().Format("15:04:05"), o.AsOf.Local().Format("Jan 2 15:04:05"), stats.Records, o.Cause)
		found = append(found, line)
	}
	if stats.Full && (!o.Since.IsZero() || stats.Records > 0) { // else nothing goes there
		found = append(found, "the journal on this host takes no more: registrations are refused; make room on the disk of the data directory, or bring the database back")
	}
	if stats.Dead > 0 || stats.Damaged > 0 {
		found = append(found, fmt.Sprintf("%d records of the journal could not be applied and %d bytes of it were damaged: `dragonfly journal` shows them, and %s keeps them",
			stats.Dead, stats.Damaged, filepath.Join(a.cfg.DataDir, "journal", "dead")))
	}
	return found
}
